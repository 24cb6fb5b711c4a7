"""Call a function in a new Python process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch

# ruff: noqa: ANN401 (requests and answers are whatever JSON holds)


def ask(function: Callable[[Any], Any], request: Any, purpose: str) -> Any:
    """Call a function of a module in a new process, for what depends on history.

    Peak memory does: in a fresh process nothing that ran before hides what is needed
    now. Blocks above 64 KiB that are freed there go back to the system at once. torch
    has as many threads as here.

    Args:
        function: A public or private function of a module, not a method or lambda.
        request: Its argument; anything that JSON can hold.
        purpose: What was to be done, for the error, such as ``"peak bytes could not
            be measured"``.

    Returns:
        What the function returned, through JSON.

    Raises:
        RuntimeError: If the process failed; carries its last line.
    """
    module = function.__module__
    spec = getattr(sys.modules[module], "__spec__", None)
    if spec is not None:  # python -m calls the module __main__
        module = spec.name
    words = [module, function.__qualname__, torch.get_num_threads()]
    child = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import _answer; _answer()"],
        input=json.dumps([*words, request]),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},
    )
    if child.returncode != 0:
        lines = child.stderr.strip().splitlines() or ["no message"]
        raise RuntimeError(f"{purpose}: {lines[-1]}")
    return json.loads(child.stdout.splitlines()[-1])


def _answer() -> None:
    """Serve one request from standard input on standard output."""
    module, name, threads, request = json.load(sys.stdin)
    torch.set_num_threads(threads)
    __import__(module)
    answer = getattr(sys.modules[module], name)(request)
    sys.stdout.write(f"\n{json.dumps(answer)}\n")

"""Every example runs, is short, and prints something."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# One thread, since other tests run beside it; the embedded graph, for speed.
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "GSPARSE_OFFLINE": "1"}
ENVIRONMENT.pop("GSPARSE_DATA", None)
EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_example_runs(path, tmp_path):
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_example_is_short(path):
    assert len(path.read_text().splitlines()) <= 80

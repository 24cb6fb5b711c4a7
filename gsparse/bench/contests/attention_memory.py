"""Peak memory of one attention layer in a process of its own."""

from pathlib import Path
from typing import Any

import torch

from gsparse.bench.experiment.fresh_process import ask
from gsparse.bench.experiment.memory import peak, reset_peak


def peak_of_fresh_process(request: dict[str, Any]) -> dict[str, int]:
    """How far a training step and a forward pass rise above what is resident before.

    Resident before are libraries, compiled kernels, the graph and ``x``. What a layer
    builds from the graph on first sight (our sorted structures) is part of its rise.

    Args:
        request: ``name features root shape contender device``.

    Returns:
        ``train_peak_bytes`` and ``infer_peak_bytes``.

    Raises:
        RuntimeError: If a process failed; carries its last line.
    """
    return {
        f"{what}_peak_bytes": ask(
            _rise, request | {"what": what}, "peak bytes could not be measured"
        )
        for what in ("train", "infer")
    }


def _rise(request: dict[str, Any]) -> int:
    # Imported here: that module imports this one.
    from gsparse.bench.contests.attention import make_contender, make_input, timed

    device = torch.device(request["device"])
    root = None if request["root"] is None else Path(request["root"])
    x, edge_index = make_input(request["name"], request["features"], root, device)
    what, shape = (request["contender"], request["shape"]), request["device"]
    toy = torch.randint(4000, (2, 200_000), device=device)  # compiles the same kernels
    train = request["what"] == "train"
    heads, channels = (int(n) for n in what[1].removeprefix("v2:").split("x"))
    for ends, values in ((toy, x[:1].expand(4000, -1).contiguous()), (edge_index, x)):
        layer = make_contender(*what, x.size(1), ends, shape)
        grad = torch.ones(len(values), heads * channels, device=device)
        before = reset_peak(device)
        timed(layer, values, grad if train else None)
        rise = peak(device) - before
        del layer, grad
    return rise

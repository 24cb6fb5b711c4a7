"""Split the time of a training epoch by kind of work."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

# ruff: noqa: ANN401 (torch's hook takes and returns anything)

#: What an epoch's time is made of: the operations of each part, by their first letters.
PARTS = {
    "attention": ("gsparse.gat",),
    "products": ("gsparse.spmm", "gsparse.sddmm", "aten.mm", "aten.addmm"),
    "dropout": ("gsparse.dropout", "aten.bernoulli", "aten.native_dropout"),
    "optimizer": ("aten._fused_adam",),
}


class _Clock(TorchDispatchMode):
    """Adds up the seconds of every operation of torch, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        start = perf_counter()
        out = func(*args, **(kwargs or {}))
        name = str(func)
        self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start
        return out


def epoch_parts(epoch: Callable[[], None], rounds: int = 3) -> dict[str, float]:
    """Return the shares of an epoch's time; ``other`` is mostly elementwise work."""
    with _Clock() as clock:
        for _ in range(rounds):
            epoch()
    found = dict.fromkeys([*PARTS, "other"], 0.0)
    for name, seconds in clock.seconds.items():
        fits = [part for part, starts in PARTS.items() if name.startswith(starts)]
        found[fits[0] if fits else "other"] += seconds
    total = sum(found.values())
    return {part: value / total for part, value in found.items()}

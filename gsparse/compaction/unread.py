"""Modules that no run of a model used; they are not compacted."""

from typing import Any

from torch import Tensor
from torch.nn import Module

from gsparse.compaction.recording import Recording
from gsparse.compaction.trace import Run

_WIDTHS = ("in_features", "in_channels", "num_features")


def unread_modules(
    model: Module, recording: Recording, runs: list[Run]
) -> tuple[str, ...]:
    """Return the paths of the outermost modules with parameters that no run read."""
    read = recording.read | {axis.name for axis in recording.axes.values()}
    called = set().union(*(run.called for run in runs))
    found: list[str] = []
    for path, module in model.named_modules():
        names = [f"{path}.{name}" for name, _ in module.named_parameters()]
        inside = any(path.startswith(f"{other}.") for other in found)
        used = path in called or any(name in read for name in names)
        if path and names and not used and not inside:
            found.append(path)
    return tuple(found)


class WholeInput:
    """A hook that refuses an input from which channels were removed.

    A module that no example used still reads all channels, so its input must have the
    old width.

    Args:
        path: Path of the module.
        width: Number of channels that it reads.
    """

    def __init__(self, path: str, width: int) -> None:
        self.path, self.width = path, width

    def __call__(self, module: Module, args: tuple[Any, ...]) -> None:
        x = args[0] if args else None
        if isinstance(x, Tensor) and x.dim() > 0 and x.size(-1) != self.width:
            raise RuntimeError(
                f"{self.path!r} was not used when this model was compacted, and reads "
                f"{self.width} channels (got {x.size(-1)}); compact the model again "
                "with an example that uses it among 'more'"
            )


def guard(model: Module, paths: tuple[str, ...]) -> None:
    """Make the layers in these modules refuse inputs that have lost channels."""
    for path in paths:
        for name, layer in model.get_submodule(path).named_modules(prefix=path):
            widths = (getattr(layer, it) for it in _WIDTHS if hasattr(layer, it))
            width = next(widths, None)
            if isinstance(width, int) and any(True for _ in layer.parameters()):
                layer.register_forward_pre_hook(WholeInput(name, width))

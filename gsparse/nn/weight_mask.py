"""Mask of one parameter, as a module in its layer."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any
from weakref import ref

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim.swa_utils import AveragedModel

# ruff: noqa: ANN401 (a pruner of any kind)


class WeightMask(Module):
    """Mask of one parameter: a boolean for each entry, or real weights during training.

    Shapes:
        - **keep:** shape of the parameter
    """

    keep: Tensor
    _pruner: ref[Any] | None
    soft: Tensor | Callable[[Tensor], Tensor] | None
    """A tensor that multiplies the parameter, or a function of the parameter, used
    instead of ``keep`` while it is set; never saved."""

    def __init__(self, parameter: Tensor) -> None:
        super().__init__()
        keep = torch.ones_like(parameter, dtype=torch.bool, requires_grad=False)
        self.register_buffer("keep", keep)
        self.soft = self._pruner = None

    @property
    def pruner(self) -> Any:
        """The pruner that changes the mask, as long as it is alive; never saved."""
        return None if self._pruner is None else self._pruner()

    @pruner.setter
    def pruner(self, pruner: Any) -> None:
        self._pruner = ref(pruner)

    @property
    def unfinished(self) -> bool:
        """Whether a pruner has not reached its sparsity yet; always False in copies."""
        return self.pruner is not None and not self.pruner.done

    def forward(self, parameter: Tensor) -> Tensor:
        """Return the parameter with zeros at masked entries, even where it is NaN."""
        if callable(self.soft):
            return self.soft(parameter)
        if self.soft is not None:
            return parameter * self.soft
        return torch.where(self.keep, parameter, 0.0)

    def _check_average(self, frame: FrameType | None) -> None:
        """Refuse to be averaged; ``AveragedModel`` offers no other way to detect it."""
        while frame is not None and frame.f_code is not AveragedModel.__init__.__code__:
            frame = frame.f_back
        if frame is None or not frame.f_locals["use_buffers"]:
            return
        plain = frame.f_locals["avg_fn"] is frame.f_locals["multi_avg_fn"] is None
        if plain or self.unfinished:
            raise ValueError(
                "'use_buffers' of AveragedModel must be False for a model with weight "
                "masks (got True): the average of two masks is not a mask; with False "
                "every update copies the masks and all other buffers"
            )

    def __getstate__(self) -> dict[str, Any]:
        self._check_average(sys._getframe())
        # Parts of an autograd graph and of a training run: not copied.
        return vars(self) | {"soft": None, "_pruner": None}

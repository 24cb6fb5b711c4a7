"""Base class of learned masks that meet a budget of kept edges or features."""

import math
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.edges import check_sparsity, keep_top
from gsparse.nn.density import check_ramp, hold_density, warn_on_the_way
from gsparse.nn.rectified import Rectified
from gsparse.nn.wrapper import Wrapper

# ruff: noqa: ANN401 (state of any kind)

T = TypeVar("T", bound="BudgetedMask")

#: Initial log-odds of an open gate: nearly all gates are open.
OPEN = 2.0


class BudgetedMask(Wrapper):
    r"""Base class of wrappers whose gates are pulled towards a budget.

    Args:
        model: The wrapped model.
        sparsity: Fraction of the gates to close, in [0, 1).
        penalty: Factor of the mean number of open gates; replaces ``sparsity``.
        ramp: Number of training steps in which the density target falls to
            ``1 - sparsity``.

    Raises:
        ValueError: Unless exactly one of ``sparsity`` and ``penalty`` is given.
    """

    revision: ClassVar[int] = (
        2  # raised when a change alters results, so that old rows show as stale
    )

    multiplier: Tensor
    num_steps: Tensor

    def __init__(
        self, model: Module, sparsity: float | None, penalty: float | None, ramp: int
    ) -> None:
        super().__init__()
        if (sparsity is None) == (penalty is None):
            raise ValueError(
                f"give one of 'sparsity' and 'penalty' (got {sparsity} and {penalty})"
            )
        if sparsity is not None:
            check_sparsity(sparsity)
        elif not 0 <= penalty < math.inf:  # type: ignore[operator]
            raise ValueError(
                f"'penalty' must be finite and not negative (got {penalty})"
            )
        check_ramp(ramp)
        self.model, self.ramp = model, ramp
        self.sparsity, self.factor = sparsity, penalty or 0.0
        self.register_buffer("multiplier", torch.zeros(()))
        self.register_buffer("num_steps", torch.zeros(()))
        self._opened: list[Tensor] = []  # density of each mask in the last step

    def penalty(self) -> Tensor:
        """Return the term to add to the loss of the last step; 0 if there was none.

        With ``sparsity`` each call also updates the multiplier of the constraint and
        its target, which falls from 1 within the first ``ramp`` steps.
        """
        opened, self._opened = self._opened, []
        if not opened:
            return self.multiplier.new_zeros(())
        density = torch.stack(opened).mean()
        if self.sparsity is None:
            return density * self.factor
        return hold_density(
            density, self.sparsity, self.multiplier, self.num_steps, self.ramp
        )

    @property
    def ramping(self) -> bool:
        """Whether training has begun and the density target still falls."""
        return self.sparsity is not None and 0 < int(self.num_steps) < self.ramp

    def train(self: T, mode: bool = True) -> T:
        """Set the training mode; a frozen model stays in evaluation mode."""
        super().train(mode)
        if not any(p.requires_grad for p in self.model.parameters()):
            self.model.eval()
        return self

    def _kept(self, gate: Any, tie: Tensor | None = None) -> Tensor:
        """Return a boolean for each gate, True if it stays open.

        ``gate.variable`` is read only if needed, since it may be costly to compute.
        """
        if self.sparsity is not None:
            warn_on_the_way(self, lambda: gate.variable.expected_l0.detach().mean())
            return keep_top(gate.rank.detach(), self.sparsity, tie)
        assert isinstance(gate.variable, Rectified)  # others take no penalty
        zero, one = gate.variable.prob_zero, gate.variable.prob_one
        return (zero <= one) | (zero <= 1 - zero - one)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_opened": []}  # part of an autograd graph: not copied

    def extra_repr(self) -> str:
        if self.sparsity is None:
            return f"penalty={self.factor}"
        return f"sparsity={self.sparsity}"

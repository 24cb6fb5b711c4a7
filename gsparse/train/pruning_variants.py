"""Variants of pruning methods that experiments compare with the public ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import Module

from gsparse.prune import (
    Magnitude,
    ProbMask,
    Pruner,
    brain_surgeon_update,
    true_fisher,
)
from gsparse.prune.surgeons.fisher import Fisher
from gsparse.prune.surgeons.second_order import FisherKind
from gsparse.prune.surgeons.take_fisher import full_weights
from gsparse.train.iterative import WeightLottery

# ruff: noqa: ANN401 (options of a pruner)


class Supermask(ProbMask):
    """A mask learned by ``ProbMask`` on random weights, which are never trained.

    All matrices are targets, those of the output layer as well; nothing else is
    learned.
    """

    trains_after = False

    def __init__(self, model: Module, *, lr: float = 0.1, **options: Any) -> None:
        super().__init__(
            model.requires_grad_(False),
            lr=lr,
            supermask=True,
            targets=lambda name, parameter: parameter.dim() > 1,
            **options,
        )


class UpdatedMagnitude(Pruner):
    """Masks by magnitude, and kept weights that are updated for them (CBS-U)."""

    needs = ("logits", "fisher", "seed")
    takes_structure = False

    def __init__(
        self,
        model: Module,
        *,
        sparsity: float,
        logits: Callable[[], Tensor],
        fisher: FisherKind | Fisher = "true",
        seed: int | None = None,
    ) -> None:
        super().__init__(model, Magnitude(), sparsity=sparsity)
        if not isinstance(fisher, Fisher):
            with full_weights(self.masks):
                fisher = true_fisher(self.masks, logits, seed=seed)
        brain_surgeon_update(self.masks, fisher)


@dataclass(frozen=True)
class ShortLottery(WeightLottery):
    """``WeightLottery`` with five rounds."""

    num_rounds: int = 5


VARIANTS: dict[str, Any] = {
    "WeightLottery": ShortLottery,
    "Supermask": Supermask,
    "Magnitude+U": UpdatedMagnitude,
}
"""Variants by the names of their rows; one may stand in for the public method."""

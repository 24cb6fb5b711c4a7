"""Base class of the second-order pruners: a Fisher matrix, a choice and an update."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.edges import budget, draw_seed, keep_largest
from gsparse.nn.evaluating import evaluating
from gsparse.prune.masks import WeightMasks
from gsparse.prune.schedule import Schedule
from gsparse.prune.scheduled_pruner import ScheduledPruner
from gsparse.prune.select import Scope, layer_budgets
from gsparse.prune.structured.groups import group_means
from gsparse.prune.structured.select_groups import Protect
from gsparse.prune.structured.structures import Structure
from gsparse.prune.surgeons.brain_surgeon import joint_update
from gsparse.prune.surgeons.fisher import DAMPING, Fisher
from gsparse.prune.surgeons.take_fisher import empirical_fisher, true_fisher
from gsparse.prune.targets import Selector

FisherKind = Literal["empirical", "true"]
"""Taken with the training labels, or with labels drawn from the model's predictions."""


def flat(
    parameters: Mapping[str, Tensor], keep: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Return all weights in one vector, or those that are kept."""
    return torch.cat(
        [
            (weight.flatten() if keep is None else weight[keep[name]]).detach()
            for name, weight in parameters.items()
        ]
    )


def move_kept(
    masks: WeightMasks, keep: Mapping[str, Tensor], delta: Tensor
) -> dict[str, Tensor]:
    """Add a number to every kept weight, and return the parameters from before."""
    if not delta.isfinite().all():
        raise ValueError(
            "the update of the weights must be finite (got "
            f"{int((~delta.isfinite()).sum())} that are not); raise 'damping'"
        )
    parameters, before = masks.parameters(), {}
    parts = delta.split([int(keep[name].sum()) for name in parameters])
    with torch.no_grad():
        for (name, weight), part in zip(parameters.items(), parts, strict=True):
            before[name] = weight.detach().clone()
            weight[keep[name]] += part.to(weight)
    return before


class SecondOrder(ScheduledPruner):
    """Base class of the second-order pruners: a Fisher matrix, a choice and an update.

    The Fisher matrix is taken again before every cut, for the remaining weights. Costs
    a backward pass per sample and :math:`8 N n` bytes during a cut; with an update a
    copy of the targeted parameters is kept for :meth:`undo`. A group is rated by the
    mean saliency of its weights; interactions between them are ignored.

    Args:
        losses: Returns the loss of every training sample, of shape [N]; see
            :func:`~gsparse.prune.empirical_fisher`.
        fisher: ``"empirical"``, or ``"true"`` with ``logits``, or a Fisher matrix taken
            before, which several pruners of one model can share, without a schedule.
        logits: Returns the logits of all nodes; see
            :func:`~gsparse.prune.true_fisher`.
        num_drawn: Number of nodes drawn for the true Fisher matrix.
        damping: Damping of the matrix; see :class:`~gsparse.prune.Fisher`.
        update: Whether the kept weights are updated; ``None`` for the method's default.

    The other arguments are those of :class:`~gsparse.prune.Pruner`.

    Raises:
        ValueError: If the sparsity is out of range, nothing is left to prune, or the
            Fisher matrix cannot be taken.
    """

    needs = ("losses", "logits", "fisher", "seed")

    updates = True
    """Whether the kept weights are updated by default."""

    def __init__(
        self,
        model: Module,
        *,
        sparsity: float,
        losses: Callable[[], Tensor] | None = None,
        fisher: FisherKind | Fisher = "empirical",
        logits: Callable[[], Tensor] | None = None,
        num_drawn: int = 256,
        damping: float = DAMPING,
        update: bool | None = None,
        schedule: Schedule | None = None,
        scope: Scope = "global",
        structure: Structure | None = None,
        protect: Protect | None = None,
        targets: Iterable[Selector] | Selector | None = None,
        exclude: Iterable[Selector] | Selector = (),
        seed: int | None = None,
    ) -> None:
        _check_fisher(fisher, losses, logits, schedule)
        self.losses, self.logits, self.fisher = losses, logits, fisher
        self.num_drawn, self.damping = num_drawn, damping
        self.update = self.updates if update is None else update
        self.seed = draw_seed(seed)
        self.before: dict[str, Tensor] = {}
        super().__init__(
            model,
            sparsity=sparsity,
            schedule=schedule,
            scope=scope,
            structure=structure,
            protect=protect,
            targets=targets,
            exclude=exclude,
        )

    @abstractmethod
    def saliency(self, weights: Tensor, fisher: Fisher) -> Tensor:
        """Return the importance of every weight, of shape [n]."""

    def choose(self, weights: Tensor, fisher: Fisher, num_kept: int) -> Tensor:
        """Return which weights stay: by default those of largest saliency."""
        return keep_largest(self.saliency(weights, fisher), num_kept)

    def change(self, weights: Tensor, fisher: Fisher, keep: Tensor) -> Tensor:
        """Return the change of every weight when those not in ``keep`` are removed."""
        return joint_update(weights, fisher, keep)

    def importances(self) -> dict[str, Tensor]:
        """Return the saliency of every remaining weight, and 0 for the removed ones."""
        weights = flat(self.masks.parameters(), self._present())
        return self._by_name(self.saliency(weights, self._fisher()))

    def _prune(self, sparsity: float) -> None:
        present, fisher = self._present(), self._fisher()
        weights = flat(self.masks.parameters(), present)
        keep = self._choose_all(weights, fisher, sparsity)
        delta = self.change(weights, fisher, keep) if self.update else None
        stays = self._by_name(keep)
        self.masks.set(stays)
        if delta is not None:
            before = move_kept(self.masks, stays, delta[keep])
            self.before = before | self.before
        self.reached = sparsity

    def training_loss(self, keep: Tensor) -> float:
        """Return the mean loss in evaluation mode with only these remaining weights."""
        assert self.losses is not None
        present, stays = self._present(), self._by_name(keep)
        self.masks.set(stays)
        try:
            with evaluating(self.model), torch.no_grad():
                return float(self.losses().mean())
        finally:
            self.masks.set(present)

    def undo(self) -> None:
        """Remove the masks, and restore the weights from before the first update.

        Training since that update is lost.
        """
        super().undo()
        parameters = self.masks.parameters()
        with torch.no_grad():
            for name, weight in self.before.items():
                parameters[name].copy_(weight)
        self.before = {}

    def make_permanent(self) -> None:
        """Write the zeros into the weights and remove the masks."""
        super().make_permanent()
        self.before = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of a run, with the weights that :meth:`undo` restores."""
        return super().state_dict() | {"before": self.before, "seed": self.seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.before, self.seed = dict(state["before"]), int(state["seed"])

    def _present(self) -> dict[str, Tensor]:
        return {name: self.masks[name].clone() for name in self.masks.targets}

    def _by_name(self, found: Tensor) -> dict[str, Tensor]:
        """Return values of the remaining weights by parameter, with 0 for the others.

        Shapes:
            - **found:** :math:`(n,)`
        """
        present = self._present()
        parts = found.split([int(there.sum()) for there in present.values()])
        return {
            name: found.new_zeros(there.shape).masked_scatter(there, part)
            for (name, there), part in zip(present.items(), parts, strict=True)
        }

    def _fisher(self) -> Fisher:
        """Return the Fisher matrix of the remaining weights."""
        if isinstance(self.fisher, Fisher):
            found = self.fisher
        elif self.fisher == "empirical":
            assert self.losses is not None
            found = empirical_fisher(self.masks, self.losses, self.damping)
        else:
            assert self.logits is not None
            seed = self.seed + self.num_steps
            found = true_fisher(
                self.masks, self.logits, self.num_drawn, self.damping, seed
            )
        present = self._present()
        if all(keep.all() for keep in present.values()):
            return found
        there = torch.cat([keep.flatten() for keep in present.values()])
        sizes = [int(keep.sum()) for keep in present.values()]
        return Fisher(found.gradients[:, there], self.damping, sizes)

    def _choose_all(self, weights: Tensor, fisher: Fisher, sparsity: float) -> Tensor:
        """Choose once for all layers, or in each layer with its own budget."""
        if self.groups is not None:
            saliency = self._by_name(self.saliency(weights, fisher))
            means = group_means(saliency, self.groups)
            return flat(self.select_groups(means, sparsity), self._present())
        shapes = {name: w.shape for name, w in self.masks.parameters().items()}
        if self.scope == "global":
            total = sum(shape.numel() for shape in shapes.values())
            num_kept = min(budget(total, sparsity), len(weights))
            return self.choose(weights, fisher, num_kept)
        counts = layer_budgets(shapes, sparsity, self.scope)
        return torch.cat(
            [
                self.choose(weights[b], fisher.part(i), min(count, b.stop - b.start))
                for i, (b, count) in enumerate(
                    zip(fisher.blocks, counts.values(), strict=True)
                )
            ]
        )


def _check_fisher(
    fisher: FisherKind | Fisher,
    losses: Callable[[], Tensor] | None,
    logits: Callable[[], Tensor] | None,
    schedule: Schedule | None,
) -> None:
    if isinstance(fisher, Fisher):
        if schedule is not None:
            raise ValueError(
                "'fisher' must be 'empirical' or 'true' with a schedule, each cut of "
                f"which takes it anew (got one of {fisher.num_weights} weights)"
            )
        return
    if fisher not in get_args(FisherKind):
        known = ", ".join(map(repr, get_args(FisherKind)))
        raise ValueError(f"'fisher' must be one of {known} (got {fisher!r})")
    name, given = ("losses", losses) if fisher == "empirical" else ("logits", logits)
    if not callable(given):
        raise ValueError(
            f"{name!r} must be a function without arguments for "
            f"fisher={fisher!r} (got {given!r})"
        )

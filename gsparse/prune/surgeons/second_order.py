"""What the second-order pruners share: a Fisher matrix, a choice and an answer."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.edges import budget, draw_seed, keep_largest
from gsparse.nn.evaluating import evaluating
from gsparse.prune.masks import WeightMasks
from gsparse.prune.pruner import ScoredPruner
from gsparse.prune.schedule import Schedule
from gsparse.prune.select import Scope, layer_budgets
from gsparse.prune.structured.groups import group_means
from gsparse.prune.structured.select_groups import Protect
from gsparse.prune.structured.structures import Structure
from gsparse.prune.surgeons.brain_surgeon import joint_update
from gsparse.prune.surgeons.fisher import DAMPING, Fisher
from gsparse.prune.surgeons.take_fisher import empirical_fisher, true_fisher
from gsparse.prune.targets import Selector

FisherKind = Literal["empirical", "true"]
"""Of the training labels; of labels drawn from the model's own predictions."""


def flat(
    parameters: Mapping[str, Tensor], keep: Mapping[str, Tensor] | None = None
) -> Tensor:
    """All weights in one vector, or those that are kept."""
    return torch.cat(
        [
            (weight.flatten() if keep is None else weight[keep[name]]).detach()
            for name, weight in parameters.items()
        ]
    )


def move_kept(
    masks: WeightMasks, keep: Mapping[str, Tensor], delta: Tensor
) -> dict[str, Tensor]:
    """Add to the kept weights, one number each; returns the parameters of before."""
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


class SecondOrder(ScoredPruner):
    """What the second-order pruners share: a Fisher matrix, a choice and an answer.

    Every cut takes the Fisher matrix anew, on the weights that are left. Costs a
    backward pass a sample and :math:`8 N n` bytes while it prunes; with an update a
    copy of the targeted parameters is kept for :meth:`undo`. With a structure a group
    counts by its mean saliency: what its weights do to each other is left out.

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        losses: Returns one loss a training sample; as for
            :func:`~gsparse.prune.empirical_fisher`.
        fisher: ``"empirical"``, or ``"true"`` with ``class_scores``; or one that was
            taken before, which several pruners of one model can share, without a
            schedule.
        class_scores: As ``scores`` of :func:`~gsparse.prune.true_fisher`.
        num_drawn: Nodes that the true Fisher matrix draws.
        damping: As for :class:`~gsparse.prune.Fisher`.
        update: Whether the kept weights answer; ``None`` for what the method does.
        schedule: A function of the step; ``None`` prunes at once.
        scope: ``"global"``, ``"local"`` or ``"erk"``.
        exclude: As for :func:`~gsparse.prune.find_targets`.
        targets: As for :func:`~gsparse.prune.find_targets`.
        seed: Of what is drawn; ``None`` draws one.
        structure: As for :class:`~gsparse.prune.ScoredPruner`.
        protect: As for :class:`~gsparse.prune.ScoredPruner`.

    Raises:
        ValueError: If the sparsity is out of range, nothing is left to prune, or the
            Fisher matrix cannot be taken.
    """

    #: Whether the kept weights answer if nothing is said.
    answers = True

    def __init__(
        self,
        model: Module,
        sparsity: float,
        losses: Callable[[], Tensor] | None = None,
        fisher: FisherKind | Fisher = "empirical",
        class_scores: Callable[[], Tensor] | None = None,
        num_drawn: int = 256,
        damping: float = DAMPING,
        update: bool | None = None,
        schedule: Schedule | None = None,
        scope: Scope = "global",
        exclude: Iterable[Selector] | Selector = (),
        targets: Iterable[Selector] | Selector | None = None,
        seed: int | None = None,
        structure: Structure | None = None,
        protect: Protect | None = None,
    ) -> None:
        _check_fisher(fisher, losses, class_scores, schedule)
        self.losses, self.class_scores, self.fisher = losses, class_scores, fisher
        self.num_drawn, self.damping = num_drawn, damping
        self.update = self.answers if update is None else update
        self.seed = draw_seed(seed)
        self.before: dict[str, Tensor] = {}
        super().__init__(
            model, sparsity, schedule, scope, exclude, targets, structure, protect
        )

    @abstractmethod
    def saliency(self, weights: Tensor, fisher: Fisher) -> Tensor:
        """Importance of every weight; larger is kept."""

    def choose(self, weights: Tensor, fisher: Fisher, num_kept: int) -> Tensor:
        """Which weights stay; those of highest saliency if not said otherwise."""
        return keep_largest(self.saliency(weights, fisher), num_kept)

    def answer(self, weights: Tensor, fisher: Fisher, keep: Tensor) -> Tensor:
        """How every weight changes when the others go."""
        return joint_update(weights, fisher, keep)

    def scores(self) -> dict[str, Tensor]:
        """The saliency of every weight, among those that are left."""
        weights = flat(self.masks.parameters(), self._present())
        return self._by_name(self.saliency(weights, self._fisher()))

    def prune(self, sparsity: float) -> None:
        """Remove weights until so many are gone; none comes back."""
        present, fisher = self._present(), self._fisher()
        weights = flat(self.masks.parameters(), present)
        keep = self._choose_all(weights, fisher, sparsity)
        delta = self.answer(weights, fisher, keep) if self.update else None
        stays = self._by_name(keep)
        self.masks.set(stays)
        if delta is not None:
            before = move_kept(self.masks, stays, delta[keep])
            self.before = before | self.before
        self.reached = sparsity

    def training_loss(self, keep: Tensor) -> float:
        """Mean loss with only these of the weights that are left, in eval mode."""
        assert self.losses is not None
        present, stays = self._present(), self._by_name(keep)
        self.masks.set(stays)
        try:
            with evaluating(self.model), torch.no_grad():
                return float(self.losses().mean())
        finally:
            self.masks.set(present)

    def undo(self) -> None:
        """Take the masks away; if an update changed the weights, those of before the
        first cut come back, and later training of them is lost.
        """
        super().undo()
        parameters = self.masks.parameters()
        with torch.no_grad():
            for name, weight in self.before.items():
                parameters[name].copy_(weight)
        self.before = {}

    def make_permanent(self) -> None:
        """Write the zeros into the weights; the layers are plain again."""
        super().make_permanent()
        self.before = {}

    def state_dict(self) -> dict[str, Any]:
        """As for every pruner, with the weights that :meth:`undo` brings back."""
        return super().state_dict() | {"before": self.before, "seed": self.seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        super().load_state_dict(state)
        self.before, self.seed = dict(state["before"]), int(state["seed"])

    def _present(self) -> dict[str, Tensor]:
        return {name: self.masks[name].clone() for name in self.masks.targets}

    def _by_name(self, found: Tensor) -> dict[str, Tensor]:
        """What stands for the weights that are left, with 0 for the others."""
        present = self._present()
        parts = found.split([int(there.sum()) for there in present.values()])
        return {
            name: found.new_zeros(there.shape).masked_scatter(there, part)
            for (name, there), part in zip(present.items(), parts, strict=True)
        }

    def _fisher(self) -> Fisher:
        """Of the weights that are left."""
        if isinstance(self.fisher, Fisher):
            found = self.fisher
        elif self.fisher == "empirical":
            assert self.losses is not None
            found = empirical_fisher(self.masks, self.losses, self.damping)
        else:
            assert self.class_scores is not None
            seed = self.seed + self.num_steps
            found = true_fisher(
                self.masks, self.class_scores, self.num_drawn, self.damping, seed
            )
        present = self._present()
        if all(keep.all() for keep in present.values()):
            return found
        there = torch.cat([keep.flatten() for keep in present.values()])
        sizes = [int(keep.sum()) for keep in present.values()]
        return Fisher(found.gradients[:, there], self.damping, sizes)

    def _choose_all(self, weights: Tensor, fisher: Fisher, sparsity: float) -> Tensor:
        """One choice for all layers, or one for each with its own budget."""
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
    class_scores: Callable[[], Tensor] | None,
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
    needed = "losses" if fisher == "empirical" else "class_scores"
    if not callable(losses if fisher == "empirical" else class_scores):
        raise ValueError(
            f"{needed!r} must be a function without arguments for "
            f"fisher={fisher!r} (got {losses if needed == 'losses' else None!r})"
        )

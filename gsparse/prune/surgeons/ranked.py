"""Second-order pruners that rank weights: Brain Damage, Brain Surgeon, WoodFisher."""

from collections.abc import Callable, Iterable

from torch import Tensor
from torch.nn import Module

from gsparse.prune.schedule import Schedule
from gsparse.prune.select import Scope
from gsparse.prune.structured.select_groups import Protect
from gsparse.prune.structured.structures import Structure
from gsparse.prune.surgeons.brain_surgeon import (
    obd_saliency,
    obs_saliency,
    sequential_obs,
    summed_update,
)
from gsparse.prune.surgeons.fisher import DAMPING, Fisher
from gsparse.prune.surgeons.second_order import FisherKind, SecondOrder
from gsparse.prune.targets import Selector


class OptimalBrainDamage(SecondOrder):
    r"""Removes the weights of smallest :math:`w_q^2 H_{qq}`, from "Optimal Brain
    Damage" (LeCun, Denker, Solla, 1989), with a Fisher matrix for the Hessian.

    The other weights stay as they are, unless ``update=True``.

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        losses: The other arguments are those of
            :class:`~gsparse.prune.surgeons.second_order.SecondOrder`.

    Example:
        >>> import torch
        >>> from gsparse.prune import OptimalBrainDamage
        >>> model, x = torch.nn.Linear(8, 1), torch.ones(3, 8)
        >>> pruner = OptimalBrainDamage(model, 0.75, lambda: model(x)[:, 0])
        >>> pruner.report().num_kept
        2
    """

    answers = False

    def saliency(self, weights: Tensor, fisher: Fisher) -> Tensor:
        """As :func:`~gsparse.prune.surgeons.brain_surgeon.obd_saliency`."""
        return obd_saliency(weights, fisher)


class OptimalBrainSurgeon(SecondOrder):
    r"""Removes the weights of smallest :math:`w_q^2 / [H^{-1}]_{qq}`, from "Optimal
    Brain Surgeon" (Hassibi, Stork, 1992), with a Fisher matrix for the Hessian.

    All are chosen at once, and the kept weights answer jointly; the original goes
    weight by weight, as ``sequential=True`` does at :math:`O(N n^2)`.

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        losses: As for :class:`~gsparse.prune.surgeons.second_order.SecondOrder`.
        sequential: Choose one weight at a time, with the others' answers in view.
        fisher: This and the others as for
            :class:`~gsparse.prune.surgeons.second_order.SecondOrder`.
        class_scores: As above.
        num_drawn: As above.
        damping: As above.
        update: As above.
        schedule: As above.
        scope: As above.
        exclude: As above.
        targets: As above.
        seed: As above.
        structure: As above; only where the choice is not sequential.
        protect: As above.

    Example:
        >>> import torch
        >>> from gsparse.prune import OptimalBrainSurgeon
        >>> model, x = torch.nn.Linear(8, 1), torch.ones(3, 8)
        >>> pruner = OptimalBrainSurgeon(model, 0.75, lambda: model(x)[:, 0])
        >>> pruner.report().num_kept
        2
    """

    def __init__(
        self,
        model: Module,
        sparsity: float,
        losses: Callable[[], Tensor] | None = None,
        sequential: bool = False,
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
        if sequential and structure is not None:
            raise ValueError(
                "'structure' must be None where sequential=True, which goes weight by "
                f"weight (got {structure!r}); use sequential=False"
            )
        self.sequential = sequential
        super().__init__(
            model,
            sparsity,
            losses,
            fisher,
            class_scores,
            num_drawn,
            damping,
            update,
            schedule,
            scope,
            exclude,
            targets,
            seed,
            structure,
            protect,
        )

    def saliency(self, weights: Tensor, fisher: Fisher) -> Tensor:
        """As :func:`~gsparse.prune.surgeons.brain_surgeon.obs_saliency`."""
        return obs_saliency(weights, fisher)

    def choose(self, weights: Tensor, fisher: Fisher, num_kept: int) -> Tensor:
        """All at once, or one at a time."""
        if self.sequential:
            return sequential_obs(weights, fisher, num_kept)
        return super().choose(weights, fisher, num_kept)


class WoodFisher(SecondOrder):
    r"""Brain Surgeon's choice, and the sum of its answers to removing each weight
    alone, from the `"WoodFisher" <https://arxiv.org/abs/2004.14340>`_ paper.

    A baseline: the sum counts what removed weights share many times over, and the joint
    answer of :class:`OptimalBrainSurgeon` is never worse in the quadratic model.

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        losses: The other arguments are those of
            :class:`~gsparse.prune.surgeons.second_order.SecondOrder`.

    Example:
        >>> import torch
        >>> from gsparse.prune import WoodFisher
        >>> model, x = torch.nn.Linear(8, 1), torch.ones(3, 8)
        >>> WoodFisher(model, 0.75, lambda: model(x)[:, 0]).report().num_kept
        2
    """

    def saliency(self, weights: Tensor, fisher: Fisher) -> Tensor:
        """As :func:`~gsparse.prune.surgeons.brain_surgeon.obs_saliency`."""
        return obs_saliency(weights, fisher)

    def answer(self, weights: Tensor, fisher: Fisher, keep: Tensor) -> Tensor:
        """As :func:`~gsparse.prune.surgeons.brain_surgeon.summed_update`."""
        return summed_update(weights, fisher, keep)

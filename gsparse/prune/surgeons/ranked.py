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
    r"""Removes the weights of smallest :math:`w_q^2 H_{qq}`, from the `"Optimal Brain
    Damage"
    <https://proceedings.neurips.cc/paper/1989/hash/6c9882bbac1c7093bd25041881277658-Abstract.html>`_
    paper (LeCun, Denker, Solla, 1989), with a Fisher matrix for the Hessian.

    The other weights keep their values, unless ``update=True``. The arguments are those
    of :class:`~gsparse.prune.surgeons.second_order.SecondOrder`.

    **When to use it.** On a trained model, as the cheapest choice of second order.

    **When not to use it.** If removed weights share an effect: only the diagonal of the
    matrix counts, see :class:`~gsparse.prune.CombinatorialBrainSurgeon`. Nor on fresh
    weights: the quadratic model of the loss has no gradient.

    **Cost.** One backward pass per sample and cut. Memory is :math:`8 N n` bytes during
    a cut, for :math:`N` samples and :math:`n` weights.

    Example:
        >>> import torch
        >>> from gsparse.prune import OptimalBrainDamage
        >>> model, x = torch.nn.Linear(8, 1), torch.ones(3, 8)
        >>> pruner = OptimalBrainDamage(
        ...     model, sparsity=0.75, losses=lambda: model(x)[:, 0]
        ... )
        >>> pruner.report().num_kept
        2
    """

    updates = False

    def saliency(self, weights: Tensor, fisher: Fisher) -> Tensor:
        return obd_saliency(weights, fisher)


class OptimalBrainSurgeon(SecondOrder):
    r"""Removes the weights of smallest :math:`w_q^2 / [H^{-1}]_{qq}`, from the
    `"Optimal Brain Surgeon"
    <https://proceedings.neurips.cc/paper/1992/hash/303ed4c69846ab36c2904d3ba8573050-Abstract.html>`_
    paper (Hassibi, Stork, 1992), with a Fisher matrix for the Hessian.

    All weights of a cut are chosen at once and the kept weights are updated jointly.

    **When to use it.** On a trained model, to update the kept weights where no
    fine-tuning follows.

    **When not to use it.** If removed weights share an effect: the choice rates each
    alone, see :class:`~gsparse.prune.CombinatorialBrainSurgeon`. Nor on fresh weights:
    the quadratic model of the loss has no gradient.

    **Cost.** One backward pass per sample and cut, and :math:`O(N n^2)` with
    ``sequential=True``. Memory is :math:`8 N n` bytes during a cut, for :math:`N`
    samples and :math:`n` weights, and a copy of the targeted weights for :meth:`undo`.

    In contrast to the paper, which removes one weight at a time, as ``sequential=True``
    does, all are removed together.

    Args:
        sequential: Choose one weight at a time, with the update for those before it;
            without ``structure``.

    The other arguments are those of
    :class:`~gsparse.prune.surgeons.second_order.SecondOrder`.

    Example:
        >>> import torch
        >>> from gsparse.prune import OptimalBrainSurgeon
        >>> model, x = torch.nn.Linear(8, 1), torch.ones(3, 8)
        >>> pruner = OptimalBrainSurgeon(
        ...     model, sparsity=0.75, losses=lambda: model(x)[:, 0]
        ... )
        >>> pruner.report().num_kept
        2
    """

    def __init__(
        self,
        model: Module,
        *,
        sparsity: float,
        losses: Callable[[], Tensor] | None = None,
        sequential: bool = False,
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
        if sequential and structure is not None:
            raise ValueError(
                "'structure' must be None where sequential=True, which goes weight by "
                f"weight (got {structure!r}); use sequential=False"
            )
        self.sequential = sequential
        super().__init__(
            model,
            sparsity=sparsity,
            losses=losses,
            fisher=fisher,
            logits=logits,
            num_drawn=num_drawn,
            damping=damping,
            update=update,
            schedule=schedule,
            scope=scope,
            structure=structure,
            protect=protect,
            targets=targets,
            exclude=exclude,
            seed=seed,
        )

    def saliency(self, weights: Tensor, fisher: Fisher) -> Tensor:
        return obs_saliency(weights, fisher)

    def choose(self, weights: Tensor, fisher: Fisher, num_kept: int) -> Tensor:
        """Return which weights stay, chosen all at once or one at a time."""
        if self.sequential:
            return sequential_obs(weights, fisher, num_kept)
        return super().choose(weights, fisher, num_kept)


class WoodFisher(SecondOrder):
    r"""Removes the weights that :class:`OptimalBrainSurgeon` removes, and adds up its
    updates for each of them alone, from the `"WoodFisher"
    <https://arxiv.org/abs/2004.14340>`_ paper.

    The sum counts what removed weights share several times. The arguments are those of
    :class:`~gsparse.prune.surgeons.second_order.SecondOrder`.

    **When to use it.** As a baseline of joint updates.

    **When not to use it.** In practice: the joint update of
    :class:`OptimalBrainSurgeon` is never worse in the quadratic model.

    **Cost.** One backward pass per sample and cut. Memory is :math:`8 N n` bytes during
    a cut, for :math:`N` samples and :math:`n` weights, and a copy of the targeted
    weights for :meth:`undo`.

    Example:
        >>> import torch
        >>> from gsparse.prune import WoodFisher
        >>> model, x = torch.nn.Linear(8, 1), torch.ones(3, 8)
        >>> pruner = WoodFisher(model, sparsity=0.75, losses=lambda: model(x)[:, 0])
        >>> pruner.report().num_kept
        2
    """

    def saliency(self, weights: Tensor, fisher: Fisher) -> Tensor:
        return obs_saliency(weights, fisher)

    def change(self, weights: Tensor, fisher: Fisher, keep: Tensor) -> Tensor:
        return summed_update(weights, fisher, keep)

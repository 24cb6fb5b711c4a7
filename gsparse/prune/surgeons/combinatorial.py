"""The Combinatorial Brain Surgeon, and its update for masks of other methods."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.prune.masks import WeightMasks
from gsparse.prune.schedule import Schedule
from gsparse.prune.select import Scope
from gsparse.prune.surgeons.brain_surgeon import (
    joint_update,
    masked_loss,
)
from gsparse.prune.surgeons.fisher import DAMPING, Fisher
from gsparse.prune.surgeons.second_order import FisherKind, SecondOrder, flat, move_kept
from gsparse.prune.surgeons.swap_search import random_magnitude_partition, swap_search
from gsparse.prune.targets import Selector


def brain_surgeon_update(masks: WeightMasks, fisher: Fisher) -> dict[str, Tensor]:
    r"""Update the kept weights to compensate for the removed ones, by the update of the
    `"The Combinatorial Brain Surgeon" <https://arxiv.org/abs/2203.04466>`_ paper.

    Works with the masks of any method. Changes the kept weights; the values behind the
    masks stay. Meant for a trained model after its masks are set and before it is
    trained further. :func:`~gsparse.prune.surgeons.brain_surgeon.joint_update` gives
    the mathematics and the cost.

    Args:
        masks: Masks of a pruned model, such as ``pruner.masks``.
        fisher: Fisher matrix of the model before it was pruned: taken earlier, or
            within :func:`~gsparse.prune.surgeons.take_fisher.full_weights`.

    Returns:
        A copy of the parameters from before the update, by name.

    Raises:
        ValueError: If the Fisher matrix is not that of these weights, or has only zeros
            for the removed ones.

    Example:
        >>> import torch
        >>> from gsparse.prune import Magnitude, Pruner
        >>> from gsparse.prune import brain_surgeon_update, empirical_fisher
        >>> from gsparse.prune.surgeons.take_fisher import full_weights
        >>> model, x = torch.nn.Linear(2, 1, bias=False), torch.ones(1, 2)
        >>> with torch.no_grad():
        ...     _ = model.weight.copy_(torch.tensor([[2.0, 3.0]]))
        >>> masks = Pruner(model, Magnitude(), sparsity=0.5).masks
        >>> with full_weights(masks):
        ...     fisher = empirical_fisher(masks, lambda: model(x)[:, 0], damping=1e-6)
        >>> before = brain_surgeon_update(masks, fisher)
        >>> model(x).detach()
        tensor([[5.0000]])
    """
    keep = torch.cat([masks[name].flatten() for name in masks.targets])
    if keep.numel() != fisher.num_weights:
        raise ValueError(
            f"'fisher' must be of the {keep.numel()} weights with masks "
            f"(got {fisher.num_weights})"
        )
    if not keep.all() and not fisher.gradients[:, ~keep].any():
        raise ValueError(
            "'fisher' must be of the model before it was pruned (got gradients of 0 "
            "for every weight that is gone); take it within full_weights(masks)"
        )
    delta = joint_update(flat(masks.parameters()), fisher, keep)
    return move_kept(masks, {name: masks[name] for name in masks.targets}, delta[keep])


class CombinatorialBrainSurgeon(SecondOrder):
    r"""Chooses the removed weights together and updates the kept ones jointly, from the
    `"The Combinatorial Brain Surgeon: Pruning Weights That Cancel One Another in Neural
    Networks" <https://arxiv.org/abs/2203.04466>`_ paper.

    Example:
        The first two weights cancel each other at every sample, but magnitude would
        keep them.

        >>> import torch
        >>> from gsparse.prune import CombinatorialBrainSurgeon
        >>> model = torch.nn.Linear(3, 1, bias=False)
        >>> with torch.no_grad():
        ...     _ = model.weight.copy_(torch.tensor([[3.0, -3.0, 1.0]]))
        >>> x = torch.tensor([[1.0, 1.0, 1.0], [2.0, 2.0, 1.0]])
        >>> def losses():
        ...     return (model(x)[:, 0] - 2).square()
        >>> pruner = CombinatorialBrainSurgeon(
        ...     model, sparsity=0.66, losses=losses, damping=1e-3
        ... )
        >>> model.weight != 0
        tensor([[False, False,  True]])

    The choice is a local search for a small :math:`w_P^\top H_{PP} w_P`
    (:func:`~gsparse.prune.surgeons.swap_search.swap_search`), which finds weights whose
    effects cancel. It starts from magnitude, or from the best of a few random
    partitions by magnitude. The update is
    :func:`~gsparse.prune.surgeons.brain_surgeon.joint_update`.

    With one gradient per labelled node the Fisher matrix has such a low rank that
    ``damping`` decides; large values approach magnitude. Prefer ``fisher="true"`` when
    few nodes have labels: with the 60 labels of PubMed it kept more validation
    accuracy.

    In contrast to the paper, whose code returns the pass of lowest training loss, this
    is off by default (``judged=True`` does it, for one forward pass each): the loss of
    a pruned model before its update says little about the loss after it, and such
    searches often ended where they started.

    **When to use it.** On a trained model, if there is no time or there are no labels
    for fine-tuning: the kept weights are updated for those that are gone.

    **When not to use it.** On fresh weights: the quadratic model of the loss has no
    gradient. After long fine-tuning the difference to :class:`~gsparse.prune.Magnitude`
    is small.

    **Cost.** One backward pass per sample and the local search per cut. Memory is
    :math:`8 N n` bytes during a cut, for :math:`N` samples and :math:`n` weights, and a
    copy of the targeted weights for :meth:`undo`.

    Args:
        num_starts: Number of starts; the first one is plain magnitude.
        judged: Whether starts and passes are compared by ``losses`` instead of by the
            quadratic model; with ``scope="global"`` only.

    The other arguments are those of
    :class:`~gsparse.prune.surgeons.second_order.SecondOrder`, without ``structure`` and
    ``protect``; any ``scope`` but ``"global"`` searches each layer by itself.
    """

    takes_structure = False

    def __init__(
        self,
        model: Module,
        *,
        sparsity: float,
        losses: Callable[[], Tensor] | None = None,
        num_starts: int = 1,
        judged: bool = False,
        fisher: FisherKind | Fisher = "empirical",
        logits: Callable[[], Tensor] | None = None,
        num_drawn: int = 256,
        damping: float = DAMPING,
        update: bool | None = None,
        schedule: Schedule | None = None,
        scope: Scope = "global",
        targets: Iterable[Selector] | Selector | None = None,
        exclude: Iterable[Selector] | Selector = (),
        seed: int | None = None,
    ) -> None:
        if num_starts < 1:
            raise ValueError(f"'num_starts' must be at least 1 (got {num_starts})")
        if judged and (losses is None or scope != "global"):
            raise ValueError(
                "'judged' must come with 'losses' and scope='global' (got "
                f"losses={losses!r}, scope={scope!r})"
            )
        self.num_starts, self.judged = num_starts, judged
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
            targets=targets,
            exclude=exclude,
            seed=seed,
        )

    def saliency(self, weights: Tensor, fisher: Fisher) -> Tensor:
        """Return the magnitude of every weight, from which the search starts."""
        return weights.abs()

    def choose(self, weights: Tensor, fisher: Fisher, num_kept: int) -> Tensor:
        """Return which weights stay, by swaps from the best start."""
        judge = self.training_loss if self.judged else None

        def value(keep: Tensor) -> float:
            return judge(keep) if judge else masked_loss(weights, fisher, keep)

        generator = torch.Generator().manual_seed(self.seed % 2**63)
        starts = [super().choose(weights, fisher, num_kept)]
        for _ in range(self.num_starts - 1):
            starts.append(random_magnitude_partition(weights, num_kept, generator))
        start = min(starts, key=value) if len(starts) > 1 else starts[0]
        return swap_search(weights, fisher, start, judge=judge)

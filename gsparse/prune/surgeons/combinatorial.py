"""The Combinatorial Brain Surgeon, and its update on masks of other methods."""

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
    r"""Let the kept weights make up for the removed ones, whatever method chose them:
    the update of the `"The Combinatorial Brain Surgeon"
    <https://arxiv.org/abs/2203.04466>`_ paper.

    Changes the parameters behind the masks, where the masks keep them; those it removed
    hold what they held. Meant for masks set on a trained model, before it is trained
    on. See :func:`~gsparse.prune.surgeons.brain_surgeon.joint_update` for the
    mathematics and the cost.

    Args:
        masks: Of a pruned model, such as ``pruner.masks``.
        fisher: Of the model before it was pruned: taken earlier, or within
            :func:`~gsparse.prune.surgeons.take_fisher.full_weights`.

    Returns:
        A copy of the parameters as they were, by name.

    Raises:
        ValueError: If the Fisher matrix is not of these weights, or knows nothing of
            those that are gone.

    Example:
        >>> import torch
        >>> from gsparse.prune import Magnitude
        >>> from gsparse.prune import brain_surgeon_update
        >>> from gsparse.prune import empirical_fisher
        >>> from gsparse.prune.surgeons.take_fisher import full_weights
        >>> model, x = torch.nn.Linear(2, 1, bias=False), torch.ones(1, 2)
        >>> with torch.no_grad():
        ...     _ = model.weight.copy_(torch.tensor([[2.0, 3.0]]))
        >>> masks = Magnitude(model, sparsity=0.5).masks
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
    r"""Chooses the removed weights together and lets the kept ones answer together,
    from the `"The Combinatorial Brain Surgeon: Pruning Weights That Cancel One Another
    in Neural Networks" <https://arxiv.org/abs/2203.04466>`_ paper.

    The choice is a local search for a small :math:`w_P^\top H_{PP} w_P`
    (:func:`~gsparse.prune.surgeons.swap_search.swap_search`), which finds weights whose
    effects cancel; it starts from magnitude, or the best of a few random partitions by
    magnitude. The answer is
    :func:`~gsparse.prune.surgeons.brain_surgeon.joint_update`.

    With one gradient for each labelled node the Fisher matrix has so low a rank that
    ``damping`` decides; large values approach magnitude. Prefer ``fisher="true"`` when
    few nodes have labels: on PubMed's 60 it kept more validation accuracy.

    The paper's code returns the pass of lowest training loss, as ``judged=True`` does
    at one forward pass each. It is off: the loss of a pruned model before it answers
    says little about the one after, and such searches often ended where they started.

    Prune a trained model: the model of the loss has no gradient.

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        losses: As for :class:`~gsparse.prune.surgeons.second_order.SecondOrder`.
        num_starts: Starts tried, the first of which is plain magnitude.
        judged: Whether starts and passes are compared by the losses, which it needs,
            rather than by the quadratic model.
        fisher: This and the others as for
            :class:`~gsparse.prune.surgeons.second_order.SecondOrder`.
        class_scores: As above.
        num_drawn: As above.
        damping: As above.
        update: As above.
        schedule: As above.
        scope: As above; any but ``"global"`` searches each layer by itself.
        exclude: As above.
        targets: As above.
        seed: As above.

    Example:
        The first two weights cancel each other at every sample. Magnitude keeps them.

        >>> import torch
        >>> from gsparse.prune import CombinatorialBrainSurgeon
        >>> model = torch.nn.Linear(3, 1, bias=False)
        >>> with torch.no_grad():
        ...     _ = model.weight.copy_(torch.tensor([[3.0, -3.0, 1.0]]))
        >>> x = torch.tensor([[1.0, 1.0, 1.0], [2.0, 2.0, 1.0]])
        >>> pruner = CombinatorialBrainSurgeon(
        ...     model, 0.66, lambda: (model(x)[:, 0] - 2).square(), damping=1e-3
        ... )
        >>> model.weight != 0
        tensor([[False, False,  True]])
    """

    def __init__(
        self,
        model: Module,
        sparsity: float,
        losses: Callable[[], Tensor] | None = None,
        num_starts: int = 1,
        judged: bool = False,
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
        )

    def saliency(self, weights: Tensor, fisher: Fisher) -> Tensor:
        """The magnitude, from which the search starts."""
        return weights.abs()

    def choose(self, weights: Tensor, fisher: Fisher, num_kept: int) -> Tensor:
        """Swap from the best start."""
        judge = None
        if self.judged:
            judge = self.training_loss

        def value(keep: Tensor) -> float:
            return judge(keep) if judge else masked_loss(weights, fisher, keep)

        generator = torch.Generator().manual_seed(self.seed % 2**63)
        starts = [super().choose(weights, fisher, num_kept)]
        for _ in range(self.num_starts - 1):
            starts.append(random_magnitude_partition(weights, num_kept, generator))
        start = min(starts, key=value) if len(starts) > 1 else starts[0]
        return swap_search(weights, fisher, start, judge=judge)

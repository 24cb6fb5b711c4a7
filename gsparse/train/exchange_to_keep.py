"""Find the largest sparsity at which exchanged edges keep enough predictions."""

from collections.abc import Callable
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from gsparse.edges import budget

ROUNDS, CLOSE = 10, 0.02
"""Most sparsities that are tried; the search ends when the number of edges is known up
to this share of it."""

FIRST = 0.5
"""First guess in place of a sparsity of 0."""


class Exchanged(NamedTuple):
    """Edges at the end of an exchange."""

    present: Tensor
    """Whether each pair is in the graph."""

    gradient: Tensor
    """Derivative of the loss by the weight of each pair."""

    kept_before: float
    kept: float
    num_steps: int


Evaluate = Callable[[Tensor], tuple[float, float, Callable[[], Tensor]]]


def search_to_keep(
    exchange: Callable[[Tensor, float], Exchanged],
    evaluate: Evaluate,
    shuffle: Callable[[int], Tensor],
    num_pairs: int,
    sparsity: float,
    keep: float,
) -> Exchanged:
    """Exchange edges at several sparsities, between the last that kept enough
    predictions and the first that did not.

    Each trial starts with edges of the last success: those that the loss, to first
    order, misses least are removed. In the end as many more of them are removed as the
    predictions allow.

    Args:
        exchange: Exchanges some of the given edges until enough predictions are kept.
        evaluate: Returns loss, share kept, and a function for the derivatives.
        shuffle: Returns a random permutation of that many numbers.
        num_pairs: Number of pairs of the graph.
        sparsity: First guess.
        keep: Share of the predictions to keep.

    Returns:
        The smallest set of edges found; its ``kept_before`` is the share that as many
        random edges keep, and ``num_steps`` counts all trials.

    Raises:
        ValueError: If not even all edges keep so many predictions.
    """
    device = shuffle(1).device
    present = torch.ones(num_pairs, dtype=torch.bool, device=device)
    _, most, slope = evaluate(present)
    if most < keep:
        raise ValueError(
            f"'keep' must be at most {most:.4g}, which the graph with all edges keeps "
            f"(got {keep}); check 'logits'"
        )
    best = Exchanged(present, slope(), most, most, 0)
    steps, fewest = 0, 0
    size = budget(num_pairs, sparsity or FIRST)
    for _ in range(ROUNDS):
        most = int(best.present.sum())
        size = min(max(size, fewest + 1), most - 1)
        if size <= fewest or most - fewest <= CLOSE * most:
            break
        found = exchange(_without(best, most - size, shuffle), keep)
        steps += found.num_steps
        if found.kept >= keep:
            best = found
            size = int(sqrt(size * max(fewest, size // 4, 1)))
        else:
            fewest = size
            size = int(sqrt(size * most))
    best = _fewer(best, evaluate, keep)
    random = torch.zeros_like(best.present)
    random[shuffle(num_pairs)[: int(best.present.sum())]] = True
    return best._replace(kept_before=evaluate(random)[1], num_steps=steps)


def _without(of: Exchanged, count: int, shuffle: Callable[[int], Tensor]) -> Tensor:
    """Return the edges without those that are missed least, ties at random."""
    order = shuffle(of.present.numel())
    value = of.gradient.masked_fill(~of.present, -torch.inf)[order]
    present = of.present.clone()
    present[order[value.topk(count).indices]] = False
    return present


def _fewer(of: Exchanged, evaluate: Evaluate, keep: float) -> Exchanged:
    """Remove as many more edges as the predictions allow, by bisection."""
    order = of.gradient.masked_fill(~of.present, -torch.inf).argsort(descending=True)
    low, high, best = 0, int(of.present.sum()) + 1, of
    while high - low > 1:
        count = (low + high) // 2
        trial = of.present.clone()
        trial[order[:count]] = False
        kept = evaluate(trial)[1]
        if kept >= keep:
            low, best = count, of._replace(present=trial, kept=kept)
        else:
            high = count
    return best

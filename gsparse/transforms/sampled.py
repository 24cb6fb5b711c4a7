"""Base class of the sparsifiers that sample edges and reweight them."""

from collections.abc import Callable
from math import isfinite, log

import torch
from torch import Tensor

from gsparse.edges import (
    Pairs,
    budget,
    check_sparsity,
    draw_seed,
    pair_uniform,
    priority_sample,
    sample_with_replacement,
)
from gsparse.edges.sample import check_score, sampled_factor
from gsparse.linalg.forest import spanning_forest
from gsparse.transforms.base import EdgeSparsifier, Selection
from gsparse.transforms.pair_stream import PairBlock, PairStream, keep_largest_blocks


def num_draws(num_nodes: int, epsilon: float) -> int:
    r"""Return FastGAT's number of draws, :math:`q = 0.16\, N \ln N / \epsilon^2`.

    Example:
        >>> from gsparse.transforms.sampled import num_draws
        >>> num_draws(num_nodes=19717, epsilon=0.5)  # PubMed has 44324 edges
        124791
    """
    return round(0.16 * num_nodes * log(max(num_nodes, 1)) / epsilon**2)


class SampledSparsifier(EdgeSparsifier):
    r"""Base class of transforms that sample undirected edges by importance.

    With ``sparsity``, :func:`~gsparse.edges.priority_sample` gives an exact number of
    edges, and samples are nested. With ``epsilon``, :func:`num_draws` edges are drawn
    with replacement as in the papers, and their number is random. Both are unbiased.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        epsilon: Spectral tolerance, positive; the alternative to ``sparsity``.
        reweight: Multiply the weights of the kept edges so that the expected weight of
            every edge is unchanged. Otherwise the old weights are kept.
        connected: Always keep a spanning forest of maximum importance, so that no
            component is split.
        seed: Random seed; ``None`` draws a new one per call.
    """

    needs = ("seed",)
    reweights = True

    def __init__(
        self,
        sparsity: float | None = None,
        epsilon: float | None = None,
        reweight: bool = True,
        connected: bool = False,
        seed: int | None = None,
    ) -> None:
        if (sparsity is None) == (epsilon is None):
            raise ValueError(
                "give exactly one of 'sparsity' and 'epsilon' "
                f"(got sparsity={sparsity}, epsilon={epsilon})"
            )
        if sparsity is not None:
            check_sparsity(sparsity)
        elif not (epsilon is not None and epsilon > 0 and isfinite(epsilon)):
            raise ValueError(f"'epsilon' must be positive and finite (got {epsilon})")
        self.sparsity = sparsity  # type: ignore[assignment]
        self.epsilon = epsilon
        self.reweight = reweight
        self.connected = connected
        self.seed = seed

    def select(
        self, importance: Tensor, pairs: Pairs, weight: Tensor | None
    ) -> Selection:
        seed = draw_seed(self.seed)
        sure = None
        if self.connected:
            sure = spanning_forest(pairs.row, pairs.col, importance, pairs.num_nodes)
        if self.epsilon is None:
            keep, factor = priority_sample(importance, self.sparsity, pairs, seed, sure)
        else:
            q = num_draws(pairs.num_nodes, self.epsilon)
            keep, factor = sample_with_replacement(importance, q, seed, sure)
        return Selection(keep, factor if self.reweight else None)

    def select_blocks(self, stream: PairStream) -> Callable[[PairBlock], Selection]:
        if self.epsilon is not None or self.connected:
            setting = "connected=True" if self.connected else f"epsilon={self.epsilon}"
            raise ValueError(
                f"{type(self).__name__} with {setting} needs the whole graph in memory "
                "(got a graph folder); use 'sparsity' alone, or apply it to "
                "open_graph(folder).data()"
            )
        k = budget(stream.num_pairs, self.sparsity)
        if k == stream.num_pairs:
            return super().select_blocks(stream)
        importance, seed = self.block_importance(stream), draw_seed(self.seed)

        def priority(block: PairBlock) -> Tensor:
            return check_score(importance(block)) / pair_uniform(block.pairs, seed)

        keep = keep_largest_blocks(stream, priority, k, hash_ties=False)

        def select(block: PairBlock) -> Selection:
            kept = keep(block)
            if not self.reweight:
                return Selection(kept)
            score = check_score(importance(block))
            return Selection(kept, sampled_factor(score, keep.threshold))

        return select


def degree(pairs: Pairs, weight: Tensor | None) -> Tensor:
    """Compute the weighted degree of every node without self-loops.

    Shapes:
        - **weight:** :math:`(M,)`
        - **output:** :math:`(N,)`, float64
    """
    ends = torch.cat([pairs.row, pairs.col])
    both = None if weight is None else torch.cat([weight, weight])
    return torch.bincount(ends, both, minlength=pairs.num_nodes).double()

"""KNeighbor: every node keeps random edges of its own."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.edges import Pairs, check_sparsity, draw_seed, pair_uniform
from gsparse.transforms.as_function import as_function
from gsparse.transforms.base import EdgeSparsifier, Selection
from gsparse.transforms.node_ranks import NodeRanks
from gsparse.transforms.pair_stream import BlockImportance, PairBlock, PairStream
from gsparse.transforms.sampled import degree


class KNeighbor(EdgeSparsifier):
    r"""Keeps the edges of every node to some of its neighbours, chosen at random, from
    the `"Graph Sparsification Approaches for Laplacian Smoothing"
    <https://proceedings.mlr.press/v51/sadhanala16.html>`_ paper.

    Example:
        >>> from gsparse.data import star
        >>> from gsparse.transforms import KNeighbor
        >>> KNeighbor(k=1, seed=7)(star(5)).num_edges  # each leaf has one edge
        10

    Each node puts its edges in random order, and an edge stays if it is among the first
    :math:`k` of one of its ends. The importance is therefore

    .. math::
        s_{uv} = 1 / \min(r_u(v), r_v(u))

    for the places :math:`r` in both orders. With edge weights, the orders are those of
    draws without replacement in proportion to the weights. Nodes of low degree keep
    their edges and hubs lose most, so that no node is isolated while all edges of
    importance 1 are kept; on a social network these can be most edges. The weights of
    the kept edges are unchanged.

    **When to use it.** If every node has to keep a neighbour, and edges are otherwise
    alike.

    **When not to use it.** If hubs carry the signal: they lose most edges;
    :class:`LocalDegree` prefers them. Where isolated nodes do no harm,
    :class:`RandomEdge` is simpler.

    **Cost.** Two sorts of the edges. Memory is a few numbers per edge.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        k: Number of edges that each node keeps, the alternative to ``sparsity``; more
            stay, which other nodes keep.
        seed: Random seed; ``None`` draws a new one per call from torch's global
            generator.

    Raises:
        ValueError: If not exactly one of ``sparsity`` and ``k`` is given, or one is out
            of range.
    """

    folder_work = "ranks"

    needs = ("seed",)

    def __init__(
        self,
        sparsity: float | None = None,
        k: int | None = None,
        seed: int | None = None,
    ) -> None:
        if (sparsity is None) == (k is None):
            raise ValueError(
                "give exactly one of 'sparsity' and 'k' "
                f"(got sparsity={sparsity}, k={k})"
            )
        if sparsity is not None:
            check_sparsity(sparsity)
        elif isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ValueError(f"'k' must be a positive integer (got {k!r})")
        self.sparsity = sparsity  # type: ignore[assignment]
        self.k, self.seed = k, seed

    def pair_importance(
        self, data: Data, pairs: Pairs, weight: Tensor | None
    ) -> Tensor:
        key = torch.cat(_keys(pairs, weight, draw_seed(self.seed)))
        ends = torch.cat([pairs.row, pairs.col])
        order = key.argsort(stable=True)
        order = order[ends[order].argsort(stable=True)]  # by node, then by key
        d = degree(pairs, None).long()
        start = d.cumsum(0) - d
        place = torch.empty_like(order)
        place[order] = torch.arange(order.numel(), device=order.device)
        place += 1 - start[ends]
        return 1 / place.view(2, -1).amin(0).double()

    def select(
        self, importance: Tensor, pairs: Pairs, weight: Tensor | None
    ) -> Selection:
        if self.k is None:
            return super().select(importance, pairs, weight)
        return Selection(importance >= 1 / self.k)

    def block_importance(self, stream: PairStream) -> BlockImportance:
        seed = draw_seed(self.seed)

        def keys(block: PairBlock) -> tuple[Tensor, Tensor]:
            return _keys(block.pairs, block.weight, seed)

        ranks = NodeRanks(stream, stream.degree(weighted=False), keys, shared=False)
        return lambda block: 1 / torch.minimum(*ranks.read(block)).double()

    def select_blocks(self, stream: PairStream) -> Callable[[PairBlock], Selection]:
        if self.k is None:
            return super().select_blocks(stream)
        importance, least = self.block_importance(stream), 1 / self.k
        return lambda block: Selection(importance(block) >= least)


def _keys(pairs: Pairs, weight: Tensor | None, seed: int) -> tuple[Tensor, Tensor]:
    """Draw the number by which each end of a pair orders it.

    Shapes:
        - **weight**, both outputs: :math:`(M,)`
    """
    first, second = (pair_uniform(pairs, seed, stream) for stream in (0, 1))
    if weight is None:
        return first, second
    # The first arrival of a Poisson process of this rate.
    return -first.log() / weight.double(), -second.log() / weight.double()


k_neighbor = as_function(KNeighbor, "k_neighbor")

"""LocalDegree: every node keeps the edges to its neighbours of highest degree."""

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.edges import Pairs
from gsparse.transforms.as_function import as_function
from gsparse.transforms.base import EdgeSparsifier
from gsparse.transforms.node_ranks import NodeRanks
from gsparse.transforms.pair_stream import BlockImportance, PairBlock, PairStream
from gsparse.transforms.sampled import degree


class LocalDegree(EdgeSparsifier):
    r"""Keeps the edges of every node to its neighbours of highest degree, from the
    `"Structure-preserving sparsification methods for social networks"
    <https://doi.org/10.1007/s13278-016-0332-2>`_ paper.

    Example:
        >>> from gsparse.data import star
        >>> from gsparse.transforms import LocalDegree
        >>> LocalDegree(sparsity=0.5)(star(5))
        Data(edge_index=[2, 6], num_nodes=6, e_id=[6])

    With an exponent :math:`\alpha \in [0, 1]`, node :math:`u` keeps the edges to its
    :math:`d_u^\alpha` neighbours of highest degree. The importance of an edge is one
    minus the smallest exponent at which one of its ends keeps it:

    .. math::
        s_{uv} = 1 - \min \left( \frac{\log r_u(v)}{\log d_u},
        \frac{\log r_v(u)}{\log d_v} \right),

    where :math:`r_u(v)` is one plus the number of neighbours of :math:`u` whose degree
    is larger than that of :math:`v`. Edges of importance 1 connect every node to a
    neighbour of highest degree, so that no node is isolated while all of these are
    kept.

    **When to use it.** If hubs and short paths have to stay, as for drawing or for
    distances.

    **When not to use it.** If edges between nodes of low degree matter for the labels:
    these are removed first. Edge weights are not used.

    **Cost.** One sort of the edges. Memory is a few numbers per edge.

    In contrast to the paper, neighbours of equal degree share a rank. Which of them are
    kept is decided by the budget, and ties are broken by a hash of the pair.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
    """

    folder_work = "ranks"

    def pair_importance(
        self, data: Data, pairs: Pairs, weight: Tensor | None
    ) -> Tensor:
        d = degree(pairs, None).long()
        source = torch.cat([pairs.row, pairs.col])
        target = torch.cat([pairs.col, pairs.row])
        most = int(d.max()) if d.numel() else 0
        key = source * (most + 1) + most - d[target]  # by source, largest degree first
        start = d.cumsum(0) - d
        above = torch.searchsorted(key.sort().values, key) - start[source]
        exponent = _exponent(above + 1, d[source])
        return 1 - exponent.view(2, -1).amin(0)

    def block_importance(self, stream: PairStream) -> BlockImportance:
        d = stream.degree(weighted=False)

        def keys(block: PairBlock) -> tuple[Tensor, Tensor]:
            return -d[block.pairs.col], -d[block.pairs.row]

        ranks = NodeRanks(stream, d, keys, shared=True)

        def importance(block: PairBlock) -> Tensor:
            first, second = ranks.read(block)
            pairs = block.pairs
            return 1 - torch.minimum(
                _exponent(first, d[pairs.row]), _exponent(second, d[pairs.col])
            )

        return importance


def _exponent(rank: Tensor, degree: Tensor) -> Tensor:
    """Return the exponent at which a node keeps the edge of this rank."""
    exponent = rank.double().log() / degree.double().log()
    return exponent.nan_to_num(0.0)  # 0 / 0 of leaves


local_degree = as_function(LocalDegree, "local_degree")

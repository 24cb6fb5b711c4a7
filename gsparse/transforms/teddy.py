"""Teddy: edges between nodes of low-degree neighbourhoods stay."""

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.edges import Pairs
from gsparse.transforms.base import EdgeSparsifier, as_function
from gsparse.transforms.sampled import degree


class Teddy(EdgeSparsifier):
    r"""Keeps edges whose end points and their neighbours have low degrees: the edge
    importance of the `"TEDDY: Trimming Edges with Degree-based Discrimination strategY"
    <https://arxiv.org/abs/2402.01261>`_ paper.

    .. math::
        s_{uv} = s_u s_v, \qquad
        s_u = d_u^{-2} \sum_{w \in N(u)} d_w^{-1/2}

    Looks at the structure alone; the most important edges survive, so that hubs lose
    their edges first. Costs two passes over the edges.

    Only the importance is the paper's: its distillation and its pruning of weights are
    left to :class:`~gsparse.train.Distillation` and other tools, and the edges go at
    once instead of 5 % a round. Weights of edges are not looked at.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).

    Example:
        >>> from gsparse.data import barbell
        >>> from gsparse.transforms import Teddy
        >>> Teddy(sparsity=0.5)(barbell(4))  # 13 edges
        Data(edge_index=[2, 14], num_nodes=8, e_id=[14])
    """

    needs_undirected = True

    def pair_importance(
        self, data: Data, pairs: Pairs, weight: Tensor | None
    ) -> Tensor:
        d = degree(pairs, None)
        root = d.rsqrt()
        near = torch.zeros_like(d).index_add_(0, pairs.row, root[pairs.col])
        near.index_add_(0, pairs.col, root[pairs.row])
        own = near / d.square()
        return own[pairs.row] * own[pairs.col]

    def __repr__(self) -> str:
        return f"Teddy(sparsity={self.sparsity})"


def teddy(
    edge_index: Tensor,
    edge_weight: Tensor | None = None,
    num_nodes: int | None = None,
    *,
    sparsity: float,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """:class:`Teddy` on bare tensors.

    Returns:
        ``(edge_index, edge_weight, e_id)`` of the surviving entries.

    Shapes:
        - **edge_index:** :math:`(2, E)`
        - **edge_weight:** :math:`(E,)`
    """
    return as_function(Teddy(sparsity), edge_index, edge_weight, num_nodes)

"""Teddy: keep edges between nodes of low degree."""

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.edges import Pairs
from gsparse.transforms.as_function import as_function
from gsparse.transforms.base import EdgeSparsifier
from gsparse.transforms.sampled import degree


class Teddy(EdgeSparsifier):
    r"""Keeps edges whose end points and their neighbours have low degrees, by the
    importance of the `"TEDDY: Trimming Edges with Degree-based Discrimination
    strategY" <https://arxiv.org/abs/2402.01261>`_ paper.

    Example:
        >>> from gsparse.data import barbell
        >>> from gsparse.transforms import Teddy
        >>> Teddy(sparsity=0.5)(barbell(4))  # 13 edges
        Data(edge_index=[2, 14], num_nodes=8, e_id=[14])

    The importance of an edge is

    .. math::
        s_{uv} = s_u s_v, \qquad
        s_u = d_u^{-2} \sum_{w \in N(u)} d_w^{-1/2}.

    Hubs lose their edges first. Edge weights are not used.

    **When to use it.** If edges of hubs are noise, and with distillation, as in the
    paper.

    **When not to use it.** If hubs carry the signal. For a trained model whose weights
    stay it was not better than random edges on PubMed.

    **Cost.** Two passes over the edges. Memory is one number per edge and per node.

    In contrast to the paper, only the importance is used here. Its distillation is
    available as :class:`~gsparse.train.Distillation`, its weight pruning is not
    included, and all edges are removed at once instead of 5 % per round.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
    """

    def pair_importance(
        self, data: Data, pairs: Pairs, weight: Tensor | None
    ) -> Tensor:
        d = degree(pairs, None)
        root = d.rsqrt()
        near = torch.zeros_like(d).index_add_(0, pairs.row, root[pairs.col])
        near.index_add_(0, pairs.col, root[pairs.row])
        own = near / d.square()
        return own[pairs.row] * own[pairs.col]


teddy = as_function(Teddy, "teddy")

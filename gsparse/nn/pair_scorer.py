"""Scores for every edge from the features of its end points."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Linear, Module, Parameter, init

from gsparse.edges import Pairs, tie_breaker, undirected_pairs
from gsparse.kernels.csr_pattern import CsrPattern
from gsparse.kernels.pair_scores import pair_scores
from gsparse.kernels.spmm_op import sddmm
from gsparse.nn.placement import Placement, placement


class EdgeGroups(NamedTuple):
    """Groups of edges that are kept or removed together, and the positions of their
    entries.

    Shapes:
        - **row, col, order, t_order, tie:** :math:`(M,)`
    """

    row: Tensor
    col: Tensor
    places: Placement
    """Entries of each group; self-loops belong to none."""

    pattern: CsrPattern
    order: Tensor
    """Group of each entry of the pattern."""

    t_order: Tensor
    """The same in the order of the transposed pattern."""

    tie: Tensor
    """A hash of the end points that breaks ties between groups of equal rank."""

    @property
    def num_groups(self) -> int:
        """Number of undirected pairs, or of directed edges."""
        return self.row.numel()

    def spread(self, values: Tensor, fill: float = 1.0) -> Tensor:
        """Return the value of its group for each entry; self-loops get ``fill``."""
        return self.places.put(values, fill)


def edge_groups(edge_index: Tensor, num_nodes: int, symmetric: bool) -> EdgeGroups:
    """Group edges into undirected pairs, or put every entry into a group of its own;
    self-loops belong to no group.

    Args:
        edge_index: The graph.
        num_nodes: Number of nodes.
        symmetric: Whether both directions of an edge form one group.

    Shapes:
        - **edge_index:** :math:`(2, E)`
    """
    if symmetric:
        pairs = undirected_pairs(edge_index, num_nodes)
        row, col, group = pairs.row, pairs.col, pairs.pair
        tie = tie_breaker(pairs)
    else:
        real = edge_index[0] != edge_index[1]
        row, col = edge_index[:, real]
        group = torch.where(real, real.cumsum(0) - 1, -1)
        tie = tie_breaker(Pairs(row, col, group, num_nodes))
    pattern, order = _sorted_pattern(torch.stack([col, row]), num_nodes)
    places = placement(torch.where(group < 0, row.numel(), group), row.numel())
    t_order = order[pattern.t_perm.long()]
    return EdgeGroups(row, col, places, pattern, order, t_order, tie)


def _sorted_pattern(ends: Tensor, num_nodes: int) -> tuple[CsrPattern, Tensor]:
    """Return the sparsity pattern of targets and sources, and the edge of each
    entry.
    """
    row, order = ends[1].sort(stable=True)
    bounds = torch.arange(num_nodes + 1, device=row.device)
    indptr = torch.searchsorted(row, bounds)
    return CsrPattern.from_csr(indptr, ends[0][order], num_nodes), order


class PairScorer(Module):
    r"""Attention over the projected features of two nodes.

    With :math:`h = \tanh(W x)`, the k-th score of an edge :math:`(u, v)` is

    .. math::
        s_k = \tfrac{1}{\sqrt{d}} \sum_c w_{kc} h_{uc} h_{vc}
              + p_k \cdot h_u + q_k \cdot h_v + c_k,

    which is symmetric in u and v if ``symmetric`` (then p = q). No tensor of edges
    times channels is stored.

    Args:
        in_channels: Number of features.
        hidden_channels: Width :math:`d` of the projection.
        num_scores: Number of scores per edge.
        symmetric: Whether the score ignores the order of the end points.
        fused: Whether to use a kernel where there is one (CPU); it has no second
            derivatives.

    Shapes:
        - **x:** :math:`(N, F)`
        - **output:** :math:`(M, K)`
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_scores: int,
        symmetric: bool = True,
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.fused = fused
        self.lin = Linear(in_channels, hidden_channels)
        self.product = Parameter(torch.empty(num_scores, hidden_channels))
        ends = 1 if symmetric else 2
        self.ends = Parameter(torch.empty(ends, num_scores, hidden_channels))
        self.bias = Parameter(torch.empty(num_scores))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reinitialise all parameters; scores start small."""
        self.lin.reset_parameters()
        init.normal_(self.product, std=0.1)
        init.normal_(self.ends, std=0.1)
        init.zeros_(self.bias)

    def forward(self, x: Tensor, groups: EdgeGroups, flip: bool = False) -> Tensor:
        """Return the scores of every group; with ``flip`` those of the reversed
        edges.
        """
        hidden = torch.tanh(self.lin(x))
        product = self.product / math.sqrt(hidden.size(1))
        own = hidden @ self.ends.flatten(0, 1).t()
        left, right = own.chunk(2, 1) if self.ends.size(0) == 2 else (own, own)
        left, right = (right, left) if flip else (left, right)
        left = left + self.bias
        known = hidden.dtype in (torch.float32, torch.float64)
        if self.fused and known and hidden.device.type == "cpu":
            order = groups.order, groups.t_order
            return pair_scores(groups.pattern, order, hidden, product, left, right)
        inner = [sddmm(groups.pattern, hidden * it, hidden) for it in product]
        inner_products = torch.stack(inner, dim=1)
        in_order = torch.empty_like(inner_products)
        in_order = in_order.index_copy(0, groups.order, inner_products)
        return (
            in_order
            + left.index_select(0, groups.row)
            + right.index_select(0, groups.col)
        )

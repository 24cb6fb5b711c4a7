"""GCNConv and SAGEConv as one product with a cached sparse matrix."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.nn import GCNConv, SAGEConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import is_torch_sparse_tensor

from gsparse.kernels.spmm import SparseMatrix, spmm
from gsparse.kernels.tensor_cache import TensorCache
from gsparse.nn.weighted_sum import aggregate_normalised, aggregate_weighted

# ruff: noqa: ANN401 (PyG's arguments are unions of tensors, pairs and adjacencies)

_MATRICES: TensorCache[SparseMatrix] = TensorCache(max_entries=16)


def _serves(x: Any, edge_index: Any) -> bool:
    """Whether a product covers this call; otherwise PyG's code runs."""
    return (
        isinstance(x, Tensor)
        and isinstance(edge_index, Tensor)
        and not is_torch_sparse_tensor(edge_index)
    )


def _changes(layer: Module, edge_weight: Tensor) -> bool:
    """Whether the weights are new in every call, so that nothing is worth keeping."""
    learned = torch.is_grad_enabled() and edge_weight.requires_grad
    return learned or getattr(layer, "weights_change", False)


def _without_bias(layer: Any, x: Tensor) -> Tensor:
    """What a linear layer makes of ``x`` before it adds its bias."""
    if hasattr(layer, "product"):  # a layer that holds its weight in another form
        return layer.product(x)
    return torch.nn.functional.linear(x, layer.weight)


class FastGCNConv(GCNConv):
    r"""`"Semi-Supervised Classification with Graph Convolutional Networks"
    <https://arxiv.org/abs/1609.02907>`_ as :math:`\hat{A} (X W)`, built once.

    A drop-in for :class:`torch_geometric.nn.GCNConv`: same arguments, same parameters,
    same output to rounding. The normalised adjacency is built once per graph (while
    its tensors live unchanged), and no message is ever stored per edge. Weights that
    need a gradient get one; then only where the entries stand is kept. Where the graph
    is a sparse tensor PyG's code runs.

    Args:
        *args: As :class:`torch_geometric.nn.GCNConv`.
        **kwargs: As :class:`torch_geometric.nn.GCNConv`.

    Shapes:
        - **x:** :math:`(N, F_{in})`
        - **edge_index:** :math:`(2, E)`
        - **edge_weight:** :math:`(E,)`
        - **output:** :math:`(N, F_{out})`

    Example:
        >>> import torch
        >>> from gsparse.nn import FastGCNConv
        >>> FastGCNConv(3, 4)(torch.ones(2, 3), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([2, 4])
    """

    def forward(
        self, x: Tensor, edge_index: Any, edge_weight: Tensor | None = None
    ) -> Tensor:
        if not (self.normalize and _serves(x, edge_index)):
            return super().forward(x, edge_index, edge_weight)
        hidden = self.lin(x)
        if edge_weight is not None and _changes(self, edge_weight):
            ends = edge_index if self.flow == "source_to_target" else edge_index.flip(0)
            loop = (2.0 if self.improved else 1.0) if self.add_self_loops else None
            out = aggregate_normalised(hidden, ends, edge_weight, loop)
            return out if self.bias is None else out + self.bias
        matrix = _MATRICES.get(
            (edge_index, edge_weight),
            (
                hidden.size(0),
                hidden.dtype,
                self.improved,
                self.add_self_loops,
                self.flow,
            ),
            lambda: self._matrix(edge_index, edge_weight, hidden),
        )
        out = spmm(matrix, hidden)
        return out if self.bias is None else out + self.bias

    def _matrix(
        self, edge_index: Tensor, edge_weight: Tensor | None, like: Tensor
    ) -> SparseMatrix:
        n = like.size(0)
        ends, weight = gcn_norm(
            edge_index.as_subclass(Tensor),
            edge_weight,
            n,
            self.improved,
            self.add_self_loops,
            self.flow,
            like.dtype,
        )
        ends = ends if self.flow == "source_to_target" else ends.flip(0)
        return SparseMatrix.from_entries(
            ends[1], ends[0], weight.to(like.dtype), (n, n)
        )


class FastSAGEConv(SAGEConv):
    r"""`"Inductive Representation Learning on Large Graphs"
    <https://arxiv.org/abs/1706.02216>`_, mean aggregation, built once.

    A drop-in for :class:`torch_geometric.nn.SAGEConv` with ``aggr="mean"``; the mean is
    taken after the linear map, which is the same and narrower. ``edge_weight`` makes
    it a weighted mean, so that a weight of 0 is an absent edge. Other aggregations,
    bipartite input and sparse tensors run PyG's code.

    Args:
        *args: As :class:`torch_geometric.nn.SAGEConv`.
        **kwargs: As :class:`torch_geometric.nn.SAGEConv`.

    Shapes:
        As :class:`FastGCNConv`.

    Example:
        >>> import torch
        >>> from gsparse.nn import FastSAGEConv
        >>> FastSAGEConv(3, 4)(torch.ones(2, 3), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([2, 4])
    """

    def forward(
        self,
        x: Any,
        edge_index: Any,
        size: Any = None,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        plain = self.aggr == "mean" and not self.project and size is None
        if not (plain and _serves(x, edge_index)):
            if edge_weight is not None:
                raise ValueError(
                    "'edge_weight' needs aggr='mean' and a [2, E] edge_index "
                    f"(got aggr={self.aggr!r})"
                )
            return super().forward(x, edge_index, size)
        hidden = _without_bias(self.lin_l, x)
        if edge_weight is not None and _changes(self, edge_weight):
            ends = edge_index if self.flow == "source_to_target" else edge_index.flip(0)
            out = aggregate_weighted(hidden, ends, edge_weight, len(hidden), "mean")
        else:
            out = spmm(self._kept_matrix(edge_index, edge_weight, hidden), hidden)
        if self.lin_l.bias is not None:
            out = out + self.lin_l.bias
        if self.root_weight:
            out = out + self.lin_r(x)
        return torch.nn.functional.normalize(out, dim=-1) if self.normalize else out

    def _kept_matrix(
        self, edge_index: Tensor, edge_weight: Tensor | None, like: Tensor
    ) -> SparseMatrix:
        return _MATRICES.get(
            (edge_index, edge_weight),
            (like.size(0), like.dtype, "mean", self.flow),
            lambda: self._matrix(edge_index, edge_weight, like),
        )

    def _matrix(
        self, edge_index: Tensor, edge_weight: Tensor | None, like: Tensor
    ) -> SparseMatrix:
        n = like.size(0)
        ends = edge_index.as_subclass(Tensor)
        source, target = ends if self.flow == "source_to_target" else ends.flip(0)
        weight = like.new_ones(source.numel()) if edge_weight is None else edge_weight
        weight = weight.detach().to(like.dtype)
        total = like.new_zeros(n).index_add_(0, target, weight)
        share = weight / total.clamp(min=torch.finfo(like.dtype).tiny)[target]
        return SparseMatrix.from_entries(target, source, share, (n, n))

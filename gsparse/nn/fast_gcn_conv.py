"""GCNConv and SAGEConv as a product with a cached sparse matrix."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.nn import GCNConv, SAGEConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.nn.dense import Linear

from gsparse.kernels.spmm import SparseMatrix, spmm
from gsparse.kernels.tensor_cache import TensorCache
from gsparse.nn.fast_layer import (
    FastLayer,
    as_dtypes_of,
    is_quiet,
    steps_of,
    with_long_ids,
)
from gsparse.nn.weighted_sum import aggregate_normalised, aggregate_weighted

# ruff: noqa: ANN401 (PyG's arguments are unions of tensors, pairs and adjacencies)

_MATRICES: TensorCache[SparseMatrix] = TensorCache(max_entries=16)


def _changes(layer: Module, edge_weight: Tensor) -> bool:
    """Return whether the weights differ in every call, so that caching is useless."""
    learned = torch.is_grad_enabled() and edge_weight.requires_grad
    return learned or getattr(layer, "weights_change", False)


def _without_bias(layer: Any, x: Tensor) -> Tensor:
    """Apply a linear layer without its bias."""
    if hasattr(layer, "product"):  # a layer that stores its weight in another form
        return layer.product(x)
    return torch.nn.functional.linear(x, layer.weight)


def _is_linear(layer: Module) -> bool:
    """Return whether a layer computes :func:`_without_bias` plus a bias and has no
    hooks.
    """
    known = torch.nn.Linear.forward, Linear.forward
    linear = hasattr(layer, "product") or type(layer).forward in known
    return linear and is_quiet(layer)


class FastGCNConv(FastLayer, GCNConv):
    r"""The layer of the `"Semi-Supervised Classification with Graph Convolutional
    Networks" <https://arxiv.org/abs/1609.02907>`_ paper, as a product :math:`\hat{A} (X
    W)` with a cached :math:`\hat{A}`.

    A drop-in replacement of :class:`torch_geometric.nn.GCNConv`: it has the same
    arguments and parameters and the same output up to rounding. The normalised
    adjacency is built once per graph (as long as its tensors are alive and unchanged),
    and no message is stored per edge. If the edge weights require a gradient, only the
    structure of the matrix is cached.

    PyG's own code runs for features that are not ``[N, F]``, sparse tensors,
    aggregations other than a sum, ``normalize=False``, edge weights that are not
    ``[E]``, hooks on message passing, overridden steps, explanations, ``torch.jit``,
    ``torch.export``, forward-mode differentiation and ``vmap``. ``cached=True`` has no
    effect: every graph is cached by its own tensors, so that the matrix of one graph is
    never used for another, even when PyG's code runs.

    Args:
        *args: Arguments of :class:`torch_geometric.nn.GCNConv`.
        **kwargs: Arguments of :class:`torch_geometric.nn.GCNConv`.

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
        if not self._serves(x, edge_index, edge_weight):
            self._cached_edge_index = self._cached_adj_t = None
            return super().forward(x, with_long_ids(edge_index), edge_weight)
        hidden = as_dtypes_of(self.lin(x), x)
        if edge_weight is not None and _changes(self, edge_weight):
            ends = edge_index if self.flow == "source_to_target" else edge_index.flip(0)
            loop = (2.0 if self.improved else 1.0) if self.add_self_loops else None
            out = aggregate_normalised(hidden, ends, edge_weight, loop)
        else:
            options = self.improved, self.add_self_loops, self.flow
            matrix = _MATRICES.get(
                (edge_index, edge_weight),
                (hidden.size(0), hidden.dtype, *options),
                lambda: self._matrix(edge_index, edge_weight, hidden),
            )
            out = spmm(matrix, hidden)
        return out if self.bias is None else out + self.bias

    def _serves(self, x: Any, edge_index: Any, edge_weight: Tensor | None) -> bool:
        """Return whether a product covers this call; otherwise PyG's code runs."""
        return (
            self.normalize
            and self.aggr in ("add", "sum")
            and isinstance(edge_index, Tensor)
            and (edge_weight is None or edge_weight.shape == edge_index.shape[1:])
            and self.takes_kernel(x, edge_index)
        )

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

    plain = GCNConv
    steps = steps_of(GCNConv)


class FastSAGEConv(FastLayer, SAGEConv):
    r"""The layer of the `"Inductive Representation Learning on Large Graphs"
    <https://arxiv.org/abs/1706.02216>`_ paper with mean aggregation, as a product with
    a cached matrix.

    A drop-in replacement of :class:`torch_geometric.nn.SAGEConv` with ``aggr="mean"``.
    The mean is taken after the linear map, which gives the same result with fewer
    channels. ``edge_weight`` makes it a weighted mean, in which a weight of 0 equals a
    removed edge. PyG's code runs for other aggregations, ``project=True``, bipartite
    input, ``size`` and the cases that :class:`FastGCNConv` lists; it takes no
    ``edge_weight``, which is refused in these cases.

    Args:
        *args: Arguments of :class:`torch_geometric.nn.SAGEConv`.
        **kwargs: Arguments of :class:`torch_geometric.nn.SAGEConv`.

    Shapes:
        - **x:** :math:`(N, F_{in})`
        - **edge_index:** :math:`(2, E)`
        - **edge_weight:** :math:`(E,)`
        - **output:** :math:`(N, F_{out})`

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
        if size is not None or not self._serves(x, edge_index):
            if edge_weight is not None:
                raise ValueError(self._refusal(x, edge_index))
            return super().forward(x, with_long_ids(edge_index), size)
        linear = _without_bias(self.lin_l, x)
        hidden = as_dtypes_of(linear, x)
        if edge_weight is not None and _changes(self, edge_weight):
            ends = edge_index if self.flow == "source_to_target" else edge_index.flip(0)
            out = aggregate_weighted(hidden, ends, edge_weight, len(hidden), "mean")
        else:
            out = spmm(self._kept_matrix(edge_index, edge_weight, hidden), hidden)
        if self.lin_l.bias is not None:
            out = out + self.lin_l.bias
        out = out.to(linear.dtype)
        if self.root_weight:
            out = out + self.lin_r(x)
        return torch.nn.functional.normalize(out, dim=-1) if self.normalize else out

    def _serves(self, x: Any, edge_index: Any) -> bool:
        """Return whether a product covers this call; otherwise PyG's code runs."""
        return (
            self.aggr == "mean"
            and not self.project
            and isinstance(edge_index, Tensor)
            and _is_linear(self.lin_l)
            and self.takes_kernel(x, edge_index)
        )

    def _refusal(self, x: Any, edge_index: Any) -> str:
        """Return why ``edge_weight``, which PyG's layer does not take, is refused."""
        shape = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
        return (
            "'edge_weight' needs aggr='mean', project=False, no size, x [N, F], a "
            "[2, E] edge_index, and message passing that is not hooked, overridden, "
            f"explained, traced or differentiated forward (got aggr={self.aggr!r}, "
            f"project={self.project}, x {shape}, {type(edge_index).__name__})"
        )

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
        if edge_weight is None:
            edge_weight = torch.ones(source.numel(), device=source.device)
        weight = edge_weight.detach().to(like.dtype)
        total = weight.new_zeros(n).index_add_(0, target, weight)
        share = weight / torch.where(total == 0, 1, total)[target]
        return SparseMatrix.from_entries(target, source, share, (n, n))

    plain = SAGEConv
    steps = steps_of(SAGEConv)

"""Count the multiply-adds of a model."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch_geometric.nn import (
    APPNP,
    GATConv,
    GATv2Conv,
    GCN2Conv,
    GCNConv,
    GINConv,
    GraphConv,
    SAGEConv,
    SGConv,
    TransformerConv,
)
from torch_geometric.nn.conv import MessagePassing

from gsparse.kernels.spmm import SparseMatrix
from gsparse.nn.evaluating import evaluating
from gsparse.nn.fast_gcn_conv import FastSAGEConv
from gsparse.nn.sparse_linear import SparseLinear

# ruff: noqa: ANN401 (arguments of any model)


def multiply_adds(model: Module, example: tuple[Any, ...]) -> int:
    r"""Return the number of multiply-adds of one call of a model.

    A linear map counts rows times weights (stored entries times outputs for sparse
    features, rows times stored weights for :class:`~gsparse.nn.SparseLinear`).
    Propagation counts edges, including added self-loops, times channels: input channels
    if the layer propagates first (``SAGEConv``, ``GraphConv``, ``GINConv``), output
    channels if it maps first. Attention layers propagate their values; the scores of
    ``GATv2Conv`` and ``TransformerConv`` cost the same again, while those of
    ``GATConv`` are computed per node. Activations, norms and sums are not counted.

    Args:
        model: Any module; it is called once in evaluation mode, without gradients.
        example: Its arguments.

    Example:
        Three nodes: 3 * 5 * 4 for the map and 4 * (2 + 3) for edges and self-loops.
        >>> import torch
        >>> from torch_geometric.nn import GCNConv
        >>> from gsparse.compaction import multiply_adds
        >>> x, edge_index = torch.ones(3, 5), torch.tensor([[0, 1], [1, 2]])
        >>> multiply_adds(GCNConv(5, 4), (x, edge_index))
        80
    """
    counter = _Counter()
    with evaluating(model), torch.no_grad(), ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, MessagePassing | SparseLinear):
                handle = module.register_forward_hook(counter.layer, with_kwargs=True)
                stack.callback(handle.remove)
        with counter:
            model(*example)
    return counter.total


class _Counter(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is F.linear:
            x = args[0] if args else kwargs["input"]
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            self.total += _entries(x) * weight.size(0)
        return function(*args, **kwargs)

    def layer(self, layer: Any, args: Any, kwargs: Any, result: Any) -> None:
        if isinstance(layer, SparseLinear):
            rows = args[0].numel() // args[0].size(-1)
            self.total += rows * layer.values.numel()
            return
        given = [*args, *kwargs.values()]
        x = args[0] if args else kwargs["x"]
        sides = [
            t for t in (x if isinstance(x, tuple | list) else [x]) if t is not None
        ]
        ends = [t for t in given if isinstance(t, Tensor) and not t.is_floating_point()]
        num_edges = ends[0].size(1) if ends else 0
        if getattr(layer, "add_self_loops", False):
            num_edges += min(t.size(0) for t in sides)
        self.total += num_edges * _channels(layer, sides[0])


def _entries(x: Any) -> int:
    """Return the number of entries of a feature matrix that a product reads."""
    matrix = getattr(x, "matrix", None)
    if isinstance(matrix, SparseMatrix):
        return matrix.values.numel()
    return x.numel() if x.layout == torch.strided else x.values().numel()


def _sage_channels(layer: Any, x: Tensor) -> int:
    if isinstance(layer, FastSAGEConv) and layer.aggr == "mean" and not layer.project:
        return layer.out_channels
    return layer.lin.weight.size(0) if layer.project else x.size(1)


_CHANNELS: dict[Any, Callable[[Any, Tensor], int]] = {
    GCNConv: lambda layer, x: layer.out_channels,
    GATConv: lambda layer, x: layer.heads * layer.out_channels,
    (GATv2Conv, TransformerConv): lambda layer, x: 2 * layer.heads * layer.out_channels,
    (SGConv, APPNP): lambda layer, x: layer.K * x.size(1),
    SAGEConv: _sage_channels,
    (GINConv, GraphConv, GCN2Conv): lambda layer, x: x.size(1),
}
"""Number of channels that a layer propagates along each edge; others count 0."""


def _channels(layer: Any, x: Tensor) -> int:
    found = (count for kinds, count in _CHANNELS.items() if isinstance(layer, kinds))
    return next(found, lambda layer, x: 0)(layer, x)

"""Standard models: GCN, GAT, SAGE and MLP."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import BatchNorm1d, Linear, Module
from torch.nn.functional import elu
from torch_geometric.nn import GATConv

from gsparse.nn import FastGATConv, FastGCNConv, FastSAGEConv
from gsparse.train.gcnii import GCNII
from gsparse.train.stack import Stack

Attention = Literal["fused", "reference", "pyg"]


def _check_num_layers(num_layers: int) -> None:
    if num_layers < 1:
        raise ValueError(f"'num_layers' must be at least 1 (got {num_layers})")


def _widths(
    first: int, hidden: int, last: int, num_layers: int
) -> Iterable[tuple[int, int]]:
    """Return the input and output width of each layer."""
    _check_num_layers(num_layers)
    return pairwise([first] + [hidden] * (num_layers - 1) + [last])


class _DeepLayer(Module):
    """A convolution with an optional self-loop weight and batch normalisation, for deep
    stacks.
    """

    def __init__(
        self, in_channels: int, out_channels: int, self_loop: bool, batch_norm: bool
    ) -> None:
        super().__init__()
        self.conv = FastGCNConv(in_channels, out_channels)
        self.own = Linear(in_channels, out_channels, bias=False) if self_loop else None
        self.norm = BatchNorm1d(out_channels) if batch_norm else None

    def reset_parameters(self) -> None:
        for part in self.children():
            part.reset_parameters()  # type: ignore[operator]

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None
    ) -> Tensor:
        out = self.conv(x, edge_index, edge_weight=edge_weight)
        if self.own is not None:
            out = out + self.own(x)
        return out if self.norm is None else self.norm(out)


class GCN(Stack):
    """A stack of :class:`~gsparse.nn.FastGCNConv` with ReLU.

    Args:
        in_channels: Number of features.
        hidden_channels: Width of the hidden layers.
        out_channels: Number of classes.
        num_layers: Number of layers.
        dropout: Probability of dropping each input of each layer.
        hidden_dropout: Dropout probability of all layers but the first; the default is
            ``dropout``.
        batch_norm: Whether to apply batch normalisation before each ReLU.
        self_loop: Whether to add a linear map of a node's own features to each
            convolution.
        near_identity: Whether to initialise hidden layers as the identity plus a tenth
            of the usual weights, so that signals pass through many layers.

    Shapes:
        - **x:** :math:`(N, F)`, **edge_index:** :math:`(2, E)`
        - **output:** :math:`(N, C)`
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 2,
        dropout: float = 0.5,
        hidden_dropout: float | None = None,
        batch_norm: bool = False,
        self_loop: bool = False,
        near_identity: bool = False,
    ) -> None:
        widths = list(_widths(in_channels, hidden_channels, out_channels, num_layers))
        layers: list[Module] = [FastGCNConv(a, b) for a, b in widths]
        if batch_norm or self_loop:
            last = num_layers - 1
            layers = [
                _DeepLayer(a, b, self_loop, batch_norm and i < last)
                for i, (a, b) in enumerate(widths)
            ]
        super().__init__(layers, dropout, hidden_dropout)
        self.near_identity = near_identity
        self._begin_near_identity()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self._begin_near_identity()

    @torch.no_grad()
    def _begin_near_identity(self) -> None:
        for layer in self.layers[1:-1] if self.near_identity else ():
            conv = layer.conv if isinstance(layer, _DeepLayer) else layer
            weight = conv.lin.weight  # type: ignore[union-attr]
            weight.mul_(0.1).diagonal().add_(1.0)  # type: ignore[operator]


class SAGE(Stack):
    """A stack of :class:`~gsparse.nn.FastSAGEConv` (mean) with ReLU.

    Args:
        in_channels: Number of features.
        hidden_channels: Width of the hidden layers.
        out_channels: Number of classes.
        num_layers: Number of layers.
        dropout: Probability of dropping each input of each layer.

    Shapes:
        - **x:** :math:`(N, F)`, **edge_index:** :math:`(2, E)`
        - **output:** :math:`(N, C)`
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 2,
        dropout: float = 0.5,
    ) -> None:
        widths = _widths(in_channels, hidden_channels, out_channels, num_layers)
        super().__init__((FastSAGEConv(a, b) for a, b in widths), dropout)


class MLP(Stack):
    """A stack of linear layers with ReLU, the baseline without edges.

    Args:
        in_channels: Number of features.
        hidden_channels: Width of the hidden layers.
        out_channels: Number of classes.
        num_layers: Number of layers.
        dropout: Probability of dropping each input of each layer.

    Shapes:
        - **x:** :math:`(N, F)`; ``edge_index`` and ``edge_weight`` are ignored
        - **output:** :math:`(N, C)`
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 2,
        dropout: float = 0.5,
    ) -> None:
        widths = _widths(in_channels, hidden_channels, out_channels, num_layers)
        super().__init__((Linear(a, b) for a, b in widths), dropout)

    def _apply_layer(
        self, layer: Module, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None
    ) -> Tensor:
        return layer(x)


class GAT(Stack):
    """A stack of GAT layers with ELU, with concatenated hidden heads and averaged
    output heads.

    Args:
        in_channels: Number of features.
        hidden_channels: Width of one head in the hidden layers.
        out_channels: Number of classes.
        num_layers: Number of layers.
        heads: Heads of the hidden layers.
        output_heads: Heads of the last layer, averaged.
        dropout: Probability of dropping each input of each layer.
        attention_dropout: Probability of dropping each attention weight; the default is
            ``dropout``.
        attention: ``"fused"`` and ``"reference"`` are
            :class:`~gsparse.nn.FastGATConv`, ``"pyg"`` is PyG's ``GATConv``.

    Shapes:
        - **x:** :math:`(N, F)`, **edge_index:** :math:`(2, E)`
        - **output:** :math:`(N, C)`
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 2,
        heads: int = 8,
        output_heads: int = 1,
        dropout: float = 0.6,
        attention_dropout: float | None = None,
        attention: Attention = "fused",
    ) -> None:
        if attention not in get_args(Attention):
            raise ValueError(
                f"'attention' must be 'fused', 'reference' or 'pyg' (got {attention!r})"
            )
        _check_num_layers(num_layers)
        drop = dropout if attention_dropout is None else attention_dropout
        layers, width = list[Module](), in_channels
        for i in range(num_layers):
            last = i + 1 == num_layers
            size = out_channels if last else hidden_channels
            options = {"concat": not last, "dropout": drop}
            options["heads"] = output_heads if last else heads
            if attention == "pyg":
                layers.append(GATConv(width, size, **options))
            else:
                layers.append(FastGATConv(width, size, attention=attention, **options))
            width = size * heads
        super().__init__(layers, dropout)

    def _activate(self, x: Tensor) -> Tensor:
        return elu(x)

    def _apply_layer(
        self, layer: Module, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None
    ) -> Tensor:
        if isinstance(layer, FastGATConv):
            return layer(x, edge_index, edge_weight=edge_weight)
        if edge_weight is not None:
            raise ValueError("attention='pyg' takes no 'edge_weight'; use 'fused'")
        return layer(x, edge_index)


def build_model(
    name: str, in_channels: int, out_channels: int, **options: object
) -> Module:
    """Return the standard model with this name: gcn, gat, sage, mlp or gcnii.

    Raises:
        ValueError: If the name is unknown.
    """
    kinds: tuple[type[Module], ...] = (GCN, GCNII, GAT, SAGE, MLP)
    models = {it.__name__.lower(): it for it in kinds}
    if name.lower() not in models:
        raise ValueError(f"'model' must be one of {sorted(models)} (got {name!r})")
    hidden = options.pop("hidden_channels", 16)
    return models[name.lower()](in_channels, hidden, out_channels, **options)

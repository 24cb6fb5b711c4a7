"""The standard models and their training, written with PyG alone."""

import copy
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.nn import Module, ModuleList, Parameter
from torch.nn.functional import cross_entropy, dropout, elu, relu
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv, SAGEConv

from gsparse.train import Recipe


class CsrLinear(Module):
    """A linear map of features stored as ``torch.sparse_csr``, without a bias.

    Args:
        weight: The weight of the layer that it replaces, ``[out, in]``.

    Shapes:
        - **x:** :math:`(N, F)`, CSR
        - **output:** :math:`(N, C)`, dense
    """

    def __init__(self, weight: Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        return torch.sparse.mm(x, self.weight.t())


def csr_dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Apply dropout to dense features, or to the stored values of CSR features."""
    if x.layout != torch.sparse_csr:
        return dropout(x, p, training)
    values = dropout(x.values(), p, training)
    return torch.sparse_csr_tensor(x.crow_indices(), x.col_indices(), values, x.shape)


class PlainModel(Module):
    """Two layers of PyG with the settings of a recipe.

    Args:
        chosen: A recipe for ``"gcn"``, ``"gat"`` or ``"sage"``.
        in_channels: Number of features.
        out_channels: Number of classes.
        csr: Whether the features are ``torch.sparse_csr``; not for SAGE, which
            aggregates them before the first product.
        self_loops: Whether GAT adds self-loops in every pass; otherwise the edges must
            have them.
    """

    def __init__(
        self,
        chosen: Recipe,
        in_channels: int,
        out_channels: int,
        csr: bool = False,
        self_loops: bool = True,
    ) -> None:
        super().__init__()
        options = chosen.options
        self.dropout = float(options["dropout"])
        hidden = int(options["hidden_channels"])
        self.activate: Callable[[Tensor], Tensor] = relu
        if chosen.model == "gcn":
            # PyG's own example stores the normalised adjacency as well.
            first: Module = GCNConv(in_channels, hidden, cached=True)
            second: Module = GCNConv(hidden, out_channels, cached=True)
        elif chosen.model == "sage":
            first = SAGEConv(in_channels, hidden)
            second = SAGEConv(hidden, out_channels)
        else:
            heads = int(options.get("heads", 8))
            last = int(options.get("output_heads", 1))
            drop = float(options.get("attention_dropout", self.dropout))
            usual = {"dropout": drop, "add_self_loops": self_loops}
            first = GATConv(in_channels, hidden, heads, **usual)
            second = GATConv(heads * hidden, out_channels, last, concat=False, **usual)
            self.activate = elu
        if csr:
            first.lin = CsrLinear(cast(CsrLinear, first.lin).weight)
        self.layers = ModuleList([first, second])

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        first, second = self.layers
        x = csr_dropout(x, self.dropout, self.training)
        x = self.activate(first(x, edge_index))
        return second(dropout(x, self.dropout, self.training), edge_index)


def plain_fit(model: PlainModel, data: Data, chosen: Recipe, epochs: int) -> float:
    """Train like :func:`gsparse.train.fit`, without early stopping.

    Returns:
        The best validation accuracy; the model ends with the weights of that epoch.
    """
    config = chosen.fit
    first, second = model.layers
    rest = 0.0 if config.decay_first_layer_only else config.weight_decay
    optimizer = torch.optim.Adam(
        [
            {"params": first.parameters(), "weight_decay": config.weight_decay},
            {"params": second.parameters(), "weight_decay": rest},
        ],
        lr=config.lr,
    )
    best, found, weights = (-1.0, 0.0), 0.0, {}
    for _ in range(epochs):
        model.train()
        optimizer.zero_grad()
        out = model(data.x, data.edge_index)
        cross_entropy(out[data.train_mask], data.y[data.train_mask]).backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            out, y = (
                model(data.x, data.edge_index)[data.val_mask],
                data.y[data.val_mask],
            )
            score = (out.argmax(1) == y).double().mean().item()
            loss = cross_entropy(out, y).item()
        if (score, -loss) > best:
            best, found = (score, -loss), score
            weights = copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)
    return found

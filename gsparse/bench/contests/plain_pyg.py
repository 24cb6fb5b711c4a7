"""The standard models and their training, written with PyG alone."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import Module, ModuleList
from torch.nn.functional import cross_entropy, dropout, elu, relu
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv

from gsparse.train import Recipe


class PlainModel(Module):
    """Two layers of PyG with the settings of a recipe.

    Args:
        chosen: A recipe for ``"gcn"`` or ``"gat"``.
        in_channels: Number of features.
        out_channels: Number of classes.
    """

    def __init__(self, chosen: Recipe, in_channels: int, out_channels: int) -> None:
        super().__init__()
        options = chosen.options
        self.dropout = float(options["dropout"])
        hidden = int(options["hidden_channels"])
        if chosen.model == "gcn":
            # PyG's own example stores the normalised adjacency as well.
            first = GCNConv(in_channels, hidden, cached=True)
            self.layers = ModuleList(
                [first, GCNConv(hidden, out_channels, cached=True)]
            )
            self.activate: Callable[[Tensor], Tensor] = relu
            return
        heads, last = int(options.get("heads", 8)), int(options.get("output_heads", 1))
        drop = float(options.get("attention_dropout", self.dropout))
        self.layers = ModuleList(
            [
                GATConv(in_channels, hidden, heads, dropout=drop),
                GATConv(heads * hidden, out_channels, last, concat=False, dropout=drop),
            ]
        )
        self.activate = elu

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        first, second = self.layers
        x = self.activate(first(dropout(x, self.dropout, self.training), edge_index))
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

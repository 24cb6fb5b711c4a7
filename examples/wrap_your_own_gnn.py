"""Learn the edges of your own model with PyG layers, without changing it."""

import torch
from torch.nn import BatchNorm1d, Linear, Module
from torch_geometric.nn import GATConv, JumpingKnowledge, SAGEConv

from gsparse.data import load
from gsparse.nn import KEdge
from gsparse.train import FitConfig, evaluate, fit, fit_mask, predict_logits


class Mixed(Module):
    """Attention, then a mean over neighbours; the head reads both."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.first = GATConv(num_features, 16, heads=4)
        self.norm = BatchNorm1d(64)
        self.second = SAGEConv(64, 64)
        self.jump = JumpingKnowledge("cat")
        self.head = Linear(128, num_classes)

    def forward(self, x, edge_index, edge_weight=None):
        first = self.norm(self.first(x, edge_index)).relu()
        second = self.second(first, edge_index).relu()
        return self.head(self.jump([first, second]))


data = load("digits")
torch.manual_seed(7)
model = Mixed(data.num_features, 10)
fit(model, data, config=FitConfig(epochs=40))
before = predict_logits(model, data).argmax(1)

mask = KEdge(model, data.num_features, sparsity=0.7, seed=7, edge_index=data.edge_index)
fit_mask(mask, data)

cut = mask.sparsify(data)
same = (predict_logits(model, cut).argmax(1) == before).double().mean()
print(f"edges: {cut.num_edges} of {data.num_edges}")
print(f"predictions that are the same: {100 * same:.1f} %")
print(f"test accuracy: {100 * evaluate(model, cut, 'test_mask'):.1f} %")

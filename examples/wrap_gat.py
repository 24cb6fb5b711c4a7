"""Wrap a PyG model so that its attention runs on a sparsified graph."""

import torch
from torch.nn.functional import cross_entropy
from torch_geometric.nn import GAT

from gsparse.data import load
from gsparse.nn import FastGAT

data = load("digits")
torch.manual_seed(21011)
gat = GAT(
    data.num_features, 8, num_layers=2, out_channels=10, heads=4, dropout=0.5, v2=False
)
model = FastGAT(gat, sparsity=0.8, seed=11)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)

for _epoch in range(60):
    model.train()
    optimizer.zero_grad()
    out = model(data.x, data.edge_index)
    loss = cross_entropy(out[data.train_mask], data.y[data.train_mask])
    loss.backward()
    optimizer.step()

model.eval()
with torch.no_grad():
    right = model(data.x, data.edge_index).argmax(dim=1) == data.y
    full = model.model(data.x, data.edge_index).argmax(dim=1) == data.y
cut = model.sparsify(data)
print(f"edges: {cut.num_edges} of {data.num_edges}")
print(
    f"test accuracy on the sparsified graph: {right[data.test_mask].float().mean():.3f}"
)
print(
    f"the plain model on the full graph:     {full[data.test_mask].float().mean():.3f}"
)

"""Sparsify the graph once, then train on mini-batches of it."""

import torch
from torch.nn.functional import cross_entropy
from torch_geometric.loader import RandomNodeLoader

from gsparse.data import load
from gsparse.nn import FastGATConv
from gsparse.transforms import EffectiveResistance

data = load("digits")
data = EffectiveResistance(sparsity=0.8, seed=11, reweight=False)(data)

torch.manual_seed(40529)
conv = FastGATConv(data.num_features, 10, heads=4, concat=False, dropout=0.3)
optimizer = torch.optim.Adam(conv.parameters(), lr=0.01)

# Loader workers must be spawned, since compiled threads do not survive a fork.
loader = RandomNodeLoader(data, num_parts=4, shuffle=True)
for _epoch in range(20):
    for batch in loader:
        if not batch.train_mask.any():
            continue
        optimizer.zero_grad()
        out = conv(batch.x, batch.edge_index)
        loss = cross_entropy(out[batch.train_mask], batch.y[batch.train_mask])
        loss.backward()
        optimizer.step()

conv.eval()
with torch.inference_mode():
    right = conv(data.x, data.edge_index).argmax(dim=1) == data.y
print(f"test accuracy: {right[data.test_mask].float().mean():.3f}")

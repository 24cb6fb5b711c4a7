"""Learn which four fifths of the edges a trained GCN does not need.

Uses PubMed if it is available or can be downloaded, and the bundled digits otherwise.
"""

from gsparse.data import load
from gsparse.nn import KEdge
from gsparse.train import evaluate, fit, fit_mask, recipe
from gsparse.transforms import RandomEdge

try:
    name, data = "PubMed", load("PubMed", split="public")
except (FileNotFoundError, OSError, RuntimeError):
    name, data = "digits", load("digits")

# 1. The dense model, trained as usual.
settings = recipe(name, "gcn")
model = settings.build(data, seed=1)
fit(model, data, config=settings.fit, seed=1)
dense = evaluate(model, data, "test_mask")

# 2. Gates on the edges, fitted so that the model keeps its predictions on fewer edges;
#    its weights are frozen.
mask = KEdge(model, data.num_features, sparsity=0.8, seed=1, edge_index=data.edge_index)
fit_mask(mask, data, seed=1)

# 3. Remove the edges, and fine-tune the weights on the remaining ones.
sparse = mask.sparsify(data)
random = RandomEdge(sparsity=0.8, seed=1)(data)
on_random = evaluate(model, random, "test_mask")
fit(model, sparse, config=settings.fit, seed=1)

print(f"{name}: {data.num_edges // 2:,} edges, {sparse.num_edges // 2:,} kept")
print(f"test accuracy, all edges:      {100 * dense:.1f} %")
print(
    f"test accuracy, learned edges:  {100 * evaluate(model, sparse, 'test_mask'):.1f} %"
)
print(f"test accuracy, random edges:   {100 * on_random:.1f} %")

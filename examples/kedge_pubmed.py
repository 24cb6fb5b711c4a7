"""Learn which four fifths of the edges a trained GCN does not need.

Uses PubMed if it is available or can be downloaded, and the bundled digits otherwise.
"""

import copy

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
print(f"{name}, test accuracy with all {data.num_edges // 2:,} edges: ", end="")
print(f"{100 * evaluate(model, data, 'test_mask'):.1f} %")

# 2. Gates on the edges, fitted so that the model keeps its predictions on fewer edges;
#    its weights stay as they are.
mask = KEdge(model, data.num_features, sparsity=0.8, seed=1, edge_index=data.edge_index)
history = fit_mask(mask, data, seed=1)
print(f"predictions kept without 80 %: {100 * history.kept:.1f} %")

# 3. Remove the edges. The model is used as it is, or fine-tuned on the edges left.
cuts = {
    "learned": mask.sparsify(data),
    "random": RandomEdge(sparsity=0.8, seed=1)(data),
}
for label, cut in cuts.items():
    tuned = copy.deepcopy(model)
    fit(tuned, cut, config=settings.fit, seed=1)
    rest, after = (evaluate(it, cut, "test_mask") for it in (model, tuned))
    print(f"{label} edges: {100 * rest:.1f} % as it is, {100 * after:.1f} % fine-tuned")

"""Remove 95 % of the weights of a GCN, and save a checkpoint.

Uses PubMed if it is available or can be downloaded, and the bundled digits otherwise.
"""

import copy

import torch

from gsparse.data import load
from gsparse.nn import to_sparse
from gsparse.prune import Magnitude, Pruner, RandomWeight
from gsparse.train import evaluate, fit, recipe

try:
    name, data = "PubMed", load("PubMed", split="public")
except (FileNotFoundError, OSError, RuntimeError):
    name, data = "digits", load("digits")

# 1. The dense model, trained as usual.
settings = recipe(name, "gcn")
dense = settings.build(data, seed=1)
fit(dense, data, config=settings.fit, seed=1)

# 2. Remove the smallest weights, and fine-tune; random weights for comparison.
model, beside = copy.deepcopy(dense), copy.deepcopy(dense)
pruner = Pruner(model, Magnitude(), sparsity=0.95)
Pruner(beside, RandomWeight(), sparsity=0.95, seed=1)
at_once = evaluate(model, data, "test_mask")
for pruned in (model, beside):
    fit(pruned, data, config=settings.fit, seed=1)
print(pruner.report())

# 3. The checkpoint contains the masks; a fresh model with masks loads it strictly.
torch.save(model.state_dict(), "pruned.pt")
other = settings.build(data, seed=2)
Pruner(other, Magnitude(), sparsity=0.5)
other.load_state_dict(torch.load("pruned.pt", weights_only=True))
assert evaluate(other, data, "test_mask") == evaluate(model, data, "test_mask")

# 4. Plain layers again, or sparse layers that skip the removed weights.
fast = to_sparse(model)
pruner.make_permanent()

print(f"{name}, test accuracy")
print(f"dense:              {100 * evaluate(dense, data, 'test_mask'):.1f} %")
print(f"95 % gone:          {100 * at_once:.1f} %")
print(f"  and trained on:   {100 * evaluate(model, data, 'test_mask'):.1f} %")
print(f"  as sparse layers: {100 * evaluate(fast, data, 'test_mask'):.1f} %")
print(f"random 95 % gone:   {100 * evaluate(beside, data, 'test_mask'):.1f} %")

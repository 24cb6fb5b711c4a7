"""Find two features that matter only together.

Labels of a synthetic graph depend on the product of two aggregated features, and more
strongly on two others alone. Saliency finds the others; the Hessian finds the pair.
"""

import torch

from gsparse.data import planted_partition
from gsparse.explain import (
    BayesianGCN,
    interactions,
    p_values,
    permutation_null,
    plot_graph,
    plot_pairs,
    saliency,
)
from gsparse.explain.propagate import propagated
from gsparse.train import FitConfig, fit

NAMES = ["salt", "acid", "heat", "time", "light", "noise"]

# 1. A graph with synthetic features, and labels that depend on salt AND acid.
data = planted_partition(600, num_classes=2, degree=4, num_features=6, seed=7)
generator = torch.Generator().manual_seed(7)
data.x = torch.randn(600, 6, generator=generator)
around = propagated(data.x, data.edge_index)
around = around / around.std(0)
score = 2 * around[:, 0] * around[:, 1] + around[:, 2] - around[:, 3]
chance = torch.sigmoid(4 * score)
data.y = (torch.rand(600, generator=generator) < chance).long()

# 2. A Bayesian GCN; the prior is in its penalty, so no weight decay.
config = FitConfig(lr=0.02, weight_decay=0.0, epochs=100, patience=100)


def fitted(data, seed):
    torch.manual_seed(seed)
    model = BayesianGCN(6, 16, 2, num_train=int(data.train_mask.sum()))
    fit(model, data, config=config, seed=seed)
    return model


model = fitted(data, 1)

# 3. Every pair of features, with its uncertainty.
found = interactions(model, data, groups=4, draws=20, seed=1, names=NAMES)
print(found)
alone = saliency(model, data, draws=20, seed=1)
strongest = alone.argsort(descending=True).tolist()
print("\nmost important alone:", ", ".join(NAMES[i] for i in strongest[:4]))

# 4. Compare with models fitted to noise; few permutations, to save time.
null = permutation_null(
    lambda other, seed: interactions(fitted(other, seed), other, groups=4, seed=1),
    data,
    num=9,
    seed=1,
)
chance = p_values(found.mean, null, family_wise=True)
best = int(found.mean.argmax())
print(f"chance of a pair as strong without any interaction: {float(chance[best]):.2f}")

try:
    plot_pairs(found, "pairs.png", k=8)
    plot_graph(found, "interactions.png", k=8)
except ModuleNotFoundError:
    print("no pictures: pip install matplotlib")

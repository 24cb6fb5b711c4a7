"""Remove three of four hidden units of a GCN and compact it to a smaller model.

A hidden unit is a row of weights and a bias, which must both be pruned to remove it. A
model of the same size trained from scratch is the baseline.
"""

import copy

from gsparse.compaction import channel_groups, compact, compaction_report
from gsparse.data import planted_partition, split
from gsparse.prune import Magnitude, Pruner, Units, quantise_weights
from gsparse.train import GCN, FitConfig, evaluate, fit, predict_logits

data = planted_partition(600, num_classes=4, num_features=64, seed=3)
data = split(data, "60-20-20", seed=3)
example = data.x, data.edge_index
config = FitConfig(epochs=60, patience=20)

# 1. The dense model, trained as usual.
dense = GCN(data.num_features, 64, 4)
fit(dense, data, config=config, seed=1)

# 2. Its hidden units, and the parameters that produce them: weights and biases.
groups = [it for it in channel_groups(dense, example) if it.kind == "hidden"]
made_by = {member.parameter for group in groups for member in group.producers}
print("a hidden unit is made by", ", ".join(sorted(made_by)))

# 3. Remove three of four units, and fine-tune the remaining weights.
model = copy.deepcopy(dense)
pruner = Pruner(
    model,
    Magnitude(),
    sparsity=0.75,
    structure=Units(groups),
    targets=lambda name, _: name in made_by,
)
at_once = evaluate(model, data, "test_mask")
fit(model, data, config=config, seed=1)
print(compaction_report(model, example))

# 4. Smaller plain layers with the same outputs, and 8-bit weights instead of floats.
small = compact(model, example)
codes = quantise_weights(small, bits=8)
difference = predict_logits(small, data) - predict_logits(model, data)
print(f"largest change by compaction: {difference.abs().max():.0e}")

# 5. The baseline: a model of the same size trained from scratch.
scratch = GCN(data.num_features, 16, 4)
fit(scratch, data, config=config, seed=1)


def num_bytes(of):
    return sum(it.numel() * it.element_size() for it in of.state_dict().values())


print("test accuracy and bytes")
for name, it in [
    ("dense", dense),
    ("three of four units gone", small),
    ("  with 8-bit weights", codes),
    ("16 units from the start", scratch),
]:
    score = 100 * evaluate(it, data, "test_mask")
    print(f"{name:26}{score:5.1f} %{num_bytes(it):8,}")
print(f"right after pruning, before training on: {100 * at_once:.1f} %")

"""Learn five tasks one after another with one network that forgets none of them."""

import torch

from gsparse.data import load
from gsparse.train import (
    GCN,
    FitConfig,
    RankUpdate,
    class_tasks,
    evaluate,
    fit,
    fit_tasks,
    predict_logits,
)

# 1. Two of the ten classes per task; all tasks have the whole graph.
data = load("digits")
tasks = class_tasks(data, num_tasks=5, seed=1)
settings = FitConfig(lr=0.01, weight_decay=5e-5, epochs=30, patience=10)
torch.manual_seed(1)
model = GCN(data.num_features, 64, 2)  # or a PyG model, or your own

# 2. Each task adds columns to the weights, and its own biases and output layer.
learner = RankUpdate(model, rank=16, rank_per_task=8, seed=1)
said = []
for number, task in enumerate(tasks):
    learner.add_task(len(task.classes))
    fit(learner, task, config=settings, seed=1)
    said.append(predict_logits(learner, task))
    score = evaluate(learner, task, "test_mask")
    print(f"task {number}, digits {task.classes.tolist()}: {100 * score:.1f} %")

# 3. Outputs of earlier tasks are bit-identical; give the task, or select it.
for number, task in enumerate(tasks):
    assert predict_logits(learner.select(number), task).equal(said[number])
learner.eval()
first = learner(data.x, data.edge_index, task=0)
assert first.equal(said[0])

# 4. One file contains all tasks.
learner.save("tasks.pt")
loaded = RankUpdate.load("tasks.pt", model).eval()
assert loaded(data.x, data.edge_index, task=4).equal(said[4])
ours, separate = learner.storage().total, learner.separate_storage().total
print(f"numbers: {ours:,}, {ours / separate:.0%} of those of separate models")

# 5. Baselines, in one call each; FrozenBody and Joint are available too.
for method in ("Separate", "FineTune"):
    found = fit_tasks(method, model, tasks, config=settings, seed=1)
    print(
        f"{method:8} mean {100 * found.mean:5.1f} %, "
        f"forgotten {100 * found.forgetting:4.1f}, numbers {found.storage:,}"
    )

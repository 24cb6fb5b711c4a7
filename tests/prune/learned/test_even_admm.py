"""ADMM towards as many units in every head."""

import pytest
import torch

from gsparse.prune import Units
from gsparse.prune.learned.even_admm import EvenADMM
from gsparse.train.models import build_model


@pytest.mark.parametrize(("num_heads", "width"), [(2, 3), (1, 4), (4, 1)])
def test_the_best_heads_keep_as_many_units_each(num_heads, width):
    torch.manual_seed(51307)
    model = build_model("gat", 6, 3, hidden_channels=4, heads=4)
    weight = model.layers[0].lin.weight
    squares = weight.detach().square().mean(1).view(4, 4)
    group = _Group([("layers.0.lin.weight", 0, 0)])
    pruner = EvenADMM(
        model,
        heads=4,
        num_heads=num_heads,
        width=width,
        sparsity=1 - num_heads * width / 16,
        structure=Units([group]),
        targets=r"layers\.0\.lin",
    )
    pruner.finalize()
    kept = pruner.masks["layers.0.lin.weight"].any(1).view(4, 4)
    assert sorted(kept.sum(1).tolist()) == [0] * (4 - num_heads) + [width] * num_heads
    best = squares.sort(1, descending=True).values[:, :width].sum(1)
    heads = best.topk(num_heads).indices
    assert sorted(heads.tolist()) == kept.any(1).nonzero().flatten().tolist()
    assert float(squares[kept].sum()) == pytest.approx(float(best[heads].sum()))


class _Group:
    """Hidden channels as a traced model has them."""

    kind, size = "hidden", 16

    def __init__(self, producers):
        self.producers = producers

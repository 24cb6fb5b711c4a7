"""Exact budgets over layers."""

import pytest
import torch
from torch_geometric.nn.models import GCN

from gsparse.edges import budget
from gsparse.prune import Magnitude, Pruner, keep_best, layer_budgets
from gsparse.prune.select import _rounded


def scores(seed=70223):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a": (20, 7), "b": (3, 20), "c": (1, 5)}
    return {k: torch.randn(s, generator=generator) for k, s in shapes.items()}


@pytest.mark.parametrize("sparsity", [0.0, 0.13, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("scope", ["global", "erk"])
def test_the_sum_is_the_budget(scope, sparsity):
    keep = keep_best(scores(), sparsity, scope)
    total = sum(score.numel() for score in scores().values())
    assert sum(int(mask.sum()) for mask in keep.values()) == budget(total, sparsity)


def test_global_is_one_threshold():
    found, all_scores = keep_best(scores(), 0.7), scores()
    kept = torch.cat([all_scores[k][found[k]] for k in found])
    gone = torch.cat([all_scores[k][~found[k]] for k in found])
    assert kept.min() > gone.max()


def test_local_gives_each_layer_the_same():
    for name, keep in keep_best(scores(), 0.8, "local").items():
        assert int(keep.sum()) == budget(scores()[name].numel(), 0.8)


@pytest.mark.parametrize("scope", ["local", "erk"])
def test_each_layer_keeps_its_best(scope):
    found, all_scores = keep_best(scores(), 0.6, scope), scores()
    shapes = {name: score.shape for name, score in all_scores.items()}
    counts = layer_budgets(shapes, 0.6, scope)
    for name, score in all_scores.items():
        best = score.flatten().topk(counts[name]).indices
        assert set(found[name].flatten().nonzero().view(-1).tolist()) == set(
            best.tolist()
        )


def test_the_largest_remainders_are_rounded_up():
    """The whole parts sum to 7; two more go to 0.95 and 0.7."""
    wanted = {"a": 4.7, "b": 2.35, "c": 1.95}
    assert _rounded(wanted, 9) == {"a": 5, "b": 2, "c": 2}


def test_erk_densities_follow_the_formula():
    shapes = {"a": torch.Size([64, 500]), "b": torch.Size([64, 64])}
    found = layer_budgets(shapes, 0.9, "erk")
    density = {k: found[k] / shapes[k].numel() for k in shapes}
    ratio = (64 + 64) / (64 * 64) / ((64 + 500) / (64 * 500))
    assert density["b"] / density["a"] == pytest.approx(ratio, rel=0.01)


def test_erk_layers_that_would_overflow_stay_dense():
    shapes = {"wide": torch.Size([500, 500]), "tiny": torch.Size([2, 3])}
    found = layer_budgets(shapes, 0.5, "erk")
    assert found["tiny"] == 6
    assert sum(found.values()) == budget(250_006, 0.5)


def test_equal_scores_keep_the_first():
    keep = keep_best({"a": torch.ones(2, 2)}, 0.5)
    assert keep["a"].tolist() == [[True, True], [False, False]]


def test_nan_scores_and_unknown_scopes_are_refused():
    with pytest.raises(ValueError, match=r"not be NaN \(got 1 in 'a'\): is the loss"):
        keep_best({"a": torch.tensor([1.0, torch.nan])}, 0.5)
    with pytest.raises(ValueError, match=r"'global', 'local', 'erk' \(got 'layer'\)"):
        Pruner(GCN(5, 4, 2, 2), Magnitude(), sparsity=0.5, scope="layer")

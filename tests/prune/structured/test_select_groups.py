"""The greedy rule against its definition, and its limits."""

import pytest
import torch
from torch_geometric.nn.models import GCN

from gsparse.edges import budget
from gsparse.prune import Magnitude, Pruner, layer_budgets
from gsparse.prune.structured.groups import expand, group_sizes, num_groups
from gsparse.prune.structured.select_groups import keep_best_groups, protected_groups
from gsparse.prune.structured.structures import Blocks, Columns, Rows

SHAPES = {"a": (20, 7), "b": (9, 20), "c": (5, 4)}
WEIGHTS = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
TOTAL = 20 * 7 + 9 * 20 + 5 * 4
STRUCTURES = [Rows(), Columns(), Blocks(3, 3)]


def scores_of(groups, seed=64109):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num_groups(groups), generator=generator)


def removed(kept, groups):
    return int(group_sizes(groups)[~kept].sum())


def by_the_words(scores, groups, wanted):
    """One at a time, lowest first, while the next moves no further away."""
    sizes = group_sizes(groups).tolist()
    best = {
        max(it.unique().tolist(), key=lambda g: scores[g]) for it in groups.values()
    }
    kept, gone = torch.ones(len(sizes), dtype=torch.bool), 0
    for g in sorted(range(len(sizes)), key=lambda g: scores[g]):
        if g in best:
            continue
        if abs(gone + sizes[g] - wanted) > abs(gone - wanted):
            break
        kept[g], gone = False, gone + sizes[g]
    return kept


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.33, 0.5, 0.8])
@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_global_is_the_greedy_rule(structure, sparsity):
    groups = structure.groups(WEIGHTS)
    scores = scores_of(groups)
    found = keep_best_groups(scores, groups, sparsity)
    wanted = TOTAL - budget(TOTAL, sparsity)
    assert found.equal(by_the_words(scores, groups, wanted))
    assert abs(removed(found, groups) - wanted) <= int(group_sizes(groups).max()) / 2


@pytest.mark.parametrize("sparsity", [0.0, 0.24, 0.5, 0.7])
@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_local_is_the_rule_in_each_layer(structure, sparsity):
    groups = structure.groups(WEIGHTS)
    scores, start = scores_of(groups), 0
    found = keep_best_groups(scores, groups, sparsity, "local")
    for name, weight in WEIGHTS.items():
        own = structure.groups({name: weight})
        part = slice(start, start + num_groups(own))
        wanted = weight.numel() - budget(weight.numel(), sparsity)
        assert found[part].equal(by_the_words(scores[part], own, wanted))
        start = part.stop


def test_erk_gives_each_layer_its_own_rate():
    groups = Rows().groups(WEIGHTS)
    masks = expand(keep_best_groups(scores_of(groups), groups, 0.5, "erk"), groups)
    shapes = {name: weight.shape for name, weight in WEIGHTS.items()}
    for name, count in layer_budgets(shapes, 0.5, "erk").items():
        assert abs(int(masks[name].sum()) - count) <= SHAPES[name][1] / 2


def test_equal_sizes_come_to_the_nearest_group():
    groups = Rows().groups({"a": torch.zeros(10, 3)})
    for percent in range(95):
        found = keep_best_groups(scores_of(groups), groups, percent / 100)
        distance = abs(removed(found, groups) - 30 * percent / 100)
        other = [abs(3 * k - 30 * percent / 100) for k in range(10)]
        assert distance <= min(other) + 0.5  # the budget itself is a whole number


@pytest.mark.parametrize("scope", ["global", "local", "erk"])
def test_choices_are_nested_in_sparsity(scope):
    groups = Blocks(3, 3).groups(WEIGHTS)
    before = torch.ones(num_groups(groups), dtype=torch.bool)
    for sparsity in [0.1, 0.3, 0.31, 0.5, 0.7]:
        kept = keep_best_groups(scores_of(groups), groups, sparsity, scope)
        assert not (kept & ~before).any()
        before = kept


def test_layers_that_share_a_group_have_one_budget():
    row = torch.arange(6)[:, None]
    groups = {"l": row.repeat(1, 2), "out": row.repeat(1, 3) + 6, "r": row.repeat(1, 4)}
    scores = torch.arange(12.0)
    found = keep_best_groups(scores, groups, 0.5, "local")
    assert found.tolist() == [False] * 3 + [True] * 3 + [False] * 3 + [True] * 3


def test_among_equals_the_first_stay():
    groups = Rows().groups({"a": torch.zeros(4, 2), "b": torch.zeros(4, 2)})
    found = keep_best_groups(torch.ones(8), groups, 0.5)
    assert found.tolist() == [True] * 3 + [False, True] + [False] * 3


class TestStays:
    def test_the_best_group_of_a_parameter(self):
        groups = Rows().groups({"a": torch.zeros(4, 5), "b": torch.zeros(4, 5)})
        scores = torch.tensor([0.1, 0.3, 0.2, 0.0, 4, 5, 6, 7])
        found = keep_best_groups(scores, groups, 0.5)
        assert found.tolist() == [False, True, False, False, False, True, True, True]
        found = keep_best_groups(scores, groups, 0.5, allow_empty=True)
        assert found.tolist() == [False] * 4 + [True] * 4

    def test_protected_groups_and_rows(self):
        groups = Blocks(2, 5).groups({"a": torch.zeros(8, 5)})
        lowest = torch.tensor([True, False, False, False])
        scores = torch.arange(4.0)
        found = keep_best_groups(scores, groups, 0.5, protect=lowest)
        assert found.tolist() == [True, False, False, True]
        row = torch.arange(8) == 3
        assert (
            protected_groups({"a": row}, groups).tolist() == [False, True] + [False] * 2
        )
        found = keep_best_groups(scores, groups, 0.5, protect={"a": row})
        assert found.tolist() == [False, True, False, True]

    def test_a_protected_group_is_the_last_one(self):
        groups = Rows().groups({"a": torch.zeros(4, 5)})
        lowest = torch.tensor([True, False, False, False])
        found = keep_best_groups(torch.arange(4.0), groups, 0.75, protect=lowest)
        assert found.equal(lowest)

    def test_what_is_in_no_group_counts_but_stays(self):
        groups = {"a": torch.tensor([0, 1, 2, -1, -1, -1])}
        found = keep_best_groups(torch.arange(3.0), groups, 0.5)
        assert found.tolist() == [False] * 3
        with pytest.raises(ValueError, match=r"lose at most 0\.5 of its weights"):
            keep_best_groups(torch.arange(3.0), groups, 0.7)

    def test_what_is_gone_goes_whatever_the_budget(self):
        groups = Rows().groups({"a": torch.zeros(4, 5), "b": torch.zeros(2, 5)})
        scores = torch.full((6,), -torch.inf)
        scores[2] = 1.0
        found = keep_best_groups(scores, groups, 0.1)
        assert found.tolist() == [False, False, True, False, False, False]


class TestRefusals:
    def test_a_sparsity_that_protection_makes_unreachable(self):
        groups = Rows().groups(WEIGHTS)
        protect = {"b": torch.ones(9, dtype=torch.bool)}
        keep_best_groups(scores_of(groups), groups, 0.4, protect=protect)
        message = r"\(got 0\.9\): the model can lose at most 0\.4382 of its weights"
        assert round((TOTAL - 9 * 20 - 7 - 4) / TOTAL, 4) == 0.4382
        with pytest.raises(ValueError, match=message):
            keep_best_groups(scores_of(groups), groups, 0.9, protect=protect)
        with pytest.raises(ValueError, match=r"'b' can lose at most 0 of its weights"):
            keep_best_groups(scores_of(groups), groups, 0.4, "local", protect)

    def test_within_half_a_group_of_the_last_is_no_refusal(self):
        groups = Rows().groups({"a": torch.zeros(16, 10)})
        found = keep_best_groups(scores_of(groups), groups, 0.96)
        assert removed(found, groups) == 150
        with pytest.raises(
            ValueError, match=r"at most 0\.9375 of its weights, not 0.9"
        ):
            keep_best_groups(scores_of(groups), groups, 0.98)

    def test_before_anything_is_trained(self):
        model = GCN(8, 10, 3, out_channels=3)
        with pytest.raises(ValueError, match=r"at most 0\.9 of its weights, not 0.96"):
            Pruner(
                model,
                Magnitude(),
                sparsity=0.96,
                schedule=lambda step, end: 0.0,
                structure=Rows(),
            )
        assert (
            Pruner(model, Magnitude(), sparsity=0.5).report().sparsity == 0.5
        )  # nothing was left behind

    def test_protection_that_does_not_fit(self):
        groups = Rows().groups(WEIGHTS)
        with pytest.raises(
            ValueError, match=r"bool of shape \[34\], one for every grou"
        ):
            protected_groups(torch.ones(3, dtype=torch.bool), groups)
        with pytest.raises(ValueError, match=r"'protect\['a'\]' must be bool of shape"):
            protected_groups({"a": torch.ones(20)}, groups)
        with pytest.raises(ValueError, match=r"\['a', 'b', 'c'\] \(got 'head'\)"):
            protected_groups({"head": torch.ones(2, dtype=torch.bool)}, groups)
        with pytest.raises(ValueError, match="'protect' must come with 'structure'"):
            Pruner(
                GCN(5, 4, 2, 2),
                Magnitude(),
                sparsity=0.5,
                protect=torch.ones(4, dtype=torch.bool),
            )

    def test_scores_that_are_none(self):
        groups = Rows().groups(WEIGHTS)
        scores = scores_of(groups)
        scores[5] = torch.nan
        with pytest.raises(ValueError, match=r"not be NaN \(got 1 of 34 groups\)"):
            keep_best_groups(scores, groups, 0.5)
        with pytest.raises(ValueError, match=r"'importances' must have shape \[34\]"):
            keep_best_groups(scores[:3], groups, 0.5)
        with pytest.raises(ValueError, match="'scope' must be one of"):
            keep_best_groups(scores_of(groups), groups, 0.5, "layer")

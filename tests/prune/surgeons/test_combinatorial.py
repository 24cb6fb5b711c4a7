"""The second-order pruners on models: budgets, weight updates, and undo."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch_geometric.nn import GCN

from gsparse.data import random_graph
from gsparse.edges import budget
from gsparse.prune import Magnitude, Pruner, RoundsSchedule, WeightMasks
from gsparse.prune.surgeons.brain_surgeon import joint_update, masked_loss, updated_loss
from gsparse.prune.surgeons.combinatorial import (
    CombinatorialBrainSurgeon,
    brain_surgeon_update,
)
from gsparse.prune.surgeons.fisher import Fisher
from gsparse.prune.surgeons.ranked import (
    OptimalBrainDamage,
    OptimalBrainSurgeon,
    WoodFisher,
)
from gsparse.prune.surgeons.swap_search import random_magnitude_partition
from gsparse.prune.surgeons.take_fisher import empirical_fisher, full_weights

PRUNERS = [
    CombinatorialBrainSurgeon,
    OptimalBrainDamage,
    OptimalBrainSurgeon,
    WoodFisher,
]
ANSWERING = [CombinatorialBrainSurgeon, OptimalBrainSurgeon, WoodFisher]


def test_the_search_starts_from_the_largest_magnitudes(monkeypatch):
    """What it is handed is kept as it is here."""

    def untouched(weights, fisher, start, *, judge):
        return start

    monkeypatch.setattr("gsparse.prune.surgeons.combinatorial.swap_search", untouched)
    torch.manual_seed(39158)
    layer, x = torch.nn.Linear(10, 1, bias=False), torch.randn(6, 10)
    size = layer.weight.detach().abs()[0]
    pruner = CombinatorialBrainSurgeon(
        layer, sparsity=0.6, losses=lambda: layer(x)[:, 0]
    )
    kept = pruner.masks["weight"][0].nonzero().view(-1).tolist()
    assert kept == sorted(size.topk(4).indices.tolist())


def test_of_several_starts_the_one_of_least_loss_is_taken(monkeypatch):
    """By the quadratic model, with the weights that go set to 0."""
    module = "gsparse.prune.surgeons.combinatorial"
    torch.manual_seed(39159)
    layer, x = torch.nn.Linear(16, 1, bias=False), torch.randn(6, 16)
    weights, fisher = layer.weight.detach()[0].clone(), Fisher(x)
    largest = weights.abs().topk(6).indices
    starts = [torch.zeros(16, dtype=torch.bool).index_fill(0, largest, True)]

    def drawn(*args):
        starts.append(random_magnitude_partition(*args))
        return starts[-1]

    monkeypatch.setattr(f"{module}.random_magnitude_partition", drawn)
    monkeypatch.setattr(
        f"{module}.swap_search", lambda weights, fisher, start, *, judge: start
    )
    pruner = CombinatorialBrainSurgeon(
        layer, sparsity=0.625, losses=lambda: layer(x)[:, 0], num_starts=5, seed=617
    )
    losses = [masked_loss(weights, fisher, start) for start in starts]
    assert len(set(losses)) == 5
    best = min(zip(losses, starts, strict=True), key=lambda it: it[0])[1]
    assert pruner.masks["weight"][0].equal(best)


class Setting:
    """A model, its losses and its class scores on a small graph."""

    def __init__(self, seed=39157):
        data = random_graph(num_nodes=20, p=0.2, seed=seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model = GCN(data.x.size(1), 6, num_layers=3, out_channels=3)
        self.data, self.y = data, torch.arange(20) % 3
        self.before = copy.deepcopy(self.model.state_dict())

    def logits(self):
        return self.model(self.data.x, self.data.edge_index)

    def losses(self):
        return cross_entropy(self.logits()[:9], self.y[:9], reduction="none")


@pytest.fixture
def setting():
    return Setting()


def flat(parts):
    return torch.cat([part.detach().flatten() for part in parts])


def same(state, other):
    return state.keys() == other.keys() and all(state[k].equal(other[k]) for k in state)


@pytest.mark.parametrize("pruner", PRUNERS)
class TestAll:
    @pytest.mark.parametrize("sparsity", [0.0, 0.37, 0.9])
    def test_budget(self, setting, pruner, sparsity):
        report = pruner(
            setting.model, sparsity=sparsity, losses=setting.losses
        ).report()
        assert report.num_kept == budget(report.num_weights, sparsity)

    def test_a_matrix_taken_before_is_as_good(self, setting, pruner):
        """Masks and weights are those of a pruner that takes the same one itself."""
        other, third = Setting(), Setting()
        fisher = empirical_fisher(WeightMasks(third.model), third.losses)
        one = pruner(setting.model, sparsity=0.8, losses=setting.losses, fisher=fisher)
        two = pruner(other.model, sparsity=0.8, losses=other.losses)
        assert same(setting.model.state_dict(), other.model.state_dict())
        assert one.report() == two.report()

    @pytest.mark.parametrize("scope", ["local", "erk"])
    def test_scopes(self, setting, pruner, scope):
        found = pruner(
            setting.model, sparsity=0.75, losses=setting.losses, scope=scope
        ).report()
        expected = Pruner(
            Setting().model, Magnitude(), sparsity=0.75, scope=scope
        ).report()
        assert found == expected

    def test_true_fisher(self, setting, pruner):
        def prune(seed):
            other = Setting()
            options = {"fisher": "true", "logits": other.logits}
            masks = pruner(
                other.model, sparsity=0.7, num_drawn=30, seed=seed, **options
            ).masks
            return flat(masks[name] for name in masks.targets), other.model.state_dict()

        assert same(prune(66301)[1], prune(66301)[1])
        assert prune(66301)[0].sum() == prune(10459)[0].sum()

    @pytest.mark.parametrize("update", [False, True])
    def test_undo_brings_the_weights_back(self, setting, pruner, update):
        pruned = pruner(
            setting.model, sparsity=0.8, losses=setting.losses, update=update
        )
        pruned.undo()
        assert same(setting.model.state_dict(), setting.before)

    def test_failure_leaves_the_model(self, setting, pruner):
        with pytest.raises(ValueError, match="is the loss finite"):
            pruner(
                setting.model,
                sparsity=0.5,
                losses=lambda: setting.losses() * float("nan"),
            )
        assert same(setting.model.state_dict(), setting.before)
        Pruner(setting.model, Magnitude(), sparsity=0.5)

    def test_rounds_never_bring_a_weight_back(self, setting, pruner):
        schedule = RoundsSchedule(num_rounds=3)
        pruned = pruner(
            setting.model, sparsity=0.8, losses=setting.losses, schedule=schedule
        )
        keep = flat(pruned.masks[name] for name in pruned.masks.targets)
        for _ in range(3):
            pruned.step()
            after = flat(pruned.masks[name] for name in pruned.masks.targets)
            assert not (after & ~keep).any()
            assert after.sum() < keep.sum()
            keep = after
        assert pruned.done
        assert keep.sum() == budget(len(keep), 0.8)
        pruned.undo()
        assert same(setting.model.state_dict(), setting.before)

    def test_scores_have_the_shapes(self, setting, pruner):
        pruned = pruner(setting.model, sparsity=0.5, losses=setting.losses)
        parameters = pruned.masks.parameters()
        scores = pruned.importances()
        assert {k: v.shape for k, v in scores.items()} == {
            k: v.shape for k, v in parameters.items()
        }


@pytest.mark.parametrize("pruner", ANSWERING)
def test_update_only_moves_kept_weights(setting, pruner):
    before = flat(WeightMasks(copy.deepcopy(setting.model)).parameters().values())
    masks = pruner(setting.model, sparsity=0.8, losses=setting.losses).masks
    keep = flat(masks[name] for name in masks.targets)
    after = flat(masks.parameters().values())
    assert after[~keep].equal(before[~keep])
    assert not after[keep].equal(before[keep])


def test_checkpoint_knows_the_way_back(setting):
    pruned = CombinatorialBrainSurgeon(
        setting.model, sparsity=0.8, losses=setting.losses
    )
    state, weights = pruned.state_dict(), copy.deepcopy(setting.model.state_dict())
    other = Setting(seed=85303)
    again = CombinatorialBrainSurgeon(other.model, sparsity=0.8, losses=other.losses)
    other.model.load_state_dict(weights)
    again.load_state_dict(state)
    again.undo()
    assert same(other.model.state_dict(), setting.before)


def test_search_is_not_above_magnitude():
    """In the quadratic model, whose value is the only thing promised."""
    for seed in range(31019, 31024):
        first, second = Setting(seed), Setting(seed)
        masks = WeightMasks(first.model)
        fisher = empirical_fisher(masks, first.losses, damping=0.1)
        w = flat(masks.parameters().values())
        masks.undo()
        found = CombinatorialBrainSurgeon(
            first.model, sparsity=0.8, losses=first.losses, damping=0.1, update=False
        ).masks
        magnitude = Pruner(second.model, Magnitude(), sparsity=0.8).masks
        keeps = [flat(m[name] for name in m.targets) for m in (found, magnitude)]
        ours, theirs = (masked_loss(w, fisher, keep) for keep in keeps)
        assert ours <= theirs * (1 + 1e-9)


def test_starts_are_compared_by_the_training_loss(setting):
    """More starts never end with a higher loss than the best start."""
    options = {"update": False, "judged": True, "seed": 47963}
    CombinatorialBrainSurgeon(
        setting.model, sparsity=0.8, losses=setting.losses, num_starts=15, **options
    )
    other = Setting()
    Pruner(other.model, Magnitude(), sparsity=0.8)
    setting.model.eval()
    assert setting.losses().mean() <= other.losses().mean() + 1e-6


class TestUpdateOfOtherMasks:
    def test_is_the_joint_update(self, setting):
        masks = WeightMasks(setting.model)
        fisher = empirical_fisher(masks, setting.losses)
        w = flat(masks.parameters().values())
        masks.undo()
        masks = Pruner(setting.model, Magnitude(), sparsity=0.8).masks
        keep = flat(masks[name] for name in masks.targets)
        before = brain_surgeon_update(masks, fisher)
        after = flat(masks.parameters().values())
        assert flat(before.values()).equal(w)
        expected = (w + joint_update(w, fisher, keep))[keep].float()
        torch.testing.assert_close(after[keep], expected)
        assert after[~keep].equal(w[~keep])
        assert updated_loss(w, fisher, keep) <= masked_loss(w, fisher, keep)

    def test_fisher_of_the_pruned_model_is_refused(self, setting):
        masks = Pruner(setting.model, Magnitude(), sparsity=0.8).masks
        fisher = empirical_fisher(masks, setting.losses)
        with pytest.raises(ValueError, match=r"gradients of 0 .*full_weights"):
            brain_surgeon_update(masks, fisher)
        with full_weights(masks):
            fisher = empirical_fisher(masks, setting.losses)
        brain_surgeon_update(masks, fisher)

    def test_fisher_of_other_weights_is_refused(self, setting):
        masks = WeightMasks(setting.model)
        other = WeightMasks(Setting().model, targets="convs.0.lin.weight")
        fisher = empirical_fisher(masks, setting.losses)
        with pytest.raises(ValueError, match=r"'fisher' must be of the \d+ weights"):
            brain_surgeon_update(other, fisher)


class TestRefusals:
    def test_fisher(self, setting):
        with pytest.raises(ValueError, match=r"'fisher' must be one of .*got 'exact'"):
            OptimalBrainSurgeon(
                setting.model, sparsity=0.5, losses=setting.losses, fisher="exact"
            )

    def test_losses(self, setting):
        with pytest.raises(ValueError, match=r"'losses' must be a function .*got None"):
            OptimalBrainSurgeon(setting.model, sparsity=0.5)
        with pytest.raises(ValueError, match=r"'logits' must be a function"):
            WoodFisher(
                setting.model, sparsity=0.5, losses=setting.losses, fisher="true"
            )

    def test_judged(self, setting):
        options = {"fisher": "true", "logits": setting.logits}
        with pytest.raises(ValueError, match=r"'judged' must come with .*losses=None"):
            CombinatorialBrainSurgeon(
                setting.model, sparsity=0.5, judged=True, **options
            )
        with pytest.raises(ValueError, match=r"'judged' .*scope='local'"):
            CombinatorialBrainSurgeon(
                setting.model,
                sparsity=0.5,
                losses=setting.losses,
                judged=True,
                scope="local",
            )

    def test_starts(self, setting):
        with pytest.raises(ValueError, match=r"'num_starts' .*got 0"):
            CombinatorialBrainSurgeon(
                setting.model, sparsity=0.5, losses=setting.losses, num_starts=0
            )


def test_a_matrix_taken_before_serves_one_cut(setting):
    fisher = empirical_fisher(WeightMasks(setting.model), setting.losses)
    with pytest.raises(
        ValueError, match=r"with a schedule.* takes it anew \(got one of"
    ):
        WoodFisher(
            setting.model, sparsity=0.8, fisher=fisher, schedule=RoundsSchedule(2)
        )
    small = GCN(setting.data.x.size(1), 4, num_layers=2, out_channels=3)
    with pytest.raises(ValueError, match=r"weights must be of shape \[\d+\] \(got"):
        WoodFisher(small, sparsity=0.8, fisher=fisher)

"""A fitted mask keeps the predictions of the model and does not change its weights."""

import copy

import pytest
import torch
from torch_geometric.nn import GCNConv

from gsparse.data import planted_partition, split
from gsparse.nn import FeatureMask, KEdge
from gsparse.nn.seeded import seeded
from gsparse.prune import Magnitude, Pruner
from gsparse.train import GCN, FitConfig, evaluate, fit, fit_mask, predict_logits
from gsparse.transforms import RandomEdge


def trained():
    data = planted_partition(400, num_classes=3, seed=29)
    data = split(data, "random", seed=29)
    torch.manual_seed(2)
    model = GCN(data.num_features, 16, 3, dropout=0.5)
    fit(model, data, config=FitConfig(epochs=60))
    return data, model


def test_predictions_survive_better_than_on_random_edges():
    data, model = trained()
    before = copy.deepcopy(model.state_dict())
    wanted = predict_logits(model, data).argmax(1)
    mask = KEdge(model, data.num_features, 0.8, seed=3, edge_index=data.edge_index)
    history = fit_mask(mask, data, config=FitConfig(0.05, 0.0, epochs=300))
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(p.requires_grad for p in model.parameters())
    assert history.num_epochs > 200

    def kept(cut):
        return (predict_logits(model, cut).argmax(1) == wanted).double().mean()

    assert float(kept(mask.sparsify(data))) == pytest.approx(history.val_score)
    assert history.kept == history.val_score

    random = kept(RandomEdge(0.8, seed=3)(data))
    assert kept(mask.sparsify(data)) > random + 0.5 * (1 - random)


def share(mask, data, sparsity=None):
    """The fraction of all nodes that keep their class, from the graph that is left."""
    before, mask.sparsity = mask.sparsity, sparsity or mask.sparsity
    wanted = predict_logits(mask.model, data).argmax(1)
    found = predict_logits(mask.model, mask.eval().sparsify(data)).argmax(1)
    mask.sparsity = before
    return (found == wanted).double().mean().item()


@pytest.mark.parametrize("keep", [0.99, 0.9])
@pytest.mark.parametrize("start", [0.3, 0.9])
def test_the_largest_sparsity_that_keeps_enough(keep, start):
    data, model = trained()
    mask = KEdge(model, data.num_features, start, seed=3, edge_index=data.edge_index)
    fresh = share(mask, data)
    history = fit_mask(mask, data, keep=keep)
    assert history.kept == share(mask, data)
    assert history.kept_before == fresh
    assert keep <= history.kept < keep + 0.0026  # one node of 400
    # The mask itself has no sparser graph that is as good.
    assert share(mask, data, mask.sparsity + 0.005) < keep
    random = RandomEdge(mask.sparsity, seed=3)(data)
    wanted = predict_logits(model, data).argmax(1)
    by_chance = (predict_logits(model, random).argmax(1) == wanted).double().mean()
    assert by_chance < keep


def test_a_share_that_not_even_all_edges_keep():
    data, model = trained()
    mask = KEdge(model, data.num_features, 0.5, seed=3, edge_index=data.edge_index)
    wrong = predict_logits(model, data).roll(1, dims=1)
    text = r"'keep' must be at most 0, which .* \(got 0.9\); check 'logits'"
    with pytest.raises(ValueError, match=text):
        fit_mask(mask, data, logits=wrong, keep=0.9)
    assert mask.sparsity == 0.5


def test_an_interrupted_search_leaves_the_sparsity_that_was_asked_for():
    data, model = trained()
    mask = KEdge(model, data.num_features, 0.5, seed=3, edge_index=data.edge_index)
    calls = []

    def stop(epoch, *_):
        calls.append(epoch)
        if calls.count(1) == 2:
            raise KeyboardInterrupt

    config = FitConfig(0.1, 0.0, epochs=120, validate_every=20)
    with pytest.raises(KeyboardInterrupt):
        fit_mask(mask, data, keep=0.9, config=config, callback=stop)
    assert mask.sparsity == 0.5
    assert all(p.requires_grad for p in model.parameters())


def test_short_fits_use_all_of_what_the_ranks_allow():
    data, model = trained()
    mask = KEdge(model, data.num_features, 0.5, seed=3, ramp=4)
    fit_mask(mask, data, keep=0.97, config=FitConfig(0.1, 0.0, epochs=8))
    found = mask.sparsity
    more = [found + 0.002 + 0.02 * i for i in range(10)]
    assert sum(share(mask, data, it) >= 0.97 for it in more if it < 1) <= 1


@pytest.mark.parametrize("keep", [0.0, -0.5, 1.2, float("nan")])
def test_shares_that_there_are_not(keep):
    data, model = trained()
    mask = KEdge(model, data.num_features, 0.5)
    with pytest.raises(ValueError, match=r"'keep' must be in \(0, 1\] \(got "):
        fit_mask(mask, data, keep=keep)
    assert mask.sparsity == 0.5
    assert all(p.requires_grad for p in model.parameters())


def test_a_penalty_has_no_share():
    data, model = trained()
    mask = KEdge(model, data.num_features, penalty=1.0)
    text = r"needs a mask with a budget, .* \(got KEdge with penalty=1.0\)"
    with pytest.raises(ValueError, match=text):
        fit_mask(mask, data, keep=0.9)


def test_inputs_that_do_not_fit():
    data, model = trained()
    mask = KEdge(model, data.num_features, 0.5)
    with pytest.raises(TypeError, match=r"'keep' must be a number .* \(got '0.9'\)"):
        fit_mask(mask, data, keep="0.9")
    text = r"'logits' must have one row for each of the 400 nodes \(got \[50, 3\]\)"
    with pytest.raises(ValueError, match=text):
        fit_mask(mask, data, logits=torch.zeros(50, 3))
    data.edge_index = torch.tensor([[0, 1], [0, 1]])
    with pytest.raises(ValueError, match="must have an edge between two nodes"):
        fit_mask(mask, data)


def test_scores_of_another_model_can_be_kept():
    data, model = trained()
    own = predict_logits(model, data)
    found = []
    for wanted in (None, own, own.flip(1)):
        mask = KEdge(model, data.num_features, 0.5, seed=3, edge_index=data.edge_index)
        fit_mask(mask, data, logits=wanted, config=FitConfig(0.05, 0.0, epochs=5))
        found.append(mask.edge_probability(data))
    assert torch.equal(found[0], found[1])  # None is the model's own
    assert not torch.equal(found[1], found[2])


def test_validation_labels_are_not_looked_at():
    data, model = trained()
    found = []
    for wrong in (False, True):
        if wrong:
            data.y = torch.where(data.train_mask, data.y, (data.y + 1) % 3)
        mask = KEdge(model, data.num_features, 0.8, seed=3, edge_index=data.edge_index)
        fit_mask(mask, data, config=FitConfig(0.05, 0.0, epochs=15))
        found.append(mask.edge_probability(data))
    assert torch.equal(*found)


def test_the_model_is_one_as_people_write_them():
    class Net(torch.nn.Module):
        def __init__(self, inputs):
            super().__init__()
            self.first = GCNConv(inputs, 8, cached=True)
            self.last = GCNConv(8, 3, cached=True)

        def forward(self, x, edge_index):
            return self.last(self.first(x, edge_index).relu(), edge_index)

    data, _ = trained()
    torch.manual_seed(5)
    net, few = Net(data.num_features), FitConfig(0.05, 0.0, epochs=12)
    fit(net, data, config=few)
    mask = KEdge(net, data.num_features, 0.8, edge_index=data.edge_index, ramp=10)
    fit_mask(mask, data, config=few)
    cut, of_mask = mask.sparsify(data), predict_logits(mask, data)
    torch.testing.assert_close(predict_logits(net, cut), of_mask)
    assert not torch.allclose(predict_logits(net, data), of_mask, atol=1e-2)


def wrapped(data, ramp, outer=False):
    with seeded(7):
        mask = KEdge(GCN(data.num_features, 8, 3), data.num_features, 0.8, ramp=ramp)
        return FeatureMask(mask, data.num_features, 0.5, ramp=5) if outer else mask


@pytest.mark.parametrize("outer", [False, True])
def test_no_epoch_is_chosen_before_the_ramp_has_ended(outer):
    """Patience, too, counts from there: 25 epochs of a ramp, then at least 3."""
    data, _ = trained()
    config = FitConfig(lr=1e-12, epochs=60, patience=3)  # nothing improves
    history = fit(wrapped(data, 25, outer), data, config=config)
    assert history.best_epoch >= 25
    assert history.num_epochs >= 28
    plain = fit(GCN(data.num_features, 8, 3), data, config=config)
    assert plain.num_epochs < 25


def test_a_ramp_that_does_not_end_leaves_the_last_weights():
    data, _ = trained()
    mask = wrapped(data, 100)
    history = fit(mask, data, config=FitConfig(epochs=9))
    assert history.best_epoch == history.num_epochs == 9
    assert history.val_score == evaluate(mask, data, "val_mask")
    assert mask.ramping


def test_a_mask_inside_a_module_of_its_own_is_seen():
    class Outer(torch.nn.Module):
        def __init__(self, mask):
            super().__init__()
            self.inner, self.penalty = mask, mask.penalty

        def forward(self, x, edge_index):
            return self.inner(x, edge_index)

    data, _ = trained()
    config = FitConfig(lr=1e-12, epochs=40, patience=3)
    history = fit(Outer(wrapped(data, 25)), data, config=config)
    assert history.best_epoch >= 25


def test_a_pruner_is_not_blamed_for_the_ramp_of_a_mask():
    data, _ = trained()
    mask = wrapped(data, 50)
    pruner = Pruner(mask.model, Magnitude(), sparsity=0.5)
    history = fit(mask, data, config=FitConfig(epochs=5), pruner=pruner)
    assert history.best_epoch == 5


def test_refuses_a_model_without_a_mask():
    data = planted_partition(60, num_classes=2, seed=3)
    with pytest.raises(TypeError, match=r"such as KEdge\(model, \.\.\.\) \(got GCN\)"):
        fit_mask(GCN(data.num_features, 4, 2), data)

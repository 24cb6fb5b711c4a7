"""The Fisher matrix in gradient form against the dense matrix."""

import pytest
import torch
from torch.nn import BatchNorm1d, Dropout, Linear, Sequential
from torch.nn.functional import cross_entropy
from torch_geometric.nn import GCN

from gsparse.data import random_graph
from gsparse.prune import Magnitude, Pruner, WeightMasks
from gsparse.prune.surgeons.fisher import Fisher
from gsparse.prune.surgeons.take_fisher import (
    empirical_fisher,
    full_weights,
    true_fisher,
)

SIZES = [[12], [5, 7], [1, 8, 3]]


def draw(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def dense(fisher):
    """The definition, sample by sample and block by block."""
    H = torch.zeros(fisher.num_weights, fisher.num_weights, dtype=torch.float64)
    for g in fisher.gradients:
        for part in fisher.blocks:
            H[part, part] += torch.outer(g[part], g[part]) / fisher.num_samples
    return H + fisher.ridge * torch.eye(fisher.num_weights)


@pytest.fixture(params=[3, 40], ids=["fewer samples", "more samples"])
def num_samples(request):
    return request.param


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("damping", [1e-6, 0.1, 10.0])
class TestFisher:
    @pytest.fixture
    def fisher(self, sizes, damping, num_samples):
        return Fisher(draw(num_samples, 12, seed=41189), damping, sizes)

    def test_damping_is_in_units_of_the_mean_diagonal(self, fisher, damping):
        undamped = dense(fisher).diagonal() - fisher.ridge
        assert fisher.ridge == pytest.approx(damping * undamped.mean().item())

    def test_products(self, fisher):
        v, H = draw(12, seed=20219), dense(fisher)
        torch.testing.assert_close(fisher.matvec(v), H @ v)
        assert fisher.quadratic(v) == pytest.approx((v @ H @ v).item())
        torch.testing.assert_close(fisher.diagonal(), H.diagonal())

    def test_block(self, fisher):
        rows, cols = torch.tensor([0, 4, 9, 11]), torch.tensor([11, 3, 0])
        expected = dense(fisher)[rows][:, cols]
        torch.testing.assert_close(fisher.block(rows, cols), expected)

    def test_inverse(self, fisher):
        v, inverse = draw(12, seed=50263), torch.linalg.inv(dense(fisher))
        scale = inverse.abs().max().item()
        torch.testing.assert_close(
            fisher.solve(v), inverse @ v, atol=1e-9 * scale, rtol=1e-7
        )
        torch.testing.assert_close(
            fisher.inverse_diagonal(), inverse.diagonal(), atol=1e-9 * scale, rtol=1e-7
        )

    def test_part(self, fisher):
        H = dense(fisher)
        for i, part in enumerate(fisher.blocks):
            torch.testing.assert_close(dense(fisher.part(i)), H[part, part])


def test_inverse_equals_the_recursion():
    """Sherman-Morrison, one gradient at a time (WoodFisher)."""
    fisher = Fisher(draw(9, 14, seed=33029), damping=0.2)
    inverse = torch.eye(14, dtype=torch.float64) / fisher.ridge
    for g in fisher.gradients:
        u = inverse @ g
        inverse -= torch.outer(u, u) / (fisher.num_samples + g @ u)
    v = draw(14, seed=11701)
    torch.testing.assert_close(fisher.solve(v), inverse @ v)
    torch.testing.assert_close(fisher.inverse_diagonal(), inverse.diagonal())


def graph_model(seed=61843):
    data = random_graph(num_nodes=20, p=0.2, seed=seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = GCN(data.x.size(1), 4, num_layers=3, out_channels=3, dropout=0.5)
    y = torch.arange(20) % 3
    return model, data, y


def losses_of(model, data, y, nodes=slice(0, 8)):
    return lambda: cross_entropy(
        model(data.x, data.edge_index)[nodes], y[nodes], reduction="none"
    )


def test_rows_are_gradients_of_nodes():
    model, data, y = graph_model()
    masks = WeightMasks(model)
    losses = losses_of(model, data, y)
    fisher = empirical_fisher(masks, losses)
    model.eval()
    for node in range(8):
        model.zero_grad()
        losses()[node].backward()
        row = torch.cat([w.grad.flatten() for w in masks.parameters().values()])
        torch.testing.assert_close(fisher.gradients[node], row.double())
    sizes = [w.numel() for w in masks.parameters().values()]
    assert [part.stop - part.start for part in fisher.blocks] == sizes


def test_modes_and_grads_are_left_alone():
    model = Sequential(Linear(3, 4), BatchNorm1d(4), Dropout(), Linear(4, 2))
    x = draw(6, 3, seed=74093).float()
    model.train()
    model[1].eval()
    model[3].weight.grad = torch.full((2, 4), 7.0)
    mean = model[1].running_mean.clone()
    masks = WeightMasks(model, targets="weight", exclude=BatchNorm1d)
    true_fisher(masks, lambda: model(x), 4, seed=12743)
    assert [module.training for module in model] == [True, False, True, True]
    first, last = masks.parameters().values()
    assert (last.grad == 7).all()
    assert first.grad is None
    assert model[1].running_mean.equal(mean)


def test_true_fisher_is_that_of_its_own_predictions():
    r"""For a linear model it is E[x x^T] times the variance of the labels."""
    model = Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.7, -0.4], [0.0, 0.3]]))
    x = draw(5, 2, seed=90703).float()
    masks = WeightMasks(model)
    num_samples = 4000
    fisher = true_fisher(masks, lambda: model(x), num_samples, 1.0, seed=48281)
    found = dense(fisher) - fisher.ridge * torch.eye(4)
    p = model(x).detach().softmax(dim=1).double()
    expected = torch.zeros(4, 4, dtype=torch.float64)
    entries = []
    for node in range(5):
        for label in range(2):
            error = p[node] - torch.eye(2)[label]
            g = torch.outer(error, x[node].double()).flatten()
            expected += p[node, label] * torch.outer(g, g) / 5
            entries.append(torch.outer(g, g).abs().max())
    # each entry is a mean of draws within the largest product: Hoeffding, 1e-8
    bound = 2 * max(entries) * (20 / (2 * num_samples)) ** 0.5
    assert (found - expected).abs().max() < bound
    assert (found - expected).abs().max() < 0.15 * expected.abs().max()


def test_true_fisher_same_seed_same_rows():
    model, data, _ = graph_model()
    masks = WeightMasks(model)

    def scores():
        return model(data.x, data.edge_index)

    first = true_fisher(masks, scores, 10, seed=27107)
    state = torch.get_rng_state()
    again = true_fisher(masks, scores, 10, seed=27107)
    other = true_fisher(masks, scores, 10, seed=27108)
    assert torch.get_rng_state().equal(state)
    assert first.gradients.equal(again.gradients)
    assert not first.gradients.equal(other.gradients)
    assert true_fisher(masks, scores, 50, seed=27107).num_samples == 50


def test_full_weights_lifts_the_masks_for_a_while():
    model, data, y = graph_model()
    losses = losses_of(model, data, y)
    masks = WeightMasks(model)
    whole = empirical_fisher(masks, losses)
    masks.undo()
    masks = Pruner(model, Magnitude(), sparsity=0.8).masks
    keep = torch.cat([masks[name].flatten() for name in masks.targets])
    with full_weights(masks):
        lifted = empirical_fisher(masks, losses)
    torch.testing.assert_close(lifted.gradients, whole.gradients)
    masked = empirical_fisher(masks, losses)
    assert not masked.gradients[:, ~keep].any()
    assert int((model.convs[0].lin.weight != 0).sum()) < 40


class TestRefusals:
    def test_no_samples(self):
        with pytest.raises(ValueError, match=r"at least one sample .*\[0, 3\]"):
            Fisher(torch.zeros(0, 3))

    def test_shape(self):
        with pytest.raises(ValueError, match=r"\[num_samples, num_weights\] \(got \[3"):
            Fisher(torch.zeros(3))

    def test_nan(self):
        gradients = torch.tensor([[1.0, float("nan")]])
        with pytest.raises(ValueError, match=r"got 1 that are not.*is the loss finite"):
            Fisher(gradients)

    def test_zero(self):
        with pytest.raises(ValueError, match=r"true_fisher"):
            Fisher(torch.zeros(2, 3))

    @pytest.mark.parametrize("damping", [0.0, -1.0, float("inf"), float("nan")])
    def test_damping(self, damping):
        with pytest.raises(ValueError, match=rf"'damping' .* \(got {damping}\)"):
            Fisher(torch.ones(2, 3), damping)

    def test_sizes(self):
        with pytest.raises(ValueError, match=r"'sizes' must sum to the 3 weights"):
            Fisher(torch.ones(2, 3), sizes=[1, 1])

    def test_vector(self):
        fisher = Fisher(torch.ones(2, 3))
        with pytest.raises(ValueError, match=r"of shape \[3\] \(got \[2, 3\]\)"):
            fisher.matvec(torch.ones(2, 3))

    def test_losses(self):
        model, x = Linear(3, 2), torch.ones(4, 3)
        masks = WeightMasks(model)
        with pytest.raises(ValueError, match=r"'losses'.*got \[\].*reduction='none'"):
            empirical_fisher(masks, lambda: model(x).sum())
        with pytest.raises(ValueError, match=r"'losses'.*got \[0\]"):
            empirical_fisher(masks, lambda: model(x[:0])[:, 0])
        with pytest.raises(ValueError, match=r"without a graph"):
            empirical_fisher(masks, lambda: torch.ones(3))
        with pytest.raises(ValueError, match=r"is the loss finite"):
            empirical_fisher(masks, lambda: model(x * float("nan"))[:, 0])

    def test_logits(self):
        model, x = Linear(3, 2), torch.ones(4, 3)
        masks = WeightMasks(model)
        with pytest.raises(ValueError, match=r"'logits'.*\[N, C\].*got \[4\]"):
            true_fisher(masks, lambda: model(x)[:, 0])
        with pytest.raises(ValueError, match=r"'logits'.*finite.*got 8"):
            true_fisher(masks, lambda: model(x * float("nan")))
        with pytest.raises(ValueError, match=r"'num_samples'.*got 0"):
            true_fisher(masks, lambda: model(x), num_samples=0)

    def test_frozen(self):
        model, x = Sequential(Linear(3, 4), Linear(4, 2)), torch.ones(4, 3)
        model[0].weight.requires_grad_(False)
        masks = WeightMasks(model)
        with pytest.raises(ValueError, match=r"'0.weight'.*frozen.*'exclude'"):
            empirical_fisher(masks, lambda: model(x)[:, 0])


def test_true_fisher_looks_at_each_node_once_if_there_are_enough():
    """Features of one node each tell from whose loss a gradient is."""
    model, x = torch.nn.Linear(6, 2, bias=False), torch.eye(6)
    for num_samples, expected in ((6, 6), (4, 4), (60, 6)):
        masks = WeightMasks(model, targets="weight")
        fisher = true_fisher(masks, lambda: model(x), num_samples, seed=31728)
        masks.undo()
        node = fisher.gradients.view(num_samples, 2, 6).abs().sum(1).argmax(1)
        assert node.unique().numel() == expected

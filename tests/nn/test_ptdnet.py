"""PTDNet: gates computed from the input of each layer."""

import pytest
import torch
from torch_geometric.nn import APPNP, GCN2Conv, GCNConv, GINConv
from torch_geometric.nn.models import GAT, GCN, GIN, GraphSAGE
from torch_geometric.utils import add_self_loops

from gsparse.data import random_graph
from gsparse.edges import budget, undirected_pairs
from gsparse.nn import PTDNet
from gsparse.nn.masking import convolutions
from gsparse.train import FitConfig, fit_mask

DATA = random_graph(num_nodes=40, p=0.3, seed=31189)
MODELS = {
    "GCN": lambda: GCN(8, 8, 3, out_channels=3, dropout=0.5),
    "GraphSAGE": lambda: GraphSAGE(8, 6, 2, out_channels=3, norm="batch_norm"),
    "GIN": lambda: GIN(8, 6, 2, out_channels=3),
    "GAT": lambda: GAT(8, 6, 2, out_channels=3, heads=2, dropout=0.5),
}


def wrap(model=None, sparsity=0.7, **options):
    torch.manual_seed(6)
    model = MODELS[model or "GCN"]() if not callable(model) else model()
    if "penalty" not in options:
        options["sparsity"] = sparsity
    return PTDNet(model, DATA.num_features, seed=9, **options)


def edge_set(data):
    return set(map(tuple, data.edge_index.t().tolist()))


def on_their_own_graphs(model, cuts, data, *more):
    """The model, where each convolution is handed its own cut graph."""
    handles = []
    for layer, cut in zip(convolutions(model).values(), cuts, strict=True):

        def swap(_, args, kwargs, cut=cut):
            def swapped(value):
                if value is data.edge_index:
                    return cut.edge_index
                return cut.edge_weight if more and value is more[0] else value

            kwargs = {key: swapped(value) for key, value in kwargs.items()}
            return tuple(map(swapped, args)), kwargs

        handles.append(layer.register_forward_pre_hook(swap, with_kwargs=True))
    try:
        return model(data.x, data.edge_index, *more)
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_runs_on_its_own_cut_graph(name):
    mask = wrap(name).eval()
    cuts = mask.sparsify(DATA)
    assert len(cuts) == len(convolutions(mask.model))
    assert edge_set(cuts[0]) != edge_set(cuts[1])
    for cut in cuts:
        assert cut.num_edges == 2 * budget(DATA.num_edges // 2, 0.7)
        assert cut.is_undirected()
        assert cut.edge_index.equal(DATA.edge_index[:, cut.e_id])
    torch.testing.assert_close(
        mask(DATA.x, DATA.edge_index),
        on_their_own_graphs(mask.model, cuts, DATA),
        rtol=1e-5,
        atol=1e-6,
    )


def test_weights_and_self_loops_of_the_data_count():
    data = DATA.clone()
    data.edge_index, _ = add_self_loops(data.edge_index, num_nodes=40)
    pairs = undirected_pairs(data.edge_index, 40)
    data.edge_weight = torch.rand(pairs.num_pairs + 1)[pairs.pair]
    mask = wrap(lambda: GCN(8, 8, 2, out_channels=3)).eval()
    cuts = mask.sparsify(data)
    for cut in cuts:
        assert int((cut.edge_index[0] == cut.edge_index[1]).sum()) == 40
    torch.testing.assert_close(
        mask(data.x, data.edge_index, data.edge_weight),
        on_their_own_graphs(mask.model, cuts, data, data.edge_weight),
        rtol=1e-5,
        atol=1e-6,
    )
    del data.edge_weight
    assert edge_set(mask.sparsify(data)[1]) != edge_set(cuts[1])


def test_deeper_gates_are_made_of_hidden_features():
    """The definition: run the first layer on its graph, score pairs of its output."""
    mask = wrap(lambda: GCN(8, 8, 2, out_channels=3))
    cut = mask.sparsify(DATA)[0]
    hidden = mask.model.convs[0](DATA.x, cut.edge_index).relu()
    row, col = DATA.edge_index
    found = mask.edge_probability(DATA)
    for x, scorer, probability in zip(
        (DATA.x, hidden), mask.scorers, found, strict=True
    ):
        h = torch.tanh(scorer.lin(x))
        own = h @ scorer.ends[0, 0]
        product = (h[row] * h[col] * scorer.product[0]).sum(1) / 8**0.5
        odds = 2.0 + product + own[row] + own[col]  # open at first: log-odds of 2
        torch.testing.assert_close(
            probability, torch.sigmoid(odds), rtol=1e-4, atol=1e-6
        )


def test_one_mask_for_all_layers_comes_from_the_features():
    mask = wrap(scope="shared").eval()
    cut = mask.sparsify(DATA)
    expected = mask.model(DATA.x, cut.edge_index)
    torch.testing.assert_close(
        mask(DATA.x, DATA.edge_index), expected, rtol=1e-5, atol=1e-6
    )
    assert len(mask.scorers) == 1
    with torch.no_grad():  # weights of the model have no say
        for parameter in mask.model.parameters():
            parameter.mul_(-3)
    assert edge_set(mask.sparsify(DATA)) == edge_set(cut)


def test_evaluation_draws_nothing_and_modes_stay():
    mask = wrap("GraphSAGE").train()
    mask.model.convs[0].eval()  # a part that its owner froze
    modes = [part.training for part in mask.modules()]
    state = torch.get_rng_state()
    mean = mask.model.norms[0].module.running_mean.clone()
    first, second = mask.sparsify(DATA), mask.sparsify(DATA)
    assert [edge_set(cut) for cut in first] == [edge_set(cut) for cut in second]
    assert [part.training for part in mask.modules()] == modes
    assert torch.get_rng_state().equal(state)
    assert mask.model.norms[0].module.running_mean.equal(mean)
    mask.eval()
    out = mask(DATA.x, DATA.edge_index)
    assert out.equal(mask(DATA.x, DATA.edge_index))


def test_the_order_of_the_edges_has_no_meaning():
    mask, shuffled = wrap(), DATA.clone()
    order = torch.randperm(DATA.num_edges)
    shuffled.edge_index = DATA.edge_index[:, order]
    for one, other in zip(mask.sparsify(shuffled), mask.sparsify(DATA), strict=True):
        assert edge_set(one) == edge_set(other)
    found, expected = mask.edge_probability(shuffled), mask.edge_probability(DATA)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other[order])


def test_sparse_features_give_the_graphs_of_dense_ones():
    data = DATA.clone()
    data.x = (data.x > 0).float()
    sparse = data.clone()
    sparse.x = data.x.to_sparse_csr()
    for name in ("GCN", "GIN"):
        mask = wrap(name)
        for one, other in zip(mask.sparsify(data), mask.sparsify(sparse), strict=True):
            assert edge_set(one) == edge_set(other)


@pytest.mark.parametrize("name", MODELS)
def test_the_gates_of_every_layer_learn(name):
    mask = wrap(name, low_rank=0.0)
    loss = mask(DATA.x, DATA.edge_index).square().sum()
    mask.penalty()  # belongs to the step, but not to this gradient
    loss.backward()
    for scorer in mask.scorers:
        assert scorer.product.grad.abs().sum() > 0
        assert torch.isfinite(scorer.lin.weight.grad).all()


def test_the_penalty_on_open_gates_is_alive():
    """A gate whose stretch begins at -0.0 is never closed and learns nothing here."""
    mask = wrap(penalty=3.0, low_rank=0.0)
    mask(DATA.x, DATA.edge_index)
    penalty = mask.penalty()
    assert 0.5 < penalty.item() / 3 < 0.99
    penalty.backward()
    for scorer in mask.scorers:
        assert scorer.bias.grad.item() > 0.01  # a third of 3 sigmoid'(2)
    assert mask.penalty().item() == 0


def test_only_the_last_step_counts():
    """In one layer the gates of training are those of evaluation."""
    mask = wrap(lambda: GCN(8, 3, 1), penalty=1.0, low_rank=0.0)
    with torch.no_grad():
        mask.scorers[0].bias.fill_(-1.0)
        mask.scorers[0].ends.fill_(1.0)
    mask(4 * DATA.x, DATA.edge_index)
    other = mask.penalty().item()
    mask(4 * DATA.x, DATA.edge_index)
    mask(DATA.x, DATA.edge_index)
    (probability,) = mask.edge_probability(DATA)
    expected = probability.mean().item()
    assert abs(other - expected) > 1e-3
    assert mask.penalty().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("scope", "k"), [("layer", 1), ("shared", 1), ("layer", 3)])
def test_the_low_rank_term_is_that_of_the_gates_drawn(scope, k):
    """One layer, so that the draws can be made again; with self-loops, which no gate
    has, and a second, forgotten step before.
    """
    data = DATA.clone()
    data.edge_index, _ = add_self_loops(data.edge_index, num_nodes=40)
    sums = []
    for low_rank in (0.0, 0.5):
        options = {"penalty": 1.0, "scope": scope, "low_rank": low_rank, "k": k}
        mask = wrap(lambda: GCN(8, 3, 1), **options)
        mask(data.x, data.edge_index)
        torch.manual_seed(11)
        mask(data.x, data.edge_index)
        sums.append(mask.penalty())
    torch.manual_seed(11)
    groups = mask._edge_groups(data.edge_index, 40)
    (gate,) = mask.gates(data.x, groups)
    drawn = torch.zeros(40, 40).index_put((groups.row, groups.col), gate[1].rsample())
    largest = torch.linalg.svdvals(drawn + drawn.t())[:k].sum().item()
    assert (sums[1] - sums[0]).item() == pytest.approx(0.5 * largest, rel=0.05)
    sums[1].backward()
    assert mask.scorers[0].product.grad.abs().sum() > 0


def test_every_layer_counts_in_the_penalty():
    """Layers that are alike have the density of one, and twice its low-rank term."""

    def penalty(num_layers, low_rank):
        mask = wrap(lambda: Parallel(num_layers), penalty=1.0, low_rank=low_rank)
        with torch.no_grad():
            for scorer in mask.scorers:
                scorer.product.zero_()
                scorer.ends.zero_()
                scorer.bias.fill_(50.0)  # open for sure
        mask(DATA.x, DATA.edge_index)
        return mask.penalty().item()

    assert penalty(1, 0.0) == penalty(2, 0.0) == pytest.approx(1)
    one, two = penalty(1, 0.1) - 1, penalty(2, 0.1) - 1
    degrees = DATA.num_edges / DATA.num_nodes
    assert one >= 0.1 * degrees  # the largest eigenvalue is at least the mean degree
    assert two == pytest.approx(2 * one)


class Parallel(torch.nn.Module):
    """Convolutions side by side."""

    def __init__(self, num_layers):
        super().__init__()
        convs = (GCNConv(8, 3) for _ in range(num_layers))
        self.convs = torch.nn.ModuleList(convs)

    def forward(self, x, edge_index):
        return sum(conv(x, edge_index) for conv in self.convs)


def test_fitting_it_reaches_the_budget():
    data = DATA.clone()
    data.y = (data.x[:, 0] > 0).long()
    data.train_mask = torch.arange(40) < 30
    mask = wrap(lambda: GCN(8, 8, 2, out_channels=2))
    mask.num_steps.fill_(200)  # the target is there from the first step
    density = []

    def note(*_):
        found = mask.edge_probability(data)
        density.append(sum(probability.mean().item() for probability in found) / 2)

    config = FitConfig(lr=0.05, weight_decay=0.0, epochs=80, patience=80)
    fit_mask(mask, data, config=config, callback=note)
    assert density[0] > 0.7
    assert density[-1] == pytest.approx(0.3, abs=0.1)
    assert len(mask.sparsify(data)) == 2


def test_the_seed_decides():
    state = torch.get_rng_state()
    first, second = (PTDNet(GCN(8, 8, 2), 8, 0.5, seed=4) for _ in range(2))
    for one, other in zip(first.scorers, second.scorers, strict=True):
        assert one.product.equal(other.product)
    assert not first.scorers[0].product.equal(first.scorers[1].product)
    torch.set_rng_state(state)
    third = PTDNet(GCN(8, 8, 2), 8, 0.5, seed=5)
    assert not first.scorers[0].product.equal(third.scorers[0].product)


def test_layers_say_how_wide_they_are():
    def perceptron():
        return torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(8, 6))

    model = torch.nn.ModuleList(
        [GINConv(perceptron()), GCNConv(5, 2), GCN2Conv(7, alpha=0.1)]
    )
    mask = PTDNet(model, 8, 0.5)
    assert [scorer.lin.in_features for scorer in mask.scorers] == [8, 5, 7]
    for layer, name in (
        (APPNP(K=2, alpha=0.1), "APPNP"),
        (GCNConv(-1, 4), "GCNConv"),
        (GINConv(torch.nn.Identity()), "GINConv"),
    ):
        given = torch.nn.ModuleDict({"last": layer})
        message = rf"'last' \({name}\) does not say .*scope='shared'"
        with pytest.raises(TypeError, match=message):
            PTDNet(given, 8, 0.5)
        PTDNet(given, 8, 0.5, scope="shared")


class Twice(torch.nn.Module):
    """One convolution called twice, another not at all."""

    def __init__(self, times):
        super().__init__()
        self.conv, self.spare = GCNConv(8, 8), GCNConv(8, 8)
        self.times = times

    def forward(self, x, edge_index):
        for _ in range(self.times):
            x = self.conv(x, edge_index)
        return x


def test_a_layer_has_one_mask_a_pass():
    match = r"'conv' has one mask but is called twice .*scope='shared'"
    with pytest.raises(ValueError, match=match):
        PTDNet(Twice(2), 8, 0.5)(DATA.x, DATA.edge_index)
    with pytest.raises(ValueError, match=r"'spare' was not called"):
        PTDNet(Twice(1), 8, 0.5).sparsify(DATA)
    shared = PTDNet(Twice(2), 8, 0.5, scope="shared")
    assert shared(DATA.x, DATA.edge_index).shape == (40, 8)
    assert shared.sparsify(DATA).num_edges < DATA.num_edges


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low_rank": -0.1}, r"'low_rank' must not be negative \(got -0.1\)"),
        ({"low_rank": float("nan")}, r"'low_rank' must not be negative \(got nan\)"),
        ({"k": 0}, r"'k' must be at least 1 \(got 0\)"),
        ({"penalty": 0.1, "sparsity": 0.5}, "one of 'sparsity' and 'penalty'"),
        ({"scope": "node"}, r"'scope' must be 'shared' or 'layer' \(got 'node'\)"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        PTDNet(GCN(8, 8, 2), 8, **({"sparsity": 0.5} | options))

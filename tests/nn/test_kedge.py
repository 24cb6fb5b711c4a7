"""KEdge: evaluation and sparsify remove the same edges, at the exact budget."""

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv, SimpleConv
from torch_geometric.nn.models import GAT, GCN, GIN, GraphSAGE
from torch_geometric.utils import to_undirected

from gsparse.edges import budget, undirected_pairs
from gsparse.nn import KEdge
from gsparse.nn.steered_gate import SteeredGate
from gsparse.train import FitConfig, fit

MODELS = {"GCN": GCN, "SAGE": GraphSAGE, "GIN": GIN, "GAT": GAT}


def graph(num_nodes=40, num_edges=300, seed=88211):
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randint(num_nodes, (2, num_edges), generator=generator)
    ends = to_undirected(ends[:, ends[0] != ends[1]], num_nodes=num_nodes)
    x = torch.randn(num_nodes, 6, generator=generator)
    y = (x[:, 0] > 0).long()
    train = torch.arange(num_nodes) % 2 == 0
    return Data(x=x, edge_index=ends, y=y, train_mask=train, val_mask=~train)


def wrap(kind="GCN", **options):
    torch.manual_seed(3)
    model = MODELS[kind](6, 8, 2, out_channels=2)
    if "penalty" not in options:
        options.setdefault("sparsity", 0.6)
    return KEdge(model, 6, hidden_channels=5, seed=1, **options)


@pytest.mark.parametrize("kind", MODELS)
def test_evaluation_equals_the_model_on_the_cut_graph(kind):
    data, model = graph(), wrap(kind).eval()
    cut = model.sparsify(data)
    torch.testing.assert_close(
        model(data.x, data.edge_index),
        model.model(data.x, cut.edge_index),
        rtol=1e-5,
        atol=1e-6,
    )
    pairs = undirected_pairs(data.edge_index, data.num_nodes).num_pairs
    assert cut.num_edges == 2 * budget(pairs, 0.6)
    assert cut.is_undirected()
    assert cut.num_nodes == data.num_nodes


def test_both_directions_share_a_gate_unless_told_otherwise():
    data = graph()
    order = (data.edge_index[0] * 100 + data.edge_index[1]).argsort()
    back = (data.edge_index[1] * 100 + data.edge_index[0]).argsort()
    for symmetric in (True, False):
        found = wrap(symmetric=symmetric).edge_probability(data)
        assert torch.equal(found[order], found[back]) == symmetric
    cut = wrap(symmetric=False).sparsify(data)
    assert cut.num_edges == budget(data.num_edges, 0.6)
    assert not cut.is_undirected()


def test_one_graph_a_layer():
    data, model = graph(), wrap(scope="layer").eval()
    cuts = model.sparsify(data)
    assert len(cuts) == len(model.names) == 2
    assert not torch.equal(cuts[0].edge_index, cuts[1].edge_index)
    convs, x = model.model.convs, data.x
    x = convs[1](convs[0](x, cuts[0].edge_index).relu(), cuts[1].edge_index)
    torch.testing.assert_close(model(data.x, data.edge_index), x, rtol=1e-5, atol=1e-6)


def test_the_density_is_steered_to_the_target():
    data, model = graph(), wrap(sparsity=0.7)
    config = FitConfig(lr=0.02, weight_decay=0.0, epochs=400, patience=400)
    seen = []
    before = model.scorer.bias.clone()

    def watch(epoch, loss, score):
        seen.append(float(model.edge_probability(data).mean()))

    fit(model, data, config=config, callback=watch)
    assert seen[0] == pytest.approx(0.88, abs=0.05)  # sigmoid(2) before learning
    assert sum(seen[-50:]) / 50 == pytest.approx(0.3, abs=0.08)
    assert not torch.equal(model.scorer.bias, before)


def test_a_fixed_penalty_closes_gates_and_none_keeps_them_open():
    data, kept = graph(), []
    for penalty in (0.0, 3.0):
        model = wrap(penalty=penalty)
        config = FitConfig(lr=0.02, weight_decay=0.0, epochs=200, patience=200)
        optimum = fit(model, data, config=config)
        assert optimum.num_epochs == 200
        model.train()
        model(data.x, data.edge_index)
        assert model.penalty().item() >= 0
        kept.append(float(model.edge_probability(data).mean()))
    assert kept[1] < kept[0]


def test_cached_layers_inside_cannot_answer_for_the_mask():
    data = graph()
    torch.manual_seed(3)
    conv = GCNConv(6, 2, cached=True)
    conv(data.x, data.edge_index)
    model = KEdge(conv, 6, sparsity=0.5, seed=1).eval()
    plain = GCNConv(6, 2)
    plain.load_state_dict(conv.state_dict())
    torch.testing.assert_close(
        model(data.x, data.edge_index),
        plain(data.x, model.sparsify(data).edge_index),
        rtol=1e-5,
        atol=1e-6,
    )


def test_bad_settings_are_refused():
    gcn = GCN(6, 8, 2)
    with pytest.raises(ValueError, match=r"one of 'sparsity' and 'penalty' \(got None"):
        KEdge(gcn, 6)
    with pytest.raises(ValueError, match=r"one of 'sparsity' and 'penalty' \(got 0.5"):
        KEdge(gcn, 6, sparsity=0.5, penalty=1.0)
    with pytest.raises(ValueError, match=r"'sparsity' must .* \(got 1.5\)"):
        KEdge(gcn, 6, sparsity=1.5)
    with pytest.raises(ValueError, match=r"'penalty' must be .* not negative \(got -1"):
        KEdge(gcn, 6, penalty=-1.0)
    with pytest.raises(ValueError, match=r"'scope' must be .* \(got 'edge'\)"):
        KEdge(gcn, 6, sparsity=0.5, scope="edge")
    with pytest.raises(TypeError, match="Linear has no convolutions"):
        KEdge(torch.nn.Linear(2, 2), 2, sparsity=0.5)
    with pytest.raises(TypeError, match=r"\(SimpleConv\) takes no edge weights"):
        KEdge(SimpleConv(), 6, sparsity=0.5)


def test_a_gate_is_open_with_the_log_odds_of_its_score():
    score = torch.tensor([-5.0, -0.3, 0.0, 2.0, 6.0], dtype=torch.float64)
    for shape in (-3.0, 0.0, 3.0):
        found = SteeredGate(torch.stack([score, torch.full_like(score, shape)], 1))
        opened = found.variable.expected_l0
        torch.testing.assert_close(opened, torch.sigmoid(found.rank))
        draws = found.variable.rsample((40_000,), torch.Generator().manual_seed(5))
        share = (draws > 0).double().mean(0)
        assert (share - opened).abs().max() < 0.012
    assert (found.rank - score).abs().max() < 0.7  # bounded, but softly


def test_a_gate_draws_the_same_by_either_way_of_drawing():
    scores = torch.randn(400, 2, generator=torch.Generator().manual_seed(71))
    found = []
    for fused in (True, False):
        given = scores.clone().requires_grad_()
        with torch.random.fork_rng([]):
            torch.manual_seed(40289)
            drawn, opened = SteeredGate(given, fused).draw()
        (drawn.square().sum() + opened.sum()).backward()
        found.append((drawn, opened, given.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_gates_far_from_even_odds_still_learn():
    score = torch.tensor([-60.0, 60.0], requires_grad=True)
    scores = torch.stack([score, torch.zeros(2)], dim=1)
    SteeredGate(scores).draw()[1].sum().backward()
    assert (score.grad > 0).all()
    assert torch.isfinite(score.grad).all()


def test_each_edge_can_have_a_term_of_its_own():
    data = graph()
    model = wrap(edge_index=data.edge_index)
    assert model.own.shape == (data.num_edges // 2, 2)
    with torch.no_grad():
        model.own[17, 0] = 50.0
        model.own[23, 0] = -50.0
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    found = model.edge_probability(data)
    assert (found[pairs.pair == 17] > 0.999).all()
    assert (found[pairs.pair == 23] < 0.001).all()


def test_terms_of_edges_serve_one_graph_in_any_order():
    data, other = graph(), graph(seed=5)
    model = wrap(edge_index=data.edge_index)
    before = model.edge_probability(data)
    order = torch.randperm(data.num_edges)
    data.edge_index = data.edge_index[:, order]
    assert torch.equal(model.edge_probability(data), before[order])
    with pytest.raises(ValueError, match="made for the graph of its 'edge_index'"):
        model.sparsify(other)
    with pytest.raises(ValueError, match=r"needs symmetric=True \(got symmetric=False"):
        wrap(symmetric=False, edge_index=data.edge_index)


def test_a_frozen_model_rests_while_the_gates_learn():
    model = wrap()
    model.model.requires_grad_(False)
    assert not model.train().model.training
    assert model.training
    model.model.requires_grad_(True)
    assert model.train().model.training

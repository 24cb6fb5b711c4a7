"""FeatureMask: evaluation and sparsify keep the same features, at the exact budget."""

import copy
import pickle

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn.models import GAT, GCN, GIN, GraphSAGE
from torch_geometric.utils import to_undirected

from gsparse.edges import budget
from gsparse.nn import HardConcrete, KEdge
from gsparse.nn.feature_mask import FeatureMask, gate_features
from gsparse.prune import Magnitude, Pruner
from gsparse.train import FitConfig, fit, sparse_features
from gsparse.transforms import RandomEdge
from gsparse.transforms.feature_select import FeatureSelect

MODELS = {"GCN": GCN, "SAGE": GraphSAGE, "GIN": GIN, "GAT": GAT}
STORAGES = {
    "dense": lambda x: x,
    "csr": lambda x: x.to_sparse_csr(),
    "SparseFeatures": lambda x: sparse_features(x, threshold=1.1),
}
LINEAR_FIRST = ("GCN", "GAT")
NUM_FEATURES = 20


def graph(num_nodes=60, seed=66103):
    """Labels are the sign of the first feature; all others are noise."""
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randint(num_nodes, (2, 90), generator=generator)
    ends = to_undirected(ends[:, ends[0] != ends[1]], num_nodes=num_nodes)
    x = torch.randn(num_nodes, NUM_FEATURES, generator=generator)
    x = x * (torch.rand(x.shape, generator=generator) < 0.4)
    y = torch.randint(2, (num_nodes,), generator=generator)
    x[:, 0] = 2.0 * y - 1
    train = torch.arange(num_nodes) % 2 == 0
    return Data(x=x, edge_index=ends, y=y, train_mask=train, val_mask=~train)


def wrap(kind="GCN", seed=91733, **options):
    torch.manual_seed(3)
    model = MODELS[kind](NUM_FEATURES, 8, 2, out_channels=2)
    if "penalty" not in options:
        options.setdefault("sparsity", 0.7)
    return FeatureMask(model, NUM_FEATURES, seed=seed, **options)


def narrowed(model, kind, kept):
    """The same model without the columns of the weights that read lost features."""
    torch.manual_seed(3)
    small = MODELS[kind](kept.numel(), 8, 2, out_channels=2).eval()
    state = {
        name: value[:, kept] if value.shape[1:] == (NUM_FEATURES,) else value
        for name, value in model.state_dict().items()
    }
    small.load_state_dict(state)
    return small


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("kind", MODELS)
def test_the_mask_is_removal(kind, storage):
    """In evaluation it equals a narrower model on the cut features."""
    data, mask = graph(), wrap(kind).eval()
    if storage != "csr" or kind in LINEAR_FIRST:  # PyG's own limit
        data.x = STORAGES[storage](data.x)
    cut = mask.sparsify(data)
    assert cut.num_features == 6
    assert cut.edge_index.equal(data.edge_index)
    small = narrowed(mask.model, kind, cut.kept_features)
    torch.testing.assert_close(
        mask(data.x, data.edge_index),
        small(cut.x, cut.edge_index),
        rtol=1e-5,
        atol=1e-6,
    )


def test_gates_multiply_columns():
    x = graph().x
    gate = torch.rand(NUM_FEATURES, generator=torch.Generator().manual_seed(20983))
    for store in STORAGES.values():
        found = gate_features(store(x), gate)
        assert type(found) is type(store(x))
        found = found if found.layout == torch.strided else found.to_dense()
        torch.testing.assert_close(found @ torch.eye(NUM_FEATURES), x * gate)


@pytest.mark.parametrize("kind", LINEAR_FIRST)
def test_every_storage_has_the_same_gradient(kind):
    data, found = graph(), []
    for store in STORAGES.values():
        mask = wrap(kind)
        torch.manual_seed(44029)  # the same gates are drawn
        out = mask(store(data.x), data.edge_index)
        (out.square().sum() + mask.penalty()).backward()
        assert mask.log_odds.grad.abs().min() > 0
        found.append(mask.log_odds.grad)
    for gradient in found[1:]:
        torch.testing.assert_close(gradient, found[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["GIN", "SAGE"])
def test_a_lost_gradient_is_refused_and_dense_features_help(kind):
    data = graph()
    x = STORAGES["SparseFeatures"](data.x)
    with pytest.raises(RuntimeError, match=r"begin with linear maps.*dense=True"):
        wrap(kind)(x, data.edge_index)
    mask = wrap(kind, dense=True)
    mask(x, data.edge_index).square().sum().backward()
    assert mask.log_odds.grad.abs().sum() > 0
    wrap(kind).eval()(x, data.edge_index)  # nothing to lose


@pytest.mark.parametrize("tenths", range(10))
def test_the_budget_is_exact_and_nested(tenths):
    data, mask = graph(), wrap(sparsity=tenths / 10)
    kept = mask.sparsify(data).kept_features
    assert kept.numel() == NUM_FEATURES - round(tenths / 10 * NUM_FEATURES)
    best = mask.feature_probability().topk(kept.numel()).indices
    assert set(best.tolist()) == set(kept.tolist())


def test_the_feature_that_says_the_label_stays():
    data, mask = graph(), wrap(sparsity=0.9)
    density = []
    config = FitConfig(lr=0.01, weight_decay=0.0, epochs=300, patience=300)
    history = fit(
        mask,
        data,
        config=config,
        callback=lambda *_: density.append(mask.feature_probability().mean().item()),
    )
    assert 0 in mask.sparsify(data).kept_features.tolist()
    assert history.val_score > 0.8
    assert density[0] > 0.9
    assert sum(density[-50:]) / 50 == pytest.approx(0.1, abs=0.06)


def test_a_fixed_penalty_closes_gates():
    data, kept = graph(), []
    for penalty in (0.0, 5.0):
        mask = wrap(penalty=penalty)
        for _ in range(150):
            mask.zero_grad()
            mask(data.x, data.edge_index)
            mask.penalty().backward()
            with torch.no_grad():
                mask.log_odds -= 0.05 * mask.log_odds.grad
        kept.append(mask.sparsify(data).num_features)
    assert kept == [NUM_FEATURES, 0] or kept[0] > kept[1]
    assert kept[0] == NUM_FEATURES


def test_gates_are_those_of_ten_times_the_parameter():
    mask = wrap()
    with torch.no_grad():
        mask.log_odds.copy_(torch.linspace(-0.4, 0.4, NUM_FEATURES))
    expected = HardConcrete(10 * mask.log_odds.detach()).expected_l0
    torch.testing.assert_close(mask.feature_probability(), expected)


def test_the_penalty_is_its_factor_times_the_mean_probability_of_an_open_gate():
    data, mask = graph(), wrap(penalty=0.3)
    mask(data.x, data.edge_index)
    expected = 0.3 * mask.feature_probability().mean()
    torch.testing.assert_close(mask.penalty().detach(), expected)


def test_with_a_penalty_the_features_go_for_which_0_is_the_likeliest():
    """Of P(z = 0), P(z = 1) and the rest; some stay for each of the other two."""
    data, mask = graph(), wrap(penalty=0.3)
    with torch.no_grad():
        mask.log_odds.copy_(torch.linspace(-0.4, 0.4, NUM_FEATURES))
    gates = HardConcrete(10 * mask.log_odds.detach())
    triples = [
        (float(zero), float(one), float(1 - zero - one))
        for zero, one in zip(gates.prob_zero, gates.prob_one, strict=True)
    ]
    expected = [j for j, (a, b, c) in enumerate(triples) if a < max(b, c)]
    assert mask.sparsify(data).kept_features.tolist() == expected
    assert any(b < a < c for a, b, c in triples)
    assert 0 < len(expected) < NUM_FEATURES


def test_the_penalty_belongs_to_one_step():
    data, mask = graph(), wrap()
    mask(data.x, data.edge_index)
    assert mask.penalty().item() > 0
    assert mask.penalty().item() == 0
    mask.eval()(data.x, data.edge_index)
    assert mask.penalty().item() == 0


def test_the_penalty_of_a_mask_of_edges_within_counts_too():
    data, gcn = graph(), wrap().model
    edges = KEdge(gcn, NUM_FEATURES, penalty=3.0, seed=15131)
    mask = FeatureMask(edges, NUM_FEATURES, penalty=2.0, seed=91733)
    mask(data.x, data.edge_index)
    features = 2.0 * mask.feature_probability().mean()
    assert mask.penalty().item() > features.item() + 1.0  # edges begin open
    assert mask.penalty().item() == 0


def test_seed_copies_and_checkpoints():
    data, mask = graph(), wrap()
    torch.manual_seed(1)
    before = torch.rand(2)
    torch.manual_seed(1)
    assert wrap().sparsify(data).x.equal(mask.sparsify(data).x)
    torch.manual_seed(1)
    FeatureMask(torch.nn.Identity(), 5, 0.5, seed=3)
    assert torch.rand(2).equal(before)  # the global stream did not move
    assert not wrap(seed=5).keep().equal(mask.keep())
    mask(data.x, data.edge_index)  # leaves something behind, part of a graph
    for twin in (copy.deepcopy(mask), pickle.loads(pickle.dumps(mask))):
        assert twin.keep().equal(mask.keep())
    other = wrap(seed=5)
    other.load_state_dict(mask.state_dict())
    assert other.keep().equal(mask.keep())


def test_a_frozen_model_rests_while_the_gates_learn():
    mask = wrap()
    mask.model.requires_grad_(False)
    assert not mask.train().model.training
    assert mask.training


@pytest.mark.parametrize("learned", [True, False])
def test_edges_weights_and_features_at_once(learned):
    """All three masks on one model equal removing all three."""
    data = graph()
    torch.manual_seed(3)
    model = GCN(NUM_FEATURES, 8, 2, out_channels=2)
    pruner = Pruner(model, Magnitude(), sparsity=0.75)
    if learned:
        edges = KEdge(model, NUM_FEATURES, sparsity=0.5, seed=15131)
        mask = FeatureMask(edges, NUM_FEATURES, sparsity=0.7, seed=91733)
        config = FitConfig(lr=0.02, epochs=20, patience=20)
        fit(mask, data, config=config, pruner=pruner)
        mask.eval()
        out = mask(data.x, data.edge_index)
        gated = data.clone()
        gated.x = data.x * mask.keep()  # what the gates of edges are computed from
        data.edge_index = edges.sparsify(gated).edge_index
        data = mask.sparsify(data)
    else:
        data = RandomEdge(0.5, seed=15131)(FeatureSelect(0.7)(data))
        kept = torch.zeros(NUM_FEATURES).index_fill(0, data.kept_features, 1.0)
        whole = graph()
        out = model.eval()(whole.x * kept, data.edge_index)
    pruner.make_permanent()
    assert data.num_features == 6
    assert data.num_edges == 2 * budget(graph().num_edges // 2, 0.5)
    assert int((model.convs[0].lin.weight != 0).sum()) == 40
    small = narrowed(model, "GCN", data.kept_features)
    found = small(data.x, data.edge_index)
    torch.testing.assert_close(found, out, rtol=1e-5, atol=1e-6)


def test_bad_settings_are_refused():
    net = torch.nn.Identity()
    with pytest.raises(ValueError, match=r"one of 'sparsity' and 'penalty' \(got None"):
        FeatureMask(net, 6)
    with pytest.raises(ValueError, match=r"one of 'sparsity' and 'penalty' \(got 0.5"):
        FeatureMask(net, 6, sparsity=0.5, penalty=1.0)
    with pytest.raises(ValueError, match=r"'sparsity' must be in .*\(got 1.5\)"):
        FeatureMask(net, 6, sparsity=1.5)
    with pytest.raises(ValueError, match=r"must leave a feature of 2 \(got 0.9\); low"):
        FeatureMask(net, 2, sparsity=0.9)
    with pytest.raises(ValueError, match=r"'penalty' must be .*negative \(got -1"):
        FeatureMask(net, 6, penalty=-1.0)
    with pytest.raises(ValueError, match=r"'in_channels' must be at least 1 \(got 0\)"):
        FeatureMask(net, 0, sparsity=0.5)
    with pytest.raises(ValueError, match=r"'in_channels' = 20 columns \(got \[3, 4\]"):
        wrap()(torch.ones(3, 4), torch.zeros(2, 0, dtype=torch.long))
    with pytest.raises(ValueError, match=r"'in_channels' = 20 columns \(got \[3, 4\]"):
        wrap().sparsify(Data(x=torch.ones(3, 4)))

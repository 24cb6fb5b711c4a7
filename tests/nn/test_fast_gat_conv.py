"""FastGATConv and FastGATv2Conv are PyG's layers, plus edge weights."""

import copy
import io
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric import EdgeIndex
from torch_geometric.nn import GATConv, GATv2Conv

from gsparse.data import random_graph
from gsparse.kernels import Graph
from gsparse.nn import FastGATConv, FastGATv2Conv

TWINS = {"gat": (GATConv, FastGATConv), "gatv2": (GATv2Conv, FastGATv2Conv)}
DATA = random_graph(num_nodes=30, p=0.25, seed=48221)
LOOPED = torch.cat([DATA.edge_index, torch.tensor([[4, 9, 4], [4, 9, 4]])], dim=1)


def pair_of(kind, *args, **kwargs):
    """PyG's layer and ours with the same weights."""
    theirs, ours = (layer(*args, **kwargs) for layer in TWINS[kind])
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def assert_same_layers(theirs, ours, x, edge_index, **inputs):
    """Outputs within 1e-5, gradients within 1e-4."""
    x, y = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected, out = theirs(x, edge_index, **inputs), ours(y, edge_index, **inputs)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    grad = torch.linspace(-1, 1, out.numel()).view_as(out)
    expected.backward(grad)
    out.backward(grad)
    torch.testing.assert_close(y.grad, x.grad, rtol=1e-4, atol=1e-4)
    for ours_p, theirs_p in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours_p.grad, theirs_p.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", TWINS)
@settings(deadline=None, max_examples=30)
@given(
    num_nodes=st.integers(1, 12),
    num_edges=st.integers(0, 50),
    heads=st.integers(1, 16),
    channels=st.integers(1, 11),
    concat=st.booleans(),
    bias=st.booleans(),
    residual=st.booleans(),
    add_self_loops=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_equals_pyg(
    kind,
    num_nodes,
    num_edges,
    heads,
    channels,
    concat,
    bias,
    residual,
    add_self_loops,
    seed,
):
    torch.manual_seed(seed)
    edge_index = torch.randint(num_nodes, (2, num_edges))
    options = {"heads": heads, "concat": concat, "bias": bias, "residual": residual}
    options["add_self_loops"] = add_self_loops
    twins = pair_of(kind, 6, channels, **options)
    assert_same_layers(*twins, torch.randn(num_nodes, 6), edge_index)


@pytest.mark.parametrize("kind", TWINS)
def test_equals_pyg_where_pygs_code_runs(kind):
    attr = torch.randn(LOOPED.size(1), 4)
    twins = pair_of(kind, DATA.num_features, 5, heads=2, edge_dim=4)
    assert_same_layers(*twins, DATA.x, LOOPED, edge_attr=attr)
    theirs, ours = pair_of(kind, (5, 3), 4, heads=2, add_self_loops=False)
    both = (torch.randn(30, 5), torch.randn(30, 3))
    assert ours(both, LOOPED).equal(theirs(both, LOOPED))
    theirs, ours = pair_of(kind, DATA.num_features, 5, heads=2)
    out, (ends, share) = ours(DATA.x, LOOPED, return_attention_weights=True)
    assert ends.size(1) == share.size(0) == DATA.num_edges + 30
    torch.testing.assert_close(ours(DATA.x, LOOPED), out, rtol=1e-5, atol=1e-5)
    flipped = pair_of(kind, DATA.num_features, 5, flow="target_to_source")
    assert_same_layers(*flipped, DATA.x, LOOPED[:, ::2])


@pytest.mark.parametrize("kind", TWINS)
@pytest.mark.parametrize("add_self_loops", [True, False])
@pytest.mark.parametrize("attention", ["fused", "reference"])
def test_weight_zero_is_removal(kind, add_self_loops, attention):
    conv = TWINS[kind][1](
        DATA.num_features,
        4,
        heads=3,
        attention=attention,
        add_self_loops=add_self_loops,
    )
    weight = torch.rand(LOOPED.size(1))
    weight[::3] = 0
    keep = weight > 0
    out = conv(DATA.x, LOOPED, edge_weight=weight)
    expected = conv(DATA.x, LOOPED[:, keep], edge_weight=weight[keep])
    torch.testing.assert_close(out, expected)
    ones = torch.ones_like(weight)
    torch.testing.assert_close(
        conv(DATA.x, LOOPED, edge_weight=ones), conv(DATA.x, LOOPED)
    )


@pytest.mark.parametrize("kind", TWINS)
def test_weights_mean_the_same_in_both_paths(kind):
    conv = TWINS[kind][1](DATA.num_features, 4, heads=3)
    weights = [torch.rand(LOOPED.size(1)).requires_grad_()]
    weights.append(weights[0].detach().clone().requires_grad_())
    outs = []
    for conv.attention, weight in zip(("fused", "reference"), weights, strict=True):
        outs.append(conv(DATA.x, LOOPED, edge_weight=weight))
        outs[-1].square().sum().backward()
    torch.testing.assert_close(*outs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weights[0].grad, weights[1].grad, rtol=1e-4, atol=1e-4)
    loops = LOOPED[0] == LOOPED[1]  # dropped and given anew with weight 1
    assert (weights[0].grad[loops] == 0).all()


@pytest.mark.parametrize("kind", TWINS)
def test_weight_doubles_as_parallel_edge(kind):
    """An edge of weight 2 is the edge listed twice."""
    conv = TWINS[kind][1](DATA.num_features, 4, add_self_loops=False)
    twice = torch.cat([DATA.edge_index, DATA.edge_index[:, :7]], dim=1)
    weight = torch.ones(DATA.num_edges)
    weight[:7] = 2
    torch.testing.assert_close(
        conv(DATA.x, DATA.edge_index, edge_weight=weight), conv(DATA.x, twice)
    )


@pytest.mark.parametrize("kind", TWINS)
def test_absent_edges_do_not_fill_self_loop_features(kind):
    conv = TWINS[kind][1](DATA.num_features, 4, edge_dim=2)
    attr, weight = torch.randn(LOOPED.size(1), 2), torch.rand(LOOPED.size(1))
    weight[::2] = 0
    keep = weight > 0
    torch.testing.assert_close(
        conv(DATA.x, LOOPED, edge_attr=attr, edge_weight=weight),
        conv(DATA.x, LOOPED[:, keep], edge_attr=attr[keep], edge_weight=weight[keep]),
    )


@pytest.mark.parametrize("kind", TWINS)
def test_edge_index_graph_and_reference_agree(kind):
    conv = TWINS[kind][1](DATA.num_features, 4, heads=2)
    expected = conv(DATA.x, LOOPED)
    for self_loops in ("keep", "replace", "remaining"):
        graph = Graph.from_edge_index(LOOPED, 30, self_loops)
        assert conv(DATA.x, graph).equal(expected)
    assert conv(DATA.x, EdgeIndex(LOOPED, sparse_size=(30, 30))).equal(expected)
    conv.attention = "reference"
    out = conv(DATA.x, Graph.from_edge_index(LOOPED, 30))
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", TWINS)
def test_dropout_follows_the_global_seed_and_training(kind):
    conv = TWINS[kind][1](DATA.num_features, 8, heads=4, dropout=0.6)
    outs = []
    for _ in range(2):
        torch.manual_seed(33703)
        outs.append(conv(DATA.x, LOOPED))
    assert outs[0].equal(outs[1])
    assert not conv(DATA.x, LOOPED).equal(outs[1])
    conv.eval()
    state = torch.get_rng_state()
    assert conv(DATA.x, LOOPED).equal(conv(DATA.x, LOOPED))
    assert torch.get_rng_state().equal(state)


@pytest.mark.parametrize("kind", TWINS)
def test_copies_checkpoints_and_inference(kind):
    conv = TWINS[kind][1](DATA.num_features, 4, heads=2)
    expected = conv(DATA.x, LOOPED)
    assert copy.deepcopy(conv)(DATA.x, LOOPED).equal(expected)
    file = io.BytesIO()
    torch.save(conv, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert loaded(DATA.x, LOOPED).equal(expected)
    assert loaded.attention == "fused"
    with torch.inference_mode():
        out = conv(DATA.x, LOOPED)
    assert out.equal(expected)
    assert not out.requires_grad
    TWINS[kind][0](DATA.num_features, 4, heads=2).load_state_dict(conv.state_dict())


@pytest.mark.parametrize("kind", TWINS)
def test_compiles(kind):
    conv = TWINS[kind][1](DATA.num_features, 4, heads=2)
    compiled = torch.compile(conv, backend="aot_eager", dynamic=True)
    x = DATA.x.clone().requires_grad_()
    out = compiled(x, LOOPED)
    torch.testing.assert_close(out, conv(DATA.x, LOOPED))
    out.sum().backward()
    assert x.grad.isfinite().all()


def test_hooks_on_message_passing_still_fire():
    conv = FastGATConv(DATA.num_features, 4)
    seen = []
    conv.register_message_forward_hook(lambda *_: seen.append(1))
    conv(DATA.x, LOOPED)
    assert seen == [1]


@pytest.mark.parametrize("kind", TWINS)
def test_second_derivative_needs_the_reference(kind):
    conv = TWINS[kind][1](DATA.num_features, 4)
    x = DATA.x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(conv(x, LOOPED).sin().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="attention='reference'"):
        grad.sum().backward()
    conv.attention = "reference"
    (grad,) = torch.autograd.grad(conv(x, LOOPED).sin().sum(), x, create_graph=True)
    grad.sum().backward()


def test_refusals():
    conv = FastGATConv(DATA.num_features, 4)
    with pytest.raises(ValueError, match=r"'attention' must be one of .*got 'flash'"):
        FastGATConv(3, 4, attention="flash")
    with pytest.raises(ValueError, match=r"one row per node of the Graph, 31 \(got 30"):
        conv(DATA.x, Graph.from_edge_index(LOOPED, 31))
    with pytest.raises(ValueError, match=r"'weight' must have shape .*got \[2\]"):
        conv(DATA.x, LOOPED, edge_weight=torch.ones(2))
    conv.attention = "reference"
    with pytest.raises(ValueError, match=r"'edge_weight' must have shape .*got \[2\]"):
        conv(DATA.x, LOOPED, edge_weight=torch.ones(2))
    size = (30, 30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its CSR layout a beta
        adjacency = torch.sparse_coo_tensor(
            LOOPED, torch.ones(LOOPED.size(1)), size
        ).to_sparse_csr()
    with pytest.raises(TypeError, match="'edge_weight' needs 'edge_index' as"):
        conv(DATA.x, adjacency, edge_weight=torch.ones(3))

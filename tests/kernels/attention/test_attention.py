"""Fused attention against its definition and reference, with gradients and threads."""

import math
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from gsparse.kernels import (
    Graph,
    gat_attention,
    gat_attention_reference,
    gat_layer,
    gatv2_attention,
    gatv2_attention_reference,
    threads,
)
from gsparse.kernels.attention import operators
from gsparse.kernels.attention.operators import structure

SEED = torch.tensor(70921)


def random_case(seed, num_nodes=9, num_edges=40, heads=2, channels=3, dtype=None):
    """A graph with self-loops, parallel edges and isolated nodes; and three tensors."""
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randint(max(1, num_nodes - 2), (2, num_edges), generator=generator)
    dtype = torch.float64 if dtype is None else dtype

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    tensors = (draw(num_nodes, heads), draw(num_nodes, heads))
    return ends, (*tensors, draw(num_nodes, heads, channels))


def v2_inputs(tensors):
    """Inputs of GATv2 from those of GAT."""
    x = tensors[2]
    return x, x.flip(0) * 0.7, x[0] + 0.3


FUSED = {
    "gat": (gat_attention, gat_attention_reference, lambda tensors: tensors),
    "gatv2": (gatv2_attention, gatv2_attention_reference, v2_inputs),
}


def by_definition(edge_index, tensors, weight, slope):
    """One node, one head, one edge at a time."""
    src, dst, x = tensors
    out = torch.zeros_like(x)
    for i in range(x.size(0)):
        for h in range(x.size(1)):
            terms = []
            for e, (j, k) in enumerate(edge_index.t().tolist()):
                if k == i and weight[e] > 0:
                    u = float(src[j, h] + dst[i, h])
                    s = u if u > 0 else slope * u
                    terms.append((float(weight[e]) * math.exp(s), j))
            total = sum(term for term, _ in terms)
            for term, j in terms:
                out[i, h] += term / total * x[j, h]
    return out


@pytest.mark.parametrize("seed", [11503, 60257])
def test_gat_is_its_definition(seed):
    edge_index, tensors = random_case(seed)
    weight = torch.rand(40, dtype=torch.float64)
    weight[::4] = 0
    expected = by_definition(edge_index, tensors, weight, slope=0.3)
    graph = Graph.from_edge_index(edge_index, 9)
    for attention in (gat_attention, gat_attention_reference):
        out = attention(graph, *tensors, weight, negative_slope=0.3)
        torch.testing.assert_close(out, expected)


def assert_same(kind, graph, tensors, weight, **options):
    """Output and all gradients of the kernel equal those of the reference."""
    fused, reference, inputs = FUSED[kind]
    leaves = [t.clone().requires_grad_() for t in (*inputs(tensors), weight)]
    out, expected = (f(graph, *leaves, **options) for f in (fused, reference))
    tolerance = {torch.float64: 1e-10, torch.float32: 1e-5}[out.dtype]
    torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)
    grad = torch.cos(torch.arange(out.numel(), dtype=out.dtype)).view_as(out)
    ours, theirs = (torch.autograd.grad(y, leaves, grad) for y in (out, expected))
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=10 * tolerance, atol=10 * tolerance)
    with torch.no_grad():
        torch.testing.assert_close(fused(graph, *leaves, **options), out)


@pytest.mark.parametrize("kind", FUSED)
@settings(deadline=None, max_examples=40)
@given(
    num_nodes=st.integers(1, 12),
    num_edges=st.integers(0, 60),
    heads=st.integers(1, 16),
    channels=st.integers(1, 19),
    self_loops=st.sampled_from(["keep", "replace", "remaining"]),
    dropout=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 10**6),
)
def test_kernel_equals_reference(
    kind, num_nodes, num_edges, heads, channels, self_loops, dropout, seed
):
    edge_index, tensors = random_case(seed, num_nodes, num_edges, heads, channels)
    graph = Graph.from_edge_index(edge_index, num_nodes, self_loops)
    weight = torch.linspace(0.1, 3, num_edges, dtype=torch.float64)
    options = {"dropout": dropout, "seed": torch.tensor(seed)}
    assert_same(kind, graph, tensors, weight, **options)


@pytest.mark.parametrize("kind", FUSED)
@pytest.mark.parametrize(("heads", "channels"), [(8, 8), (3, 5)])
def test_kernel_for_one_shape_equals_reference(kind, heads, channels, monkeypatch):
    monkeypatch.setattr(operators, "SPECIALISE_WORK", 0)
    edge_index, tensors = random_case(
        41947, 30, 900, heads, channels, dtype=torch.float32
    )
    graph = Graph.from_edge_index(edge_index, 30)  # rows longer than a chunk
    weight = torch.linspace(0.1, 3, 900)
    assert_same(kind, graph, tensors, weight, dropout=0.4, seed=SEED)


@pytest.mark.parametrize("kind", FUSED)
def test_gradcheck(kind):
    """Derivatives by differences, also at edges of weight 0."""
    edge_index, tensors = random_case(83639, 6, 15)
    graph = Graph.from_edge_index(edge_index, 6, "replace")
    fused, _, inputs = FUSED[kind]
    leaves = [t.clone().requires_grad_() for t in inputs(tensors)]
    weight = torch.linspace(0.2, 2, 15, dtype=torch.float64, requires_grad=True)
    options = {"dropout": 0.25, "seed": SEED}
    assert gradcheck(lambda *a: fused(graph, *a, **options), (*leaves, weight))
    shift = weight.detach().log().requires_grad_()
    by_log = lambda *a: fused(graph, *a[:-1], log_weight=a[-1], **options)  # noqa: E731
    assert gradcheck(by_log, (*leaves, shift))


def test_gradcheck_of_the_layer():
    edge_index, (_, _, x) = random_case(29483, 6, 15)
    graph = Graph.from_edge_index(edge_index, 6)
    leaves = [x, x[0] - 1, x[1] + 0.5, x[2].flatten(), x[:3].flatten()[:15].abs() + 0.1]
    leaves = [t.clone().requires_grad_() for t in leaves]
    options = {"dropout": 0.25, "seed": SEED}
    assert gradcheck(lambda *a: gat_layer(graph, *a, **options), leaves)


@pytest.mark.parametrize("kind", FUSED)
def test_weight_zero_is_absence_with_a_finite_gradient(kind):
    edge_index, tensors = random_case(37691, 12, 60)
    fused, _, inputs = FUSED[kind]
    weight = torch.ones(60, dtype=torch.float64)
    weight[::3] = 0
    keep = weight > 0
    weight.requires_grad_()
    # A score far above all others, on absent edges: it must not matter.
    tensors[0][int(edge_index[0, 0])] += 30
    out = fused(Graph.from_edge_index(edge_index, 12), *inputs(tensors), weight)
    graph = Graph.from_edge_index(edge_index[:, keep], 12)
    assert out.equal(fused(graph, *inputs(tensors), weight.detach()[keep]))
    out.sum().backward()
    assert weight.grad.isfinite().all()
    assert (weight.grad[~keep] != 0).any()


@pytest.mark.parametrize("kind", FUSED)
def test_nodes_without_edges_give_zero(kind):
    edge_index, tensors = random_case(52391)
    fused, _, inputs = FUSED[kind]
    graph = Graph.from_edge_index(edge_index, 9)  # nodes 7 and 8 stand alone
    assert (fused(graph, *inputs(tensors))[7:] == 0).all()
    nothing = Graph.from_edge_index(edge_index[:, :0], 9)
    assert (fused(nothing, *inputs(tensors)) == 0).all()


def test_large_scores_do_not_overflow():
    edge_index, (src, dst, x) = random_case(64403, dtype=torch.float32)
    graph = Graph.from_edge_index(edge_index, 9)
    out = gat_attention(graph, src * 1e4, dst * 1e4, x)
    torch.testing.assert_close(
        out, gat_attention_reference(graph, src * 1e4, dst * 1e4, x)
    )
    assert out.isfinite().all()


def run_with_threads(count, kind, graph, leaves):
    torch.set_num_threads(count)
    fused, _, inputs = FUSED[kind]
    leaves = [t.clone().requires_grad_() for t in inputs(leaves)]
    weight = torch.linspace(0.1, 2, graph.num_entries, dtype=torch.float64)
    weight.requires_grad_()
    out = fused(graph, *leaves, weight, dropout=0.5, seed=SEED)
    return out, *torch.autograd.grad(out.square().sum(), [*leaves, weight])


@pytest.mark.parametrize("kind", FUSED)
def test_threads_do_not_change_a_bit(kind, monkeypatch):
    monkeypatch.setattr(threads, "MIN_WORK", 0)
    edge_index, tensors = random_case(90173, 400, 5000, 4, 3)
    graph = Graph.from_edge_index(edge_index, 400)
    one = run_with_threads(1, kind, graph, tensors)
    for _ in range(5):
        two = run_with_threads(2, kind, graph, tensors)
        assert all(a.equal(b) for a, b in zip(one, two, strict=True))


def test_order_of_edges_does_not_change_a_bit():
    edge_index, tensors = random_case(71143, 50, 300, dtype=torch.float32)
    edge_index = torch.unique(edge_index, dim=1)
    order = torch.randperm(edge_index.size(1))
    first = gat_attention(Graph.from_edge_index(edge_index, 50), *tensors)
    second = gat_attention(Graph.from_edge_index(edge_index[:, order], 50), *tensors)
    assert first.equal(second)


def test_dropout_rate_and_seeds():
    """With equal messages a node's output is the share it kept, over 1 - p."""
    num_nodes, p = 2000, 0.35
    node = torch.arange(num_nodes)
    edge_index = torch.stack([node.repeat(50), node.repeat_interleave(50)])
    graph = Graph.from_edge_index(edge_index, num_nodes)
    flat = torch.zeros(num_nodes, 4)
    x = torch.ones(num_nodes, 4, 1)
    out = gat_attention(graph, flat, flat, x, dropout=p, seed=SEED)
    kept = out.mean().item() * (1 - p)
    deviation = math.sqrt(p * (1 - p) / (50 * 4 * num_nodes))
    assert abs(kept - (1 - p)) < 5 * deviation
    spread = (out * (1 - p)).var().item()
    assert spread == pytest.approx(p * (1 - p) / 50, rel=0.1)
    assert not out[:, 0].equal(out[:, 1])
    again = gat_attention(graph, flat, flat, x, dropout=p, seed=SEED)
    assert again.equal(out)
    other = gat_attention(graph, flat, flat, x, dropout=p, seed=SEED + 1)
    correlation = torch.corrcoef(torch.stack([out.flatten(), other.flatten()]))[0, 1]
    assert abs(correlation) < 5 / math.sqrt(4 * num_nodes)


def test_used_twice_in_one_graph():
    edge_index, tensors = random_case(15401, 8, 30)
    graph = Graph.from_edge_index(edge_index, 8)
    src, dst, x = (t.clone().requires_grad_() for t in tensors)

    def twice(attention):
        y = attention(graph, src, dst, attention(graph, src, dst, x).tanh() + x)
        return torch.autograd.grad(y.sin().sum(), (src, dst, x))

    ours, theirs = twice(gat_attention), twice(gat_attention_reference)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their)


def test_two_python_threads_at_once(monkeypatch):
    monkeypatch.setattr(threads, "MIN_WORK", 0)
    edge_index, tensors = random_case(22433, 200, 3000)
    graph = Graph.from_edge_index(edge_index, 200)
    expected = gat_attention(graph, *tensors)
    found = []

    def work():
        found.extend(gat_attention(graph, *tensors) for _ in range(20))

    callers = [threading.Thread(target=work) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 40
    assert all(out.equal(expected) for out in found)


@pytest.mark.parametrize("kind", FUSED)
def test_compiles(kind):
    edge_index, tensors = random_case(31873, dtype=torch.float32)
    graph = Graph.from_edge_index(edge_index, 9)
    fused, _, inputs = FUSED[kind]
    leaves = [t.clone().requires_grad_() for t in inputs(tensors)]

    def model(*args):
        return (2 * fused(graph, *args)).tanh()

    compiled = torch.compile(model, backend="aot_eager", dynamic=True, fullgraph=True)
    out, expected = compiled(*leaves), model(*leaves)
    torch.testing.assert_close(out, expected)
    ours, theirs = (torch.autograd.grad(y.sum(), leaves) for y in (out, expected))
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their)


@pytest.mark.parametrize("name", ["gat_forward", "gatv2_forward"])
def test_registration(name):
    """torch's own check of schema, fake tensors and autograd."""
    edge_index, tensors = random_case(44111)
    graph = Graph.from_edge_index(edge_index, 9)
    empty = torch.empty(0, dtype=torch.float64)
    if name == "gat_forward":
        inputs, rest = (*tensors, empty, empty, empty), (0.2, 0.3, True)
    else:
        inputs, rest = (*v2_inputs(tensors), empty), (0.2, 0.3)
    inputs = [t.clone().requires_grad_(t.numel() > 0) for t in inputs]
    torch.library.opcheck(
        getattr(torch.ops.gsparse, name).default,
        (structure(graph), *inputs, SEED, *rest),
    )


@pytest.mark.parametrize("kind", FUSED)
def test_second_derivative_is_refused(kind):
    edge_index, tensors = random_case(17041)
    graph = Graph.from_edge_index(edge_index, 9)
    fused, reference, inputs = FUSED[kind]
    leaves = [t.clone().requires_grad_() for t in inputs(tensors)]
    y = fused(graph, *leaves).sin().sum()
    (grad,) = torch.autograd.grad(y, leaves[0], create_graph=True)
    with pytest.raises(RuntimeError, match="attention='reference'"):
        grad.sum().backward()
    y = reference(graph, *leaves).sin().sum()
    (grad,) = torch.autograd.grad(y, leaves[0], create_graph=True)
    grad.sum().backward()
    assert leaves[0].grad.isfinite().all()


def test_halves_are_summed_in_float32():
    edge_index, tensors = random_case(39929, dtype=torch.bfloat16)
    graph = Graph.from_edge_index(edge_index, 9)
    out = gat_attention(graph, *tensors)
    assert out.dtype == torch.bfloat16
    expected = gat_attention(graph, *(t.float() for t in tensors))
    assert out.equal(expected.bfloat16())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"weight": torch.ones(3)}, r"'weight' must have shape \[40\] \(got \[3\]\)"),
        ({"dropout": 1.5, "seed": SEED}, r"'dropout' must be in \[0, 1\] \(got 1.5\)"),
        ({"dropout": 0.5}, "'seed' is needed with dropout .got dropout=0.5"),
        (
            {"weight": torch.ones(40), "log_weight": torch.ones(40)},
            "'weight' or 'log_weight', not both",
        ),
    ],
)
@pytest.mark.parametrize("kind", FUSED)
def test_refusals(kind, change, text):
    edge_index, tensors = random_case(58321)
    fused, _, inputs = FUSED[kind]
    with pytest.raises(ValueError, match=text):
        fused(Graph.from_edge_index(edge_index, 9), *inputs(tensors), **change)


def test_refuses_shapes_that_do_not_fit():
    edge_index, (src, dst, x) = random_case(58321)
    graph = Graph.from_edge_index(edge_index, 9)
    with pytest.raises(ValueError, match=r"'alpha_src' .*\[9, 2\] \(got \[9, 1\]\)"):
        gat_attention(graph, src[:, :1], dst, x)
    with pytest.raises(ValueError, match=r"'x' must have shape \[9, 2, 3\] \(got"):
        gat_attention(graph, src, dst, x[:5])
    with pytest.raises(ValueError, match=r"'att_dst' .*\[2, 3\] \(got \[1, 3\]\)"):
        gat_layer(graph, x, x[0], x[0, :1])
    with pytest.raises(ValueError, match=r"'x_dst' must have shape \[9, 2, 3\]"):
        gatv2_attention(graph, x, x[:, :1], x[0])

"""Every option and call form: our layers equal PyG's, or refuse what PyG refuses."""

import copy
import itertools
import subprocess
import sys
import warnings

import pytest
import torch
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn import GAT, GATConv, MessagePassing

from gsparse.nn import FastGATConv, FastGATv2Conv, FastGCNConv, FastSAGEConv, accelerate
from tests.nn import fast_layer_options
from tests.nn.fast_layer_options import (
    EDGES,
    FORMS,
    OPTIONS,
    OTHER,
    WEIGHT,
    Form,
    X,
    counted,
    forms_of,
    needs,
    outcome,
    pair_of,
    signature_of,
)

#: Served by our layers alone: the same call in a form that PyG serves.
EQUIVALENT = {"x sparse": Form((X.relu(), EDGES)), "int32 ids": Form()}
LAYERS = pytest.mark.parametrize("fast", OPTIONS, ids=lambda kind: kind.__name__)


def attempt(layer, form):
    """What a call gives, or the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return form(layer)
        except Exception as error:
            return error


def assert_same(fast, options, name):
    form = forms_of(fast)[name]
    try:
        theirs, ours = pair_of(fast, options | needs(fast, name))
    except (TypeError, ValueError, KeyError):  # what PyG's constructor refuses
        with pytest.raises((TypeError, ValueError, KeyError)):
            fast(**{"in_channels": 5, "out_channels": 4} | options)
        return
    expected, found = attempt(theirs, form), attempt(ours, form)
    if isinstance(found, Exception):
        assert isinstance(expected, Exception), (options, name, found)
        return
    if isinstance(expected, Exception) and options.get("decomposed_layers"):
        theirs, _ = pair_of(fast, options | {"decomposed_layers": 1})
        theirs.load_state_dict(ours.state_dict())
        expected = attempt(theirs, form)
    if name in EQUIVALENT:
        theirs.zero_grad()
        expected = EQUIVALENT[name](theirs)
        expected, found = expected[:1], found[:1]
    assert not isinstance(expected, Exception), (options, name, expected)
    coarse = name in ("bfloat16", "float16", "autocast")
    error = {"rtol": 3e-2, "atol": 6e-2} if coarse else {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(
        found, expected, **error, equal_nan=True, msg=lambda m: f"{options} {name} {m}"
    )


def singles(fast):
    return [{name: value} for name, values in OPTIONS[fast].items() for value in values]


@LAYERS
def test_every_argument_of_pyg_has_values(fast):
    assert signature_of(fast) == set(OPTIONS[fast])


@LAYERS
def test_every_call_form(fast):
    for name in forms_of(fast):
        assert_same(fast, {}, name)


@LAYERS
def test_every_option_with_every_option(fast):
    for one in singles(fast):
        assert_same(fast, one, "x [N, F]")
    for one, other in itertools.combinations(singles(fast), 2):
        if not one.keys() & other.keys():
            assert_same(fast, one | other, "x [N, F]")


#: Forms that meet each option too; the others look at the call, not at options.
MEETING = (
    "x (pair)",
    "x [B, N, F]",
    "no edges",
    "no nodes",
    "size=(N, N)",
    "edge_attr [E, D]",
    "return_attention_weights",
    "another graph afterwards",
    "message replaced",
    "torch.func.jvp",
    "edge_weight",
    "edge_weight, self-loops 0",
)


@LAYERS
def test_every_option_with_call_forms(fast):
    names = [name for name in MEETING if name in forms_of(fast)]
    for options, name in itertools.product(singles(fast), names):
        if options.get("in_channels") == -1 and "func" in name:
            continue  # initialised within a transform: torch itself crashes
        assert_same(fast, options, name)


@LAYERS
def test_the_kernel_serves_plain_calls_and_no_others(fast):
    assert outcome(fast, {}, FORMS["x [N, F]"]) == "fast"
    assert outcome(fast, {"bias": False}, FORMS["float64"]) == "fast"
    for name in ("explained", "message overridden", "torch.jit.trace"):
        assert outcome(fast, {}, FORMS[name]) == "PyG"
    assert outcome(fast, {"aggr": "max"}, FORMS["x [N, F]"]) == "PyG"
    assert outcome(fast, {}, FORMS["explained before"]) == "fast"


def test_a_row_is_a_layer_a_call_and_who_serves_it(monkeypatch):
    few = {FastGCNConv: {"aggr": ["max"], "bias": [False]}}
    monkeypatch.setattr(fast_layer_options, "OPTIONS", few)
    monkeypatch.setattr(
        fast_layer_options,
        "forms_of",
        lambda _: {name: FORMS[name] for name in ("x [B, N, F]", "float ids")},
    )
    assert fast_layer_options.rows() == [
        ("FastGCNConv", "aggr='max'", "PyG"),
        ("FastGCNConv", "bias=False", "fast"),
        ("FastGCNConv", "x [B, N, F]", "PyG"),
        ("FastGCNConv", "float ids", "refused"),
    ]


@pytest.mark.parametrize("fast", [FastGCNConv, FastSAGEConv])
def test_a_hook_on_the_linear_layer_fires(fast):
    theirs, ours = pair_of(fast, {})
    for layer in (theirs, ours):
        lin = layer.lin if fast is FastGCNConv else layer.lin_l
        lin.register_forward_hook(lambda _, __, out: 2 * out)
    torch.testing.assert_close(ours(X, EDGES), theirs(X, EDGES))


def test_global_hooks_hear_of_every_module():
    theirs, ours = pair_of(FastSAGEConv, {})
    heard = []
    handle = torch.nn.modules.module.register_module_forward_hook(
        lambda module, *_: heard.append(type(module).__name__)
    )
    try:
        theirs(X, EDGES)
        expected = heard[:-1]
        heard.clear()
        ours(X, EDGES)
    finally:
        handle.remove()
    assert heard[:-1] == expected


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("features", [X, torch.stack([X, -X])])
def test_cached_gcn_never_returns_another_graph(normalize, features):
    theirs, ours = pair_of(FastGCNConv, {"cached": True, "normalize": normalize})
    theirs.cached = False
    for edge_index in (EDGES, OTHER, EDGES):
        expected = theirs(features, edge_index)
        torch.testing.assert_close(ours(features, edge_index), expected)


def test_gcn_counts_large_degrees_under_autocast():
    """A star of 2000 leaves: bfloat16 counts no further than 256."""
    edge_index = torch.stack([torch.arange(1, 2001), torch.zeros(2000).long()])
    x = torch.ones(2001, 5)
    for fast in (FastGCNConv, FastSAGEConv):
        theirs, ours = pair_of(fast, {})
        with torch.autocast("cpu", torch.bfloat16):
            out, expected = ours(x, edge_index), theirs(x, edge_index)
        torch.testing.assert_close(out, expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("aggr", ["mean", "max"])
def test_attention_weights_need_a_sum(aggr):
    conv = FastGATConv(5, 4, aggr=aggr)
    with pytest.raises(ValueError, match=rf"needs aggr='add'.*\(got aggr='{aggr}'\)"):
        conv(X, EDGES, edge_weight=WEIGHT)


def test_weights_that_do_not_reach_the_scores_are_refused():
    class Own(FastGATConv):
        def edge_update(self, alpha_j, alpha_i, edge_attr, index, ptr, dim_size):
            return alpha_j

    with pytest.raises(ValueError, match=r"own edge_update \(Own overrides it"):
        Own(5, 4)(X, EDGES, edge_weight=WEIGHT)


def test_sage_weights_are_refused_where_pygs_code_runs():
    conv = FastSAGEConv(5, 4)
    with pytest.raises(ValueError, match=r"needs aggr='mean'.*x \[2, 9, 5\]"):
        conv(torch.stack([X, X]), EDGES, edge_weight=WEIGHT)
    conv.register_message_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="message passing that is not hooked"):
        conv(X, EDGES, edge_weight=WEIGHT)


@LAYERS
def test_weights_under_forward_mode(fast):
    if fast is FastSAGEConv:
        pytest.skip("takes no weights there")
    conv = pair_of(fast, {})[1]
    call = lambda weight: conv(X, EDGES, edge_weight=weight)  # noqa: E731
    tangent, step = WEIGHT.cos(), 1e-3
    found = torch.func.jvp(call, (WEIGHT,), (tangent,))[1]
    slope = call(WEIGHT + step * tangent) - call(WEIGHT - step * tangent)
    torch.testing.assert_close(found, slope / (2 * step), rtol=1e-2, atol=1e-3)


@LAYERS
def test_a_subclass_is_not_scripted(fast):
    made = type("Own", (fast,), {})(5, 4)
    with pytest.raises(TypeError, match=r"no subclass \(got Own\)"):
        torch.jit.script(made)


def test_explainer_of_an_accelerated_model():
    model = GAT(5, 8, 2, 3, heads=2).eval()
    masks = []
    for net in (model, accelerate(copy.deepcopy(model))):
        torch.manual_seed(90017)
        explainer = Explainer(
            net,
            GNNExplainer(epochs=5),
            "model",
            node_mask_type="attributes",
            edge_mask_type="object",
            model_config={
                "mode": "multiclass_classification",
                "task_level": "node",
                "return_type": "raw",
            },
        )
        masks.append(explainer(X, EDGES, index=2).edge_mask)
    torch.testing.assert_close(masks[1], masks[0], rtol=1e-3, atol=1e-3)
    assert masks[0].any()


def test_a_layer_made_after_its_parent_can_be_explained():
    """PyG compiles a parent's propagation; what it compiles cannot be explained."""
    GATConv(5, 4)
    conv = type("Own", (FastGATConv,), {})(5, 4)
    before = conv(X, EDGES)
    FORMS["explained"].prepare(conv)
    assert not torch.allclose(conv(X, EDGES), before, atol=1e-3)


def test_traced_layers_on_other_sizes():
    """In a process of its own: memory was corrupted."""
    code = """
import torch
from gsparse.nn import FastGATConv, FastGATv2Conv, FastGCNConv, FastSAGEConv
from gsparse.kernels import Graph, gat_attention
torch.manual_seed(31907)
x, edge_index = torch.randn(200, 6), torch.randint(200, (2, 900))
for kind in (FastGATConv, FastGATv2Conv, FastGCNConv, FastSAGEConv):
    conv = kind(6, 4).eval()
    traced = torch.jit.trace(conv, (x, edge_index), check_trace=False)
    for n in (5, 3000):
        y, ends = torch.randn(n, 6), torch.randint(n, (2, 4 * n))
        torch.testing.assert_close(traced(y, ends), conv(y, ends), atol=1e-4, rtol=1e-4)
graph = Graph.from_edge_index(edge_index, 200)
call = lambda a, x: gat_attention(graph, a, a, x)
a = torch.zeros(200, 1)
traced = torch.jit.trace(call, (a, x.unsqueeze(1)), check_trace=False)
try:
    traced(a[:5], x[:5].unsqueeze(1))
except Exception as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "'x' must have shape [200, H, C] (got [5, 1, 6])" in done.stdout


def test_counted_sees_the_kernel():
    with counted() as seen:
        FastGATConv(5, 4)(X, EDGES)
    assert seen == ["gat_layer"]


@pytest.mark.parametrize(
    "layer",
    [
        FastGCNConv(3, 4, normalize=False),
        FastSAGEConv(3, 4, aggr="sum"),
        FastGATConv(3, 4, add_self_loops=False, attention="reference"),
        FastGATv2Conv(3, 4, add_self_loops=False, attention="reference"),
    ],
)
def test_ids_of_32_bits_have_the_derivatives_of_64_bits_in_pyg_code(layer):
    torch.manual_seed(81)
    x, edge_index = torch.randn(9, 3), torch.randint(9, (2, 40))
    found = []
    for ids in (edge_index, edge_index.int()):
        out = layer(x, ids).square().sum()
        found.append(torch.autograd.grad(out, list(layer.parameters())))
    torch.testing.assert_close(found[1], found[0])


def test_an_instance_of_the_base_class_changes_no_layer(monkeypatch):
    """PyG compiles ``propagate`` into the class of what is made, be it the base."""
    monkeypatch.setattr(MessagePassing, "propagate", MessagePassing.propagate)
    MessagePassing()
    x, edge_index = torch.ones(3, 2), torch.tensor([[0, 1], [1, 2]])
    for fast in (FastGATConv, FastGATv2Conv, FastGCNConv, FastSAGEConv):
        layer = type("Other", (fast,), {})(2, 3)  # a class that PyG has not seen
        layer.register_propagate_forward_hook(lambda *_: None)  # PyG's code runs
        assert layer(x, edge_index).shape == (3, 3)

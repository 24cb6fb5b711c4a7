"""Masks equal removal for every option and call form, or are refused by name."""

import inspect

import pytest
import torch
from torch_geometric.nn import GATConv, GCNConv, SAGEConv, SGConv, TransformerConv
from torch_geometric.nn.conv import MessagePassing

from gsparse.nn import edge_weights
from gsparse.nn.masked_forward import ATTENTION, NORMALISED, SUMMED
from tests.nn import masked_conv_options as enumeration

KINDS = pytest.mark.parametrize(
    "kind", enumeration.KINDS, ids=[kind.__name__ for kind in enumeration.KINDS]
)


def test_all_maskable_layers_are_enumerated():
    assert set(enumeration.KINDS) == {*ATTENTION, *NORMALISED, *SUMMED}


@pytest.mark.parametrize("kind", enumeration.LAYERS)
def test_values_are_listed_for_every_argument(kind):
    """A new argument of PyG fails here until values for it are listed."""
    assert set(enumeration.LAYERS[kind]) | {"aggr"} == (
        enumeration.arguments(kind) | {"aggr"}
    )
    assert set(enumeration.MESSAGE_PASSING) == enumeration.arguments(MessagePassing)


@KINDS
def test_each_option_and_form_equals_removal_or_is_refused(kind):
    found = enumeration.outcomes(kind)
    refused = {key for key, what in found.items() if what == "refused"}
    messages = {("form", "'own message'")} if kind.__name__[0] == "T" else set()
    assert refused == messages | {
        ("aggr", repr(name)) for name in enumeration.REFUSED_AGGR
    }
    assert sum(what == "equals removal" for what in found.values()) > 20


@pytest.mark.parametrize("kind", enumeration.LAYERS)
def test_any_two_options_equal_removal(kind):
    ways = enumeration.forms()
    for settings, form in enumeration.pairwise(kind):
        found = enumeration.outcome(kind, settings, ways[form], hard_only=True)
        assert found in ("equals removal", None), (settings, form)


def test_rows_are_sorted_by_layer_and_hold_every_layer():
    rows = enumeration.rows()
    assert [kind.__name__ for kind in enumeration.KINDS] == list(
        dict.fromkeys(layer for layer, _, _ in rows)
    )
    assert {what for _, _, what in rows} == {"equals removal", "refused"}


def test_a_subclass_of_gcn_keeps_its_message():
    class Squashed(GCNConv):
        def message(self, x_j, edge_weight):
            return torch.tanh(x_j) + edge_weight.view(-1, 1)

    call = enumeration.base(loops=True)
    conv, keep = Squashed(6, 4).double(), call.weight > 0
    removed = conv(call.x, call.edge_index[:, keep])
    with edge_weights(conv, call.edge_index, keep.double()):
        torch.testing.assert_close(conv(call.x, call.edge_index), removed)


def test_a_subclass_with_an_aggregate_of_its_own_misses_absent_edges():
    class Largest(GCNConv):
        def aggregate(self, inputs, index, dim_size):
            out = inputs.new_full((dim_size, inputs.size(1)), -torch.inf)
            return out.index_reduce(0, index, inputs, "amax")

    call = enumeration.base()
    conv, keep = Largest(6, 4).double(), call.weight > 0
    removed = conv(call.x, call.edge_index[:, keep])
    with edge_weights(conv, call.edge_index, keep.double()):
        torch.testing.assert_close(conv(call.x, call.edge_index), removed)


@pytest.mark.parametrize("make", [GCNConv, SGConv])
def test_a_cache_is_neither_used_nor_changed(make):
    call = enumeration.base()
    conv, keep = make(6, 4, cached=True).double(), (call.weight > 0).double()
    before = conv(call.x, call.edge_index)
    with edge_weights(conv, call.edge_index, keep), pytest.raises(RuntimeError):
        conv(call.x[:, :5], call.edge_index)
    assert conv(call.x, call.edge_index).equal(before)
    other = make(6, 4, cached=True).double()
    other.load_state_dict(conv.state_dict())
    with edge_weights(other, call.edge_index, keep):
        other(call.x, call.edge_index)
    torch.testing.assert_close(other(call.x, call.edge_index), before)


def test_steps_that_were_replaced_are_refused_where_weights_enter_in_them():
    call, conv = enumeration.base(), GATConv(6, 4).double()
    conv.edge_update = conv.edge_update
    with (
        pytest.raises(TypeError, match=r"GATConv.*'edge_update', which was replaced"),
        edge_weights(conv, call.edge_index, call.weight),
    ):
        pass


def test_sizes_are_those_of_pyg_where_there_are_fewer_sources():
    call = enumeration.base()
    conv, keep = SAGEConv((6, 6), 4).double(), call.weight > 0
    here = (call.edge_index[0] < 5) & keep
    small = call.edge_index[:, call.edge_index[0] < 5]
    removed = conv((call.x[:5], call.x), call.edge_index[:, here])
    with edge_weights(conv, small, keep[call.edge_index[0] < 5].double()):
        torch.testing.assert_close(conv((call.x[:5], call.x), small), removed)


def test_the_signature_of_messages_is_kept_by_the_enumeration():
    conv = GCNConv(6, 4)
    enumeration.shifted(conv)
    assert set(inspect.signature(conv.message).parameters) == {"x_j", "edge_weight"}


@pytest.mark.parametrize(
    "layer",
    [
        TransformerConv(3, 4, heads=2),
        GCNConv(3, 4, normalize=False),
        GATConv(3, 4, add_self_loops=False, aggr="mean"),
    ],
)
def test_ids_of_32_bits_have_the_derivatives_of_64_bits(layer):
    torch.manual_seed(82)
    x, edge_index = torch.randn(9, 3), torch.randint(9, (2, 40))
    weight, found = torch.rand(40, requires_grad=True), []
    for ids in (edge_index, edge_index.int()):
        with edge_weights(layer, ids, weight):
            out = layer(x, ids).square().sum()
        found.append(torch.autograd.grad(out, [weight, *layer.parameters()]))
    torch.testing.assert_close(found[1], found[0])

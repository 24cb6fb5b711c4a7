"""Quantised layers equal their dequantised versions."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch_geometric.nn import (
    GATConv,
    GCNConv,
    GINConv,
    HeteroLinear,
    Linear,
    SAGEConv,
    TransformerConv,
)
from torch_geometric.nn.models import GAT, GCN

from gsparse.data import random_graph
from gsparse.nn import FastGATConv, FastGCNConv, FastSAGEConv, QuantisedLinear
from gsparse.prune import (
    Magnitude,
    Pruner,
    RandomWeight,
    WeightMasks,
    dequantise,
    quantise_weights,
)
from gsparse.prune.quantise import quantise
from gsparse.train import sparse_features

DATA = random_graph(num_nodes=60, p=0.1, seed=20011)
FEATURES = torch.randn(60, 20, generator=torch.Generator().manual_seed(50329))
CONVS = {
    "GCNConv": lambda: GCNConv(20, 8),
    "SAGEConv": lambda: SAGEConv(20, 8),
    "GINConv": lambda: GINConv(
        nn.Sequential(nn.Linear(20, 8), nn.ReLU(), Linear(8, 8))
    ),
    "GATConv": lambda: GATConv(20, 4, heads=2),
    "TransformerConv": lambda: TransformerConv(20, 4, heads=2),
    "FastGCNConv": lambda: FastGCNConv(20, 8),
    "FastSAGEConv": lambda: FastSAGEConv(20, 8),
    "FastGATConv": lambda: FastGATConv(20, 4, heads=2),
}


def layers(model):
    return [m for m in model.modules() if isinstance(m, QuantisedLinear)]


@pytest.fixture(params=CONVS.values(), ids=CONVS)
def conv(request):
    torch.manual_seed(31337)
    layer = request.param().eval()
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if "bias" in name:
                parameter.normal_()
    return layer


@pytest.mark.parametrize("per", ["layer", "row"])
def test_exactly_the_dequantised_layer(conv, per):
    small = quantise_weights(conv, 4, per)
    assert len(layers(small)) == sum(
        isinstance(m, nn.Linear | Linear) for m in conv.modules()
    )
    plain = dequantise(small)
    assert not layers(plain)
    assert type(plain) is type(conv)
    for x in (FEATURES, sparse_features(FEATURES * (FEATURES > 1))):
        with torch.no_grad():
            out = small(x, DATA.edge_index)
            assert out.equal(plain(x, DATA.edge_index))


def test_a_plain_model_loads_what_is_dequantised(conv):
    plain, fresh = dequantise(quantise_weights(conv, 4)), copy.deepcopy(conv)
    fresh.load_state_dict(plain.state_dict(), strict=True)
    for name, parameter in fresh.named_parameters():
        assert parameter.equal(plain.get_parameter(name))
        assert plain.get_parameter(name).requires_grad
    for old, new in zip(conv.modules(), plain.modules(), strict=True):
        assert type(old) is type(new)
        assert old.extra_repr() == new.extra_repr()


def test_dequantised_layers_keep_their_settings_and_draw_nothing():
    conv = GCNConv(20, 8)
    state = torch.get_rng_state()
    plain = dequantise(quantise_weights(conv, 4))
    assert torch.get_rng_state().equal(state)
    assert plain.lin.weight_initializer == conv.lin.weight_initializer == "glorot"
    plain.reset_parameters()
    assert conv.lin.weight.shape == plain.lin.weight.shape


def test_the_model_stays_as_it_was(conv):
    before = {name: value.clone() for name, value in conv.state_dict().items()}
    quantise_weights(conv, 4)
    for name, value in conv.state_dict().items():
        assert value.equal(before[name])
    assert all(parameter.requires_grad for parameter in conv.parameters())


def model_of(kind=GCN, seed=11593):
    torch.manual_seed(seed)
    return kind(20, 12, 3, out_channels=5).eval()


def test_weights_are_the_nearest_levels():
    model = model_of()
    small = quantise_weights(model, 3)
    for conv, old in zip(small.convs, model.convs, strict=True):
        assert conv.lin.weight.equal(quantise(old.lin.weight, 3).values)
        assert len(conv.lin.weight.abs().unique()) <= 3
        assert conv.lin.bits <= 3
        torch.testing.assert_close(conv.bias, old.bias)


def test_masks_give_zeros_without_a_level():
    model = model_of()
    pruner = Pruner(model, RandomWeight(), sparsity=0.6, scope="local", seed=70687)
    small = quantise_weights(model, 8)
    for i in range(2):
        kept = pruner.masks[f"convs.{i}.lin.weight"]
        assert (small.convs[i].lin.weight != 0).equal(kept)
    assert not any("weight_masks" in name for name in small.state_dict())
    pruner.make_permanent()
    for name, value in quantise_weights(model, 8).state_dict().items():
        assert value.equal(small.state_dict()[name])


def test_only_rows_and_columns_with_weights_are_stored():
    weight = torch.zeros(4, 6)
    weight[1, 2], weight[3, 5] = 1.0, -1.0
    layer = nn.Linear(6, 4)
    layer.weight.data = weight
    small = QuantisedLinear(layer, quantise(weight, 2, "row"))
    assert small.codes.tolist() == [[1, 0], [0, -1]]
    assert small.scale.tolist() == [[1.0], [1.0]]
    assert small.weight.equal(weight)
    assert repr(small) == "QuantisedLinear(6, 4, bias=True, bits=2, stored=2 x 2)"


def test_a_layer_without_weights_gives_its_bias():
    layer = nn.Linear(6, 4)
    layer.weight.data.zero_()
    small = quantise_weights(layer, 8)
    assert small(torch.randn(3, 6)).equal(layer.bias.detach().expand(3, 4))


def size_of(model):
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.tell()


@pytest.mark.parametrize("dim", [0, 1])
def test_a_file_of_a_twelfth_after_four_times_less_and_eight_bits(dim):
    torch.manual_seed(90127)
    model = GCN(600, 128, 2, out_channels=7)
    dense = size_of(model)
    masks = WeightMasks(model)
    name = "convs.0.lin.weight"
    kept = (torch.arange(masks[name].size(dim)) % 4 == 0).unsqueeze(1 - dim)
    masks[name] = kept.expand_as(masks[name])
    assert masks.report().sparsity == 0.75
    small = quantise_weights(model, 8)
    assert size_of(small) * 12 <= dense
    assert size_of(quantise_weights(GCN(600, 128, 2, out_channels=7), 8)) > dense / 5


def test_files_and_copies():
    model = model_of(GAT)
    Pruner(model, Magnitude(), sparsity=0.5, scope="local")
    small = quantise_weights(model, 6, "row")
    out = small(FEATURES, DATA.edge_index)
    file = io.BytesIO()
    torch.save(small.state_dict(), file)
    file.seek(0)
    other = quantise_weights(model_of(GAT, seed=60899), 8)  # nothing pruned, one scale
    assert not other(FEATURES, DATA.edge_index).equal(out)
    other.load_state_dict(torch.load(file, weights_only=True), strict=True)
    for twin in [other, copy.deepcopy(small), pickle.loads(pickle.dumps(small))]:
        assert twin(FEATURES, DATA.edge_index).equal(out)
        assert dequantise(twin)(FEATURES, DATA.edge_index).equal(out)
    names = {name.split(".")[-1] for name in small.convs[0].lin.state_dict()}
    assert names == {"codes", "scale", "has_row", "has_column"}


def test_a_file_that_does_not_fit_is_refused():
    small = QuantisedLinear(layer := nn.Linear(6, 4), quantise(layer.weight, 4))
    state = small.state_dict()
    with pytest.raises(ValueError, match=r"'codes' must have shape \[4, 6\]"):
        copy.deepcopy(small).load_state_dict(state | {"codes": state["codes"][1:]})
    other = QuantisedLinear(layer := nn.Linear(6, 5), quantise(layer.weight, 4))
    with pytest.raises(RuntimeError, match="size mismatch for has_row"):
        other.load_state_dict(state)


def test_scales_that_are_known_are_taken():
    model = model_of()
    found = quantise(model.convs[0].lin.weight, 4)
    with torch.no_grad():
        model.convs[0].lin.weight.copy_(found.values)
    scales = {"convs.0.lin.weight": found.scale}
    small = quantise_weights(model, 4, scales=scales)
    assert small.convs[0].lin.weight.equal(found.values)
    with pytest.raises(ValueError, match=r"'scales' must be of .* \(got 'convs.9'\)"):
        quantise_weights(model, 4, scales={"convs.9": found.scale})


def test_what_is_quantised_can_be_chosen():
    model = nn.Sequential(Linear(4, 4), HeteroLinear(4, 4, 2), nn.Linear(4, 2))
    assert len(layers(quantise_weights(model))) == 2
    assert len(layers(quantise_weights(model, exclude="2"))) == 1
    small = quantise_weights(model, targets="2.weight")
    assert [type(it) for it in small] == [Linear, HeteroLinear, QuantisedLinear]
    assert not any(parameter.requires_grad for parameter in small.parameters())


def test_refusals():
    model = nn.Sequential(Linear(4, 4), HeteroLinear(4, 4, 2))
    with pytest.raises(ValueError, match=r"'1.weight' must be the weight of a plain"):
        quantise_weights(model, targets="weight")
    with pytest.raises(ValueError, match="must leave a parameter of ReLU"):
        quantise_weights(nn.ReLU())
    with pytest.raises(ValueError, match=r"'bits' must be from 2 to 8"):
        quantise_weights(model, bits=16)
    with pytest.raises(TypeError, match=r"must be a linear layer \(got ReLU\)"):
        QuantisedLinear(nn.ReLU(), quantise(torch.ones(2, 2), 4))
    with pytest.raises(ValueError, match=r"of the layer's, \[4, 6\] \(got \[2, 2\]\)"):
        QuantisedLinear(nn.Linear(6, 4), quantise(torch.ones(2, 2), 4))
    masks = WeightMasks(model)
    masks.soften({name: torch.ones(()) for name in masks.targets})
    with pytest.raises(ValueError, match=r"must be final .* finalize\(\) first"):
        quantise_weights(model)

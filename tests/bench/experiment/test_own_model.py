"""Models that are named by their functions."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv, Sequential

from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.own_model import (
    find_builder,
    inspect_model,
    offered,
    own_recipe,
)
from gsparse.data import cycle
from gsparse.train import general_recipe, recipe

SOURCE = """
from torch import nn
from torch_geometric.nn import GCNConv, Sequential

class Weighted(nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.conv = GCNConv(in_channels, num_classes)

    def forward(self, x, edge_index, edge_weight=None):
        return self.conv(x, edge_index, edge_weight)

class Plain(Weighted):
    def forward(self, x, edge_index):
        return self.conv(x, edge_index)

def short(in_channels, num_classes):
    return Weighted(in_channels, num_classes - 1)

def narrow(in_channels, num_classes):
    return Weighted(in_channels + 1, num_classes)

def no_model(in_channels, num_classes):
    return None

def without_sizes():
    return Plain(1, 1)

number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch, request):
    """Name of a new module in the current folder, with the models of ``SOURCE``."""
    name = f"own_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


@pytest.fixture
def data():
    found = cycle(6)
    found.x, found.y = torch.rand(6, 4), torch.tensor([0, 1, 2, 0, 1, -1])
    return found


def test_weights_are_taken_if_forward_has_them(module, data):
    assert inspect_model(f"{module}:Weighted", data).takes_weights
    assert not inspect_model(f"{module}:Plain", data).takes_weights
    grids = [
        configs(["digits"], [f"{module}:{name}"], ["EffectiveResistance"], [0.5])
        for name in ("Weighted", "Plain")
    ]
    assert [grid[1].reweight for grid in grids] == [True, False]
    with pytest.raises(ValueError, match=r"'weights' must be auto or ignore for own_"):
        configs(
            ["digits"],
            [f"{module}:Plain"],
            ["EffectiveResistance"],
            [0.5],
            reweight=True,
        )


def test_edited_files_change_the_hash(module, data, tmp_path):
    def dense():
        return configs(["digits"], [f"{module}:Plain"], [], [])[0]

    before = dense()
    assert before.hash == dense().hash
    with (tmp_path / f"{module}.py").open("a") as file:
        file.write("\n# edited\n")
    assert dense().hash != before.hash
    assert configs(["digits"], ["gcn"], [], [])[0].model_fingerprint is None


def test_equal_seeds_build_equal_models(module, data):
    chosen = own_recipe(f"{module}:Weighted", recipe("Cora", "gcn"))
    one, two, other = (chosen.build(data, seed) for seed in (1, 1, 2))
    assert torch.equal(one.conv.lin.weight, two.conv.lin.weight)
    assert not torch.equal(one.conv.lin.weight, other.conv.lin.weight)
    assert one.conv.lin.weight.shape == (3, 4)


def test_settings_are_those_of_the_gcn_with_decay_of_all_layers():
    standard = recipe("Cora", "gcn")
    assert standard.fit.decay_first_layer_only
    chosen = own_recipe("a:b", standard).fit
    assert not chosen.decay_first_layer_only
    assert (chosen.lr, chosen.weight_decay) == (0.01, 5e-4)
    assert general_recipe("gcn").fit.patience == 50


def test_functions_of_this_process_are_found_while_they_are_offered():
    def local(in_channels, num_classes):
        return nn.Linear(in_channels, num_classes)

    with offered("x:local", local):
        assert find_builder("x:local") is local
    with pytest.raises(ValueError, match="model x:local cannot be imported"):
        find_builder("x:local")


@pytest.mark.parametrize(
    ("function", "match"),
    [
        ("missing", r"cannot be imported \(AttributeError: .*'missing'"),
        ("number", r"must be a function of .* number of classes \(got int\)"),
        ("without_sizes", r"is called with .*classes, \(4, 3\) \(TypeError: "),
        ("no_model", r"must return a torch.nn.Module \(got NoneType\)"),
        ("narrow", r"must run on \(x, edge_index\) of .* \[6, 4\] and \[2, 12\] \(Run"),
        ("short", r"must return logits of shape \[6, 3\] \(got \[6, 2\]\)"),
    ],
)
def test_refusals(function, match, module, data):
    with pytest.raises(ValueError, match=match):
        inspect_model(f"{module}:{function}", data)


@pytest.mark.parametrize("shared", ["model", "layer"])
def test_functions_that_return_trained_weights_again_are_refused(shared, data):
    """Every run would go on from the weights of the one before."""
    layer = nn.Linear(4, 3)
    model = nn.Sequential(layer)
    make = {"model": lambda f, c: model, "layer": lambda f, c: nn.Sequential(layer)}
    with (
        offered("x:make", make[shared]),
        pytest.raises(ValueError, match=r"weights of its own .* same weights twice"),
    ):
        inspect_model("x:make", data)


def test_frozen_weights_may_be_shared(data):
    layer = GCNConv(4, 4).requires_grad_(False)
    layers = [(layer, "x, edge_index -> x")]

    def make(in_channels, num_classes):
        return Sequential("x, edge_index", [*layers, nn.Linear(4, num_classes)])

    with offered("x:make", make):
        assert inspect_model("x:make", data).fingerprint


def test_names_that_are_no_modules(data):
    with pytest.raises(ValueError, match=r"ModuleNotFoundError: No module named 'no_s"):
        find_builder("no_such_module:f")
    with pytest.raises(ValueError, match=r"module:function without folders and suffix"):
        find_builder("models.py:f")


@pytest.mark.parametrize("option", [{"local": True}, {"hidden_channels": 8}])
def test_options_of_standard_models(option, module):
    with pytest.raises(ValueError, match=r"is for the models gcn, gat, sage \(got own"):
        configs(["digits"], [f"{module}:Plain"], [], [], **option)


def test_layers_of_pyg_have_no_source_of_their_own(data):
    def make(in_channels, num_classes):
        return GCNConv(in_channels, num_classes)

    with offered("here:make", make):
        first = inspect_model("here:make", data).fingerprint
    assert len(first) == 12  # of this file

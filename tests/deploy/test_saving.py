"""Saved models come back with the same bits, in other processes too."""

import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg

from gsparse import train
from gsparse.compaction import compact
from gsparse.compaction.inputs import InputSelection
from gsparse.data import planted_partition, split
from gsparse.deploy import ModelCard, Saved, load, load_weights, prune_model, save
from gsparse.deploy.tensor_file import read_tensor_file
from gsparse.nn import (
    DropEdge,
    EdgeGates,
    FastGAT,
    FeatureMask,
    KEdge,
    NeuralSparse,
    PTDNet,
    SparseGAT,
    accelerate,
    to_sparse,
)
from gsparse.nn.masked_parameters import mask_names
from gsparse.prune import GradualThreshold, Magnitude, Pruner, Rows
from gsparse.prune.quantise_weights import quantise_weights
from gsparse.transforms import EffectiveResistance, RandomEdge

DATA = planted_partition(60, num_classes=3, seed=24841)
THIN = RandomEdge(sparsity=0.5, seed=24841)(DATA)
F = DATA.num_features

MODELS = {
    "GCN": lambda: pyg.GCN(F, 16, 2, 3),
    "GCN with norms": lambda: pyg.GCN(
        *(F, 16, 3, 3),
        dropout=0.2,
        norm="batch_norm",
        act="leaky_relu",
        act_kwargs={"negative_slope": 0.3},
    ),
    "GCN with JK": lambda: pyg.GCN(
        F, 16, 3, 3, jk="cat", norm="LayerNorm", norm_kwargs={"mode": "node"}
    ),
    "GCN with LSTM": lambda: pyg.GCN(F, 16, 3, 3, jk="lstm"),
    "GCN without output": lambda: pyg.GCN(F, 16, 2, improved=True, bias=False),
    "SAGE": lambda: pyg.GraphSAGE(F, 16, 2, 3, aggr="max", project=True),
    "SAGE of pairs": lambda: pyg.GraphSAGE((F, F), 8, 2, 3),
    "GIN": lambda: pyg.GIN(F, 16, 2, 3, train_eps=True, eps=0.25, norm="batch_norm"),
    "GAT": lambda: pyg.GAT(F, 16, 2, 3, heads=4, negative_slope=0.1),
    "GAT of one layer": lambda: pyg.GAT(F, 16, 1, 3, heads=4),
    "GAT of means": lambda: pyg.GAT(F, 8, 3, 3, heads=2, concat=False, residual=True),
    "GATv2": lambda: pyg.GAT(
        F, 16, 2, 3, heads=4, v2=True, share_weights=True, add_self_loops=False
    ),
    "EdgeCNN": lambda: pyg.EdgeCNN(F, 16, 2, 3),
    "MLP": lambda: pyg.MLP([F, 16, 3], dropout=0.4, act="gelu", bias=False),
    "our GCN": lambda: train.GCN(F, 16, 3, hidden_dropout=0.1),
    "our deep GCN": lambda: train.GCN(
        F, 16, 3, num_layers=4, batch_norm=True, self_loop=True, near_identity=True
    ),
    "our GCNII": lambda: train.GCNII(F, 16, 3, theta=0.7, alpha=0.2),
    "our GAT": lambda: train.GAT(F, 8, 3, output_heads=2, attention_dropout=0.1),
    "our GAT of PyG": lambda: train.GAT(F, 8, 3, attention="pyg"),
    "our SAGE": lambda: train.SAGE(F, 16, 3, num_layers=3),
    "our MLP": lambda: train.MLP(F, 16, 3),
}


def pruned(model, **options):
    Pruner(model, Magnitude(), sparsity=0.5, **options)
    return model


def compacted(model, inputs="select"):
    example = (DATA.x,) if isinstance(model, pyg.MLP) else (DATA.x, DATA.edge_index)
    return compact(pruned(model, structure=Rows()), example, inputs)


WRAPPERS = {
    "accelerated": accelerate,
    "reference": lambda model: accelerate(model, "reference"),
    "sparse": lambda model: to_sparse(pruned(model), 0.4),
    "sparse and fast": lambda model: FastGAT(
        to_sparse(pruned(accelerate(model)), 0.4), 0.5
    ),
    "pruned and accelerated": lambda model: accelerate(pruned(model)),
    "KEdge": lambda model: KEdge(model, F, 0.5, seed=3),
    "KEdge with terms": lambda model: KEdge(
        model, F, 0.5, scope="layer", hidden_channels=4, edge_index=DATA.edge_index
    ),
    "KEdge round compacted": lambda model: KEdge(compacted(model), F, penalty=0.1),
    "FastGAT": lambda model: FastGAT(model, 0.5, seed=5, attention="reference"),
    "FastGAT of all": lambda model: FastGAT(
        pruned(accelerate(model)), epsilon=0.9, reweight=True, connected=True
    ),
    "EdgeGates": lambda model: EdgeGates(
        model, sparsity=0.5, edge_index=DATA.edge_index, ramp=7
    ),
    "NeuralSparse": lambda model: NeuralSparse(model, F, 0.5, k=3),
    "PTDNet": lambda model: PTDNet(model, F, 0.5, low_rank=0.1, k=2),
    "PTDNet shared": lambda model: PTDNet(model, F, penalty=0.1, scope="shared"),
    "SparseGAT": lambda model: SparseGAT(model, F, 0.5),
    "DropEdge": lambda model: DropEdge(model, 0.2),
    "FeatureMask": lambda model: FeatureMask(KEdge(model, F, 0.5), F, 0.25, dense=True),
}


def came_back(folder, model, data=THIN, original=DATA):
    """Save and load; every tensor and every prediction has the same bits."""
    model.eval()
    saved = load(folder)
    assert isinstance(saved, Saved)
    assert saved.model is not model
    assert not any(it.training for it in saved.model.modules())
    assert str(saved.model) == str(model)
    state = saved.model.state_dict()
    assert [*state] == [*model.state_dict()]
    masks = mask_names(state)
    for name, value in model.state_dict().items():
        mask = next((mask for mask in masks if masks[mask] == name), None)
        if mask is not None:
            value = value.masked_fill(~state[mask], 0.0)
        assert state[name].equal(value), name
    cut = saved.cut(original)
    assert cut.edge_index.equal(data.edge_index)
    arguments = (cut.x,) if isinstance(model, pyg.MLP) else (cut.x, cut.edge_index)
    assert saved.model(*arguments).equal(model(*arguments))
    return saved


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("change", [lambda m: m, pruned, compacted])
def test_known_models(tmp_path, model, change):
    torch.manual_seed(61717)
    model = change(model())
    save(tmp_path, model, THIN)
    assert torch.is_grad_enabled()
    came_back(tmp_path, model)
    assert sorted(os.listdir(tmp_path)) == ["README.md", "model.safetensors"]


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("model", [MODELS["GAT"], MODELS["our GAT"]])
def test_known_wrappers(tmp_path, model, wrap):
    torch.manual_seed(50159)
    model = wrap(model())
    save(tmp_path, model, DATA)
    came_back(tmp_path, model, DATA)


def test_every_mask_and_wrapper_is_known():
    """All public modules of the room that wrap a model can be saved."""
    from gsparse import nn as room
    from gsparse.deploy.known_wrappers import KNOWN
    from gsparse.nn.wrapper import Wrapper

    public = [getattr(room, name) for name in room.__all__]
    wrappers = {it for it in public if isinstance(it, type) and issubclass(it, Wrapper)}
    assert {kind for kind, _ in KNOWN.values()} == wrappers | {InputSelection}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes(tmp_path, dtype):
    model, data = pyg.GAT(F, 16, 2, 3, heads=2).to(dtype), DATA.clone()
    data.x = data.x.to(dtype)
    save(tmp_path, model, data)
    came_back(tmp_path, model, data, data)


def test_sliced_features_are_kept(tmp_path):
    model = pyg.GCN(F, 16, 2, 3)
    with torch.no_grad():
        model.convs[0].lin.weight[:, 5:] = 0.0
    model = compacted(model, "sliced").eval()
    save(tmp_path, model)
    saved = load(tmp_path)
    assert saved.model.kept_features.tolist() == [0, 1, 2, 3, 4]
    x = DATA.x[:, saved.model.kept_features]
    assert saved.model(x, DATA.edge_index).equal(model(x, DATA.edge_index))
    with pytest.raises(ValueError, match=r"must hold a graph \(got a model only\)"):
        saved.cut(DATA)


FRESH = """
import sys, torch
from gsparse.data import planted_partition, split
from gsparse.deploy import load
data = split(planted_partition(150, num_classes=3, seed=17), "60-20-20", seed=17)
saved = load(sys.argv[1])
cut = saved.cut(data)
out = saved.model(cut.x, cut.edge_index)
print(cut.num_edges, out.shape, out.detach().numpy().tobytes().hex())
"""


@pytest.mark.parametrize("kind", ["gcn", "gat"])
def test_cut_learn_prune_compact_save_and_load_in_a_new_process(tmp_path, kind):
    """The whole way; the new process has nothing but the folder and the full graph."""
    data = split(planted_partition(150, num_classes=3, seed=17), "60-20-20", seed=17)
    torch.manual_seed(90203)
    options = {"heads": 2} if kind == "gat" else {}
    model = (pyg.GAT if kind == "gat" else pyg.GCN)(F, 16, 2, 3, **options)
    config = train.FitConfig(epochs=10)
    train.fit(model, data, config=config)
    mask = KEdge(model, F, 0.5, edge_index=data.edge_index, ramp=5)
    train.fit_mask(mask, data, config=train.FitConfig(lr=0.1, epochs=10))
    thin = mask.sparsify(data)
    assert thin.num_edges == pytest.approx(data.num_edges / 2, abs=2)
    pruner = Pruner(model, Magnitude(), sparsity=0.5, structure=Rows())
    train.fit(model, thin, config=config)
    pruner.finalize()
    small = accelerate(compact(model, (thin.x, thin.edge_index)))
    with torch.no_grad():
        expected = small.eval()(thin.x, thin.edge_index)
    size = save(tmp_path, small, thin)
    assert size < 0.7 * sum(4 * it.numel() for it in model.parameters()) + 6000
    command = [sys.executable, "-c", FRESH, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    edges, *_, bits = done.stdout.split()
    assert int(edges) == thin.num_edges
    assert bits == expected.numpy().tobytes().hex()


def test_kept_weights_come_back(tmp_path):
    data = DATA.clone()
    data.edge_weight = data.edge_index.sum(0).float() + 1
    thin = EffectiveResistance(sparsity=0.5, seed=3)(data)
    assert not thin.edge_weight.equal(data.edge_weight[thin.e_id])
    model = train.GCN(F, 8, 3).eval()
    save(tmp_path, model, thin)
    cut = load(tmp_path).cut(data)
    assert cut.edge_weight.equal(thin.edge_weight)
    assert "data.edge_weight)" in (tmp_path / "README.md").read_text()


class Own(nn.Module):
    """A model of the user."""

    def __init__(self, width, alpha=0.5, calls=()):
        super().__init__()
        self.first = pyg.GCNConv(F, width)
        self.last = pyg.GATConv(width, 3)
        self.alpha = alpha

    def forward(self, x, edge_index):
        return self.last(self.alpha * self.first(x, edge_index).relu(), edge_index)


def make(width=8, alpha=0.5):
    return Own(width, alpha)


@pytest.mark.parametrize("change", [pruned, compacted, accelerate])
@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: KEdge(m, F, 0.5)])
def test_a_model_of_ones_own(tmp_path, change, wrap):
    torch.manual_seed(11447)
    model = wrap(change(make(12, alpha=0.25))).eval()
    arguments = {"width": 12, "alpha": 0.25}
    save(tmp_path, model, DATA, build=make, arguments=arguments)
    saved = load(tmp_path, build=make)
    assert saved.header["blueprint"]["build"].endswith("test_saving:make")
    assert saved.header["blueprint"]["arguments"] == arguments
    x, edges = DATA.x, DATA.edge_index
    assert saved.model(x, edges).equal(model(x, edges))
    with pytest.raises(ValueError, match=r"'.*test_saving:make'; names in files are"):
        load(tmp_path)
    with pytest.raises(ValueError, match="'build' does not make the model"):
        load(tmp_path, build=lambda_of_another())
    page = (tmp_path / "README.md").read_text()
    assert 'load("...", build=make)  # the folder of model.safetensors, and ' in page


def lambda_of_another():
    def another(width, alpha):
        return train.GCN(F, width, 3)

    another.__qualname__ = "another"
    return another


def test_what_build_does_not_return_is_refused(tmp_path):
    options = {"build": make, "arguments": {"width": 12}}
    with pytest.raises(ValueError, match=r"'alpha' is 0.25 and not 0.5"):
        save(tmp_path, make(12, alpha=0.25), **options)
    with pytest.raises(ValueError, match=r"take the saved arguments \['wide'\]"):
        save(tmp_path, make(), build=make, arguments={"wide": 2})
    with pytest.raises(TypeError, match="'arguments' must be JSON"):
        save(tmp_path, make(), build=make, arguments={"width": torch.ones(1)})
    with pytest.raises(ValueError, match="'arguments' are those of 'build'"):
        save(tmp_path, make(), arguments={"width": 2})
    with pytest.raises(TypeError, match="with a name of its own"):
        save(tmp_path, make(), build=lambda: make())
    with pytest.raises(ValueError, match=r"or its name, module:function \(got 'make'"):
        save(tmp_path, make(), build="make")
    with pytest.raises(ValueError, match="'build' cannot be imported"):
        save(tmp_path, make(), build="no.such.module:make")
    assert os.listdir(tmp_path) == []


def test_a_known_class_and_its_arguments(tmp_path):
    arguments = {"in_channels": F, "hidden_channels": 8, "num_layers": 2, "heads": 2}
    model = compacted(pyg.GAT(**arguments))
    for build in (pyg.GAT, "torch_geometric.nn:GAT"):
        save(tmp_path, model, THIN, build=build, arguments=arguments)
        found = came_back(tmp_path, model).header["blueprint"]
        assert found["arguments"] == arguments
    with pytest.raises(ValueError, match=r"negative_slope' is 0.2 and not 0.3"):
        save(
            tmp_path,
            model,
            build=pyg.GAT,
            arguments={**arguments, "negative_slope": 0.3},
        )


class Drawn(nn.Module):
    """A model that is no function of its state."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(F, 3)

    def forward(self, x, edge_index):
        return self.lin(x) + torch.rand(3)


def test_other_predictions_are_refused_and_older_files_stay(tmp_path):
    save(tmp_path, train.MLP(F, 4, 3))
    before = {it.name: it.read_bytes() for it in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="must have the predictions of the saved one"):
        save(tmp_path, Drawn(), DATA, build=Drawn)
    assert {it.name: it.read_bytes() for it in tmp_path.iterdir()} == before


def test_hooks_of_the_user_are_not_lost_in_silence(tmp_path):
    model = train.GCN(F, 4, 3)
    model.layers[0].register_forward_hook(lambda *_: None)
    save(tmp_path, model)
    with pytest.raises(ValueError, match=r"_forward_hooks' is \['function'\] and not"):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["propagate", "message", "aggregate"])
def test_hooks_inside_of_layers_are_not_lost_in_silence(tmp_path, kind):
    model = pyg.GCN(F, 4, 2, 3)
    getattr(model.convs[0], f"register_{kind}_forward_hook")(lambda *_: None)
    save(tmp_path, model)
    with pytest.raises(ValueError, match=rf"_{kind}_forward_hooks' is \['function'\]"):
        load(tmp_path)


class Shifted(nn.Module):
    """A model with a buffer that no checkpoint has."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(F, 3)
        self.inner.register_buffer("shift", torch.zeros(F), persistent=False)

    def forward(self, x, edge_index):
        return self.inner(x + self.inner.shift)


@pytest.mark.parametrize("data", [None, DATA])
def test_other_values_of_buffers_that_are_not_saved_are_refused(tmp_path, data):
    save(tmp_path, Shifted(), data, build=Shifted)
    model = Shifted()
    model.inner.shift += 1
    with pytest.raises(ValueError, match=r"'inner.shift' is a buffer with persistent="):
        save(tmp_path, model, data, build=Shifted)


def test_a_module_to_fill(tmp_path):
    torch.manual_seed(3)
    model = pruned(Own(8)).eval()
    save(tmp_path, model, DATA)
    assert "model=model" in (tmp_path / "README.md").read_text()
    with pytest.raises(ValueError, match=r"how to build its model \(Own is not one of"):
        load(tmp_path)
    for other in (Own(8), pruned(Own(8))):
        saved = load(tmp_path, model=other)
        assert saved.model is other
        assert other(DATA.x, DATA.edge_index).equal(model(DATA.x, DATA.edge_index))
        assert {*other.state_dict()} == {*model.state_dict()}
    plain = Own(8)
    load_weights(tmp_path / "model.safetensors", into=plain)
    assert not mask_names(plain.state_dict())
    x, edges = DATA.x, DATA.edge_index
    assert plain.eval()(x, edges).equal(model(x, edges))


def test_a_module_with_other_settings_is_refused(tmp_path):
    """Names, shapes and dtypes would fit."""
    save(tmp_path, pyg.GAT(F, 8, 2, 3, heads=2, negative_slope=0.3, dropout=0.5))
    for options, text in (
        (
            {"negative_slope": 0.2},
            r"'convs.0.negative_slope' .* be 0.3, .* \(got 0.2\)",
        ),
        ({"dropout": 0.1}, r"'dropout.p' of the model must be 0.5, as it was saved"),
    ):
        given = {"negative_slope": 0.3, "dropout": 0.5, **options}
        other = pyg.GAT(F, 8, 2, 3, heads=2, **given)
        with pytest.raises(ValueError, match=text):
            load(tmp_path, model=other)


@pytest.mark.parametrize(
    "model",
    [
        lambda: pyg.GraphSAGE(F, 8, 2, 3, aggr=pyg.SoftmaxAggregation(t=0.3)),
        lambda: pyg.GCN(F, 8, 2, 3, act=torch.sin),
        lambda: pyg.GCN(F, 8, 2, 3, norm=pyg.BatchNorm(8)),
        lambda: nn.Sequential(nn.Linear(F, 3)),
        lambda: quantise_weights(pyg.GCN(F, 16, 2, 3)),
    ],
)
def test_what_cannot_be_told_needs_a_module(tmp_path, model):
    model = model()
    save(tmp_path, model)
    with pytest.raises(ValueError, match=r"does not say how to build its model \("):
        load(tmp_path)
    load(tmp_path, model=model)


def test_tied_weights_stay_tied(tmp_path):
    save(tmp_path, Tied(), DATA, build=Tied)
    model = load(tmp_path, build=Tied).model
    assert model.lin.weight is model.other.weight


class Tied(nn.Module):
    """A model with one matrix in two places."""

    def __init__(self):
        super().__init__()
        self.lin, self.other = nn.Linear(F, F), nn.Linear(F, F)
        self.other.weight = self.lin.weight

    def forward(self, x, edge_index):
        return self.other(self.lin(x))


def test_sparse_layers_are_filled(tmp_path):
    model = to_sparse(pruned(pyg.GCN(F, 16, 2, 3)), 0.4)
    other = to_sparse(pruned(pyg.GCN(F, 16, 2, 3)), 0.4)
    save(tmp_path, model, DATA)
    saved = load(tmp_path, model=other)
    x, edges = DATA.x, DATA.edge_index
    assert saved.model(x, edges).equal(model.eval()(x, edges))


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (Own(9), r"'first.bias' of the model must have shape \[8\], as in .* \[9\]"),
        (Own(8).double(), r"must be torch.float32, as in the file \(got torch.float64"),
        (
            train.MLP(F, 8, 3),
            r"the file does not have 'layers.0.bias'.* and 1 more; th",
        ),
        (
            nn.ModuleDict({"first": pyg.GCNConv(-1, 8), "last": pyg.GATConv(8, 3)}),
            r"must have a shape \(got a lazy layer",
        ),
    ],
    ids=["shape", "dtype", "names", "lazy"],
)
def test_modules_that_do_not_fit_are_unchanged(tmp_path, other, text):
    save(tmp_path, pruned(Own(8)))
    before, keys = str(other), [*other.state_dict()]
    with pytest.raises(ValueError, match=text):
        load(tmp_path, model=other)
    assert (str(other), [*other.state_dict()]) == (before, keys)
    with pytest.raises(ValueError, match="one of 'model' and 'build'"):
        load(tmp_path, model=other, build=make)


def test_masks_that_still_move_are_refused(tmp_path):
    model = train.GCN(F, 8, 3)
    pruner = GradualThreshold(model, sparsity=0.5, num_steps=10)
    with pytest.raises(ValueError, match=r"must be final .* finalize\(\)"):
        save(tmp_path, model)
    pruner.finalize()
    save(tmp_path, model)


def test_values_behind_masks_are_not_in_the_file(tmp_path):
    model = pruned(pyg.GCN(F, 16, 2, 3))
    hidden = model.convs[0].lin._parameters["weight"].detach()
    kept = model.convs[0].lin.weight_masks["weight"].keep
    save(tmp_path, model)
    content = (tmp_path / "model.safetensors").read_bytes()
    assert hidden[~kept][:1].numpy().tobytes() not in content
    loaded = load(tmp_path).model.convs[0].lin
    assert loaded._parameters["weight"][~kept].count_nonzero() == 0


def test_a_loaded_model_can_be_compacted_and_saved_again(tmp_path):
    model = pruned(pyg.GCN(F, 16, 2, 3), structure=Rows()).eval()
    save(tmp_path, model, THIN)
    loaded = load(tmp_path).model
    small = compact(loaded, (THIN.x, THIN.edge_index))
    out = small(THIN.x, THIN.edge_index)
    torch.testing.assert_close(out, model(THIN.x, THIN.edge_index))
    save(tmp_path, small, THIN)
    came_back(tmp_path, small)


def test_loading_leaves_random_numbers_alone(tmp_path):
    save(tmp_path, KEdge(make(), F, 0.5), build=make)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load(tmp_path, build=make)
    assert torch.rand(1).equal(expected)


def test_the_same_model_gives_the_same_file(tmp_path):
    for name in ("a", "b"):
        torch.manual_seed(4)
        save(tmp_path / name / "deep", pruned(pyg.GAT(F, 8, 2, 3)), THIN)
    files = [tmp_path / name / "deep" / "model.safetensors" for name in ("a", "b")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_cards(tmp_path):
    model = KEdge(pruned(pyg.GCN(F, 8, 2, 3)), F, 0.5)
    size = save(tmp_path, model, THIN)
    page = (tmp_path / "README.md").read_text()
    masked = read_tensor_file(tmp_path / "model.safetensors").header["masked"]
    for piece in (
        "# A sparse KEdge\n",
        "- Built by: torch_geometric.nn:GCN\n- Around it: KEdge\n",
        f"- Masked weights: {masked:,}\n",
        f"- Nodes: 60\n- Edges kept: {THIN.num_edges:,} directed entries\n",
        f"| File | {size:,} bytes |",
        'saved = load("...")  # the folder of model.safetensors\n'
        "data = saved.cut(data)  # the original graph; any other is refused\n"
        "logits = saved.model(data.x, data.edge_index)\n",
    ):
        assert piece in page
    save(tmp_path, model, card=ModelCard(title="Mine", scores={"test": 0.75}))
    page = (tmp_path / "README.md").read_text()
    assert "# Mine\n" in page
    assert 'saved = load("...")' in page
    assert "| test | 0.75 |" in page
    with pytest.raises(ValueError, match=r"'folder' must be a folder \(got the file"):
        save(tmp_path / "README.md", model)
    (tmp_path / "README.md").write_text("of a stranger")
    with pytest.raises(ValueError, match="must be a model card of gsparse"):
        save(tmp_path, model)


def test_what_the_shell_has_pruned(tmp_path):
    options = {"epochs": 2, "out": tmp_path, "compacted": True, "bits": 8}
    record = prune_model("digits", "gcn", "Magnitude", 0.75, **options)
    saved = load(tmp_path)
    assert saved.graph is None
    assert saved.header["card"]["dataset"] == "digits"
    graphs = train.split_graphs.load_split_graphs("digits", record["split"], 0)
    score = train.evaluate(saved.model, graphs.test, "test_mask")
    assert score == record["test_score_after"]
    json.dumps(saved.header)

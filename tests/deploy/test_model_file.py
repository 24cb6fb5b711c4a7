"""Model files are loaded bit for bit, or refused."""

import importlib.util
import json
import os
import sys
from importlib.metadata import version

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch_geometric.nn import GAT, GCN, SAGEConv

from gsparse.compaction import compact
from gsparse.deploy import tensor_file
from gsparse.deploy.model_card import ModelCard
from gsparse.deploy.model_file import load_weights, read_model_file, save_model
from gsparse.nn import to_sparse
from gsparse.prune import Magnitude, Pruner, RandomWeight, WeightMasks
from gsparse.prune.quantise_weights import quantise_weights
from gsparse.prune.structured.structures import Rows

SIZES = {"num_layers": 2, "out_channels": 3}


def gcn(seed=61561):
    torch.manual_seed(seed)
    return GCN(100, 16, **SIZES)


def bits(state):
    return {
        name: (value.dtype, value.contiguous().view(torch.uint8).tolist())
        for name, value in state.items()
        if value.dim()
    }


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_round_trip_of_masked_weights(path, sparsity, dtype):
    model = gcn().to(dtype)
    pruner = Pruner(model, Magnitude(), sparsity=sparsity)
    size = save_model(model, path)
    assert size == path.stat().st_size
    assert pruner.report().sparsity == pytest.approx(sparsity, abs=1e-3)  # untouched
    other = gcn(9).to(dtype)
    load_weights(path, into=other)
    pruner.make_permanent()
    assert bits(other.state_dict()) == bits(model.state_dict())


@pytest.mark.parametrize(
    "form",
    [
        lambda m: quantise_weights(m),
        lambda m: quantise_weights(m, bits=4, per="row"),
        lambda m: to_sparse(m, 0.5),
    ],
    ids=["8 bits", "4 bits a row", "csr"],
)
def test_round_trip_of_other_forms(path, form):
    model, other = gcn(), gcn(9)
    Pruner(model, RandomWeight(), sparsity=0.75, seed=3, structure=Rows())
    Pruner(other, RandomWeight(), sparsity=0.5, seed=4, structure=Rows())
    model, other = form(model), form(other)
    save_model(model, path)
    load_weights(path, into=other)
    assert bits(other.state_dict()) == bits(model.state_dict())
    x, edge_index = torch.rand(5, 100), torch.tensor([[0, 1, 2], [1, 2, 4]])
    assert other(x, edge_index).equal(model(x, edge_index))


def test_shared_and_transposed_tensors(path):
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = torch.nn.Parameter(torch.rand(30, 20).t())
            self.b = self.a
            self.register_buffer("empty", torch.zeros(0, 4))
            self.register_buffer("number", torch.tensor(3))

    model, other = Odd(), Odd()
    save_model(model, path)
    load_weights(path, into=other)
    for name, value in model.state_dict().items():
        assert other.state_dict()[name].equal(value)


def test_unseen_weights_behind_a_mask_are_not_in_the_file(path):
    model = gcn()
    masks = WeightMasks(model)
    keep = torch.zeros(16, 100, dtype=torch.bool)
    masks["convs.0.lin.weight"] = keep
    save_model(model, path)
    secret = model.convs[0].lin._parameters["weight"].detach().numpy().tobytes()
    data = path.read_bytes()
    assert secret[:8] not in data
    assert len(data) < 3000


@pytest.mark.parametrize(
    ("sparsity", "most"), [(0.5, 0.55), (0.75, 0.30), (0.95, 0.08), (0.99, 0.03)]
)
def test_size_beside_the_dense_weights(path, sparsity, most):
    """k values and the shorter of a bit an entry and a byte for each of the k."""
    torch.manual_seed(78853)
    model = GCN(1433, 64, **SIZES)
    dense = 4 * (1433 * 64 + 64 * 3 + 67)
    Pruner(model, RandomWeight(), sparsity=sparsity, seed=5)
    size = save_model(model, path)
    kept = 1433 * 64 * (1 - sparsity)
    by_hand = 4 * kept + min(kept, 1433 * 64 / 8) + 4 * (64 * 3 + 67)
    assert size - by_hand < 1500  # the header
    assert size < most * dense


def test_whole_rows_cost_no_places(path):
    model = gcn()
    Pruner(model, Magnitude(), sparsity=0.75, structure=Rows())
    save_model(model, path)
    with safe_open(path, framework="pt") as file:
        places = file.get_tensor("convs.0.lin.weight#places")
    assert places.numel() <= 9  # four rows: four runs of each kind, and one at the end


def test_the_same_model_gives_the_same_bytes(tmp_path):
    found = []
    for name in ("a.safetensors", "b.safetensors"):
        model = gcn()
        Pruner(model, Magnitude(), sparsity=0.9)
        save_model(model, tmp_path / name, ModelCard(scores={"a": 0.5, "b": 1}))
        found.append((tmp_path / name).read_bytes())
    assert found[0] == found[1]


def test_header_says_what_is_left(path):
    model = gcn()
    pruner = Pruner(model, Magnitude(), sparsity=0.9)
    card = ModelCard(dataset="PubMed", method=repr(pruner), scores={"test": 0.79})
    save_model(model, path, card)
    header = load_weights(path, into=gcn())
    assert header["weights"]["layers"]["convs.0.lin.weight"] == {
        "shape": [16, 100],
        "num_kept": 160,
    }
    assert header["weights"]["num_kept"] == 160 + 48
    assert header["weights"]["num_weights"] == 1600 + 48
    assert header["version"] == version("gsparse-gnn")
    assert header["card"]["dataset"] == "PubMed"
    assert header["card"]["scores"] == {"test": 0.79}


def test_the_page_has_it_all(path):
    model = gcn()
    Pruner(model, Magnitude(), sparsity=0.9)
    card = ModelCard(
        title="GCN on PubMed",
        dataset="PubMed",
        split="public",
        method="Magnitude(sparsity=0.9)",
        scores={"test accuracy": 0.7891},
        settings={"seed": 7, "odd": "a|b\nc"},
        limitations=("One seed.", "Two classes | three."),
    )
    size = save_model(model, path, card)
    page = (path.parent / "README.md").read_text()
    for text in (
        "# GCN on PubMed\n",
        "- Data set: PubMed\n- Split: public\n- Pruned by: Magnitude(sparsity=0.9)",
        "- seed: 7",
        "- odd: a\\|b c",
        "| Weights stored | 208 of 1,648 |",
        f"| File | {size:,} bytes |",
        "| test accuracy | 0.7891 |",
        'load_weights("model.safetensors", into=model)',
        "- One seed.\n- Two classes | three.",
    ):
        assert text in page
    assert "$" not in page
    save_model(model, path, card)  # ours may be replaced
    assert sorted(os.listdir(path.parent)) == ["README.md", "model.safetensors"]


def test_a_page_of_others_is_kept(path):
    (path.parent / "README.md").write_text("# my project\n")
    with pytest.raises(ValueError, match=r"README.md must be a model card of gsparse"):
        save_model(gcn(), path, ModelCard())
    assert os.listdir(path.parent) == ["README.md"]
    save_model(gcn(), path)
    assert (path.parent / "README.md").read_text() == "# my project\n"


def test_any_changed_byte_is_noticed(path):
    torch.manual_seed(40289)
    model = GCN(12, 8, **SIZES)
    Pruner(model, Magnitude(), sparsity=0.9)
    save_model(model, path)
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ValueError, match=r"safetensors must be "):
            read_model_file(path)
    path.write_bytes(whole)
    read_model_file(path)


@pytest.mark.parametrize("part", [0, 5, 300, -1])
def test_half_a_file_changes_nothing(path, part):
    model = gcn()
    save_model(model, path)
    path.write_bytes(path.read_bytes()[:part])
    before = bits(model.state_dict())
    with pytest.raises(ValueError, match=r"must be a whole model file \(got"):
        load_weights(path, into=model)
    assert bits(model.state_dict()) == before


def test_files_of_others_and_of_the_future(path):
    save_file({"a": torch.ones(2)}, path)
    with pytest.raises(ValueError, match="got another safetensors file"):
        read_model_file(path)
    save_file({"a": torch.ones(2)}, path, {"gsparse": json.dumps({"format": 3})})
    with pytest.raises(ValueError, match=r"format 2 at most \(got 3\)"):
        read_model_file(path)
    header = {"format": 1, "packed": {"a": {"form": "bits", "shape": [2]}}}
    header["checksum"] = tensor_file._checksum(header, {"b": torch.ones(2)})
    save_file({"b": torch.ones(2)}, path, {"gsparse": json.dumps(header)})
    with pytest.raises(ValueError, match=r"must be a whole model file .* 'a#places'"):
        read_model_file(path)


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (lambda: GCN(100, 8, **SIZES), r"layers and sizes .* size mismatch"),
        (lambda: GAT(100, 16, heads=2, **SIZES), r"layers and sizes .*att_src"),
        (lambda: gcn().double(), r"must be torch.float32, as in the file \(got"),
        (
            lambda: Pruner(gcn(), Magnitude(), sparsity=0.5).model,
            r"no masks \(got 'convs.0.lin.weight_m",
        ),
    ],
    ids=["sizes", "layers", "dtype", "masks"],
)
def test_another_model_is_refused_and_unchanged(path, other, text):
    save_model(gcn(), path)
    model = other()
    before = bits(model.state_dict())
    with pytest.raises(ValueError, match=text):
        load_weights(path, into=model)
    assert bits(model.state_dict()) == before


class _Buffer(torch.nn.Module):
    def __init__(self, buffer):
        super().__init__()
        self.register_buffer("b", buffer)


class _Extra(torch.nn.Module):
    def get_extra_state(self):
        return "text"


@pytest.mark.parametrize(
    ("model", "name", "error", "text"),
    [
        (gcn(), "model.pt", ValueError, r"end with .safetensors \(got model.pt\)"),
        (_Extra(), "a.safetensors", TypeError, r"\(got str for '_extra_state'\)"),
        (_Buffer(torch.eye(2).to_sparse()), "a.safetensors", TypeError, "sparse_coo"),
        (_Buffer(torch.eye(2) * 1j), "a.safetensors", TypeError, "real numbers"),
        (SAGEConv(-1, 3), "a.safetensors", ValueError, "must have a shape before"),
    ],
)
def test_what_cannot_be_saved(tmp_path, model, name, error, text):
    with pytest.raises(error, match=text):
        save_model(model, tmp_path / name, ModelCard())
    assert os.listdir(tmp_path) == []


def test_a_mask_in_training_is_refused(path):
    model = gcn()
    masks = WeightMasks(model)
    masks.soften({name: torch.rand(masks[name].shape) for name in masks.targets})
    with pytest.raises(ValueError, match=r"must be final .* finalize\(\)"):
        save_model(model, path)


def test_cards_hold_text_and_numbers(path):
    with pytest.raises(TypeError, match=r"score 'test' must be a number \(got '0.8'\)"):
        ModelCard(scores={"test": "0.8"})
    with pytest.raises(TypeError, match="'card' must hold text and numbers"):
        save_model(gcn(), path, ModelCard(settings={"device": torch.device("cpu")}))
    assert os.listdir(path.parent) == []


def test_nothing_half_written(path, monkeypatch):
    save_model(gcn(), path)
    whole = path.read_bytes()
    monkeypatch.setattr("pathlib.Path.replace", _fail)
    with pytest.raises(OSError, match="no space"):
        save_model(gcn(5), path)
    assert path.read_bytes() == whole
    assert os.listdir(path.parent) == ["model.safetensors"]


def _fail(self, target):
    raise OSError("no space")


def test_no_file(path):
    with pytest.raises(FileNotFoundError, match="there is no model file"):
        read_model_file(path)


def test_without_the_extra_it_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    spec = importlib.util.spec_from_file_location("without", tensor_file.__file__)
    without = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(without)  # importing it is no error
    assert without.safetensors is None
    monkeypatch.setattr(tensor_file, "safetensors", None)
    for call in (
        lambda: save_model(gcn(), path),
        lambda: load_weights(path, into=gcn()),
    ):
        with pytest.raises(ImportError, match=r"pip install 'gsparse-gnn\[export\]'"):
            call()
    assert os.listdir(path.parent) == []


def test_a_compacted_and_quantised_model_comes_back(tmp_path):
    """The steps of docs/structured.md, with features that no layer reads."""
    torch.manual_seed(70879)
    x, edges = torch.randn(30, 9), torch.randint(0, 30, (2, 90))
    model = GCN(9, 8, num_layers=2, out_channels=3)
    with torch.no_grad():
        model.convs[0].lin.weight[:, [2, 5]] = 0.0  # features
        model.convs[0].lin.weight[[1, 4, 7]] = 0.0  # units
        model.convs[0].bias.zero_()
    small = compact(model, (x, edges), inputs="sliced")
    kept = small.kept_features
    assert kept.tolist() == [0, 1, 3, 4, 6, 7, 8]
    small = quantise_weights(small, bits=8)
    save_model(small, tmp_path / "small.safetensors")
    fresh = quantise_weights(GCN(7, 5, num_layers=2, out_channels=3), bits=8)
    load_weights(tmp_path / "small.safetensors", into=fresh)
    torch.testing.assert_close(fresh(x[:, kept], edges), small(x[:, kept], edges))
    torch.testing.assert_close(
        fresh(x[:, kept], edges), model(x, edges), rtol=0.1, atol=0.1
    )
    with pytest.raises(ValueError, match=r"after the same compact\(\), to_sparse\(\)"):
        load_weights(tmp_path / "small.safetensors", into=GCN(7, 5, 2, 3))

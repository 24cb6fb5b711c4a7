"""From a data set to a file, and back to the same model."""

import json
import os

import pytest
import torch

from gsparse.cli.pruned_record import format_record
from gsparse.deploy import load_pruned, prune_and_save, prune_model
from gsparse.deploy.model_file import save_model
from gsparse.deploy.pruned_models import specify
from gsparse.train import evaluate, recipe
from gsparse.train.models import GCN
from gsparse.train.split_graphs import load_split_graphs, resolve_split

EPOCHS = 2


def pruned(tmp_path=None, model="gcn", **options):
    return prune_model(
        "digits", model, "Magnitude", 0.75, epochs=EPOCHS, out=tmp_path, **options
    )


@pytest.fixture(scope="module")
def digits():
    return load_split_graphs("digits", resolve_split("digits", None), 0).test


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("gcn", {}),
        ("gcn", {"structure": "columns", "bits": 4, "compacted": True}),
        ("gat", {"structure": "heads", "bits": 8, "compacted": True}),
        ("sage", {"structure": "units", "compacted": True}),
    ],
)
def test_a_loaded_model_scores_what_was_reported(tmp_path, digits, model, options):
    record = pruned(tmp_path, model, **options)
    loaded, header = load_pruned(tmp_path)
    for mask, key in (("val_mask", "val"), ("test_mask", "test")):
        assert evaluate(loaded, digits, mask) == record[f"{key}_score_after"]
    assert header["card"]["dataset"] == "digits"
    assert record["weight_sparsity"] == pytest.approx(0.75, abs=0.01)
    smaller = record["multiply_adds_after"] < 0.6 * record["multiply_adds_before"]
    assert smaller == record["compacted"] == options.get("compacted", False)
    assert record["num_bytes_after"] == (tmp_path / "model.safetensors").stat().st_size
    json.dumps(record)


def test_card_and_report_tell_the_same_and_so_does_the_same_seed(tmp_path):
    record = pruned(tmp_path, compacted=True, structure="rows")
    again = pruned(compacted=True, structure="rows")
    assert again["num_parameters_after"] == record["num_parameters_after"]
    assert again["num_bytes_after"] is again["output"] is None
    assert "bytes" not in format_record(again)
    page = (tmp_path / "README.md").read_text()
    text = format_record(record)
    assert max(map(len, text.splitlines()[:-1])) <= 80
    lines = {line[:17].strip(): line.split() for line in text.splitlines()}
    assert lines["parameters, not 0"][-2] == f"{record['num_parameters_after']:,}"
    assert lines["bytes"][-2] == f"{record['num_bytes_after']:,}"
    assert lines["test accuracy"][-2] == f"{100 * record['test_score_after']:.2f}"
    for piece in (
        "# GCN on digits, pruned",
        "- Pruned by: Magnitude, sparsity 0.75, rows",
        f"| Test accuracy, pruned | {record['test_score_after']:.4g} |",
        "from gsparse.deploy import load_pruned",
    ):
        assert piece in page


def test_sizes_of_no_standard_model_are_refused():
    model = GCN(6, 4, 3)
    model.layers[0].bias = None
    with pytest.raises(ValueError, match="the sizes of a standard gcn"):
        specify("gcn", model, 6, {})


def test_what_compaction_makes_no_standard_model_stays_whole(monkeypatch):
    odd = GCN(6, 4, 3)
    odd.layers[0].bias, odd.kept_features = None, torch.arange(6)
    monkeypatch.setattr(prune_and_save, "compact", lambda *_, **__: odd)
    chosen = recipe("digits", "gcn")
    example = (torch.ones(2, 6), torch.tensor([[0, 1], [1, 0]]))
    assert prune_and_save._compacted(odd, chosen, example) is None


def test_files_of_others_are_refused(tmp_path):
    save_model(GCN(6, 4, 3), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"of `gsparse prune` .* use load_weights"):
        load_pruned(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no model file"):
        load_pruned(tmp_path / "nowhere")


def test_a_page_of_others_stops_it_before_anything_is_trained(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text("mine")
    monkeypatch.setattr(prune_and_save, "fit", None)
    with pytest.raises(ValueError, match=r"must be a model card of gsparse"):
        pruned(tmp_path)
    assert os.listdir(tmp_path) == ["README.md"]

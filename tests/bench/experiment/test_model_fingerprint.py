"""Hashes of models change with all that the models are made of, and with no more."""

import functools
import importlib
import sys

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCN

from gsparse.bench import compare
from gsparse.bench.experiment.model_fingerprint import model_fingerprint
from gsparse.data import planted_partition


def gcn(in_channels, num_classes, hidden_channels=8, dropout=0.0):
    return GCN(in_channels, hidden_channels, 2, num_classes, dropout=dropout)


def closure(**options):
    return lambda f, c: gcn(f, c, **options)


class Builder:
    def __init__(self, width):
        self.width = width

    def __call__(self, in_channels, num_classes):
        return gcn(in_channels, num_classes, self.width)

    def make(self, in_channels, num_classes):
        return self(in_channels, num_classes)


class Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor, self.lin = factor, nn.Linear(4, 2)

    def forward(self, x, edge_index):
        return self.lin(self.factor * x)


def mark(builder):
    return model_fingerprint(builder, builder(4, 2))


PAIRS = {
    "partial": [functools.partial(gcn, dropout=rate) for rate in (0.1, 0.2)],
    "lambda": [lambda f, c: gcn(f, c, 8), lambda f, c: gcn(f, c, 16)],
    "closure": [closure(dropout=0.1), closure(dropout=0.2)],
    "object": [Builder(8), Builder(16)],
    "method": [Builder(8).make, Builder(16).make],
    "attribute": [lambda f, c: Scaled(1.0), lambda f, c: Scaled(2.0)],
    "tensor": [closure(dropout=torch.tensor(rate)) for rate in (0.1, 0.2)],
    "default": [lambda f, c, h=8: gcn(f, c, h), lambda f, c, h=9: gcn(f, c, h)],
}


@pytest.mark.parametrize(("first", "second"), PAIRS.values(), ids=PAIRS)
def test_settings_change_the_hash(first, second):
    assert mark(first) == mark(first)
    assert mark(first) != mark(second)


def test_weights_and_the_time_of_the_call_do_not_change_the_hash():
    model = gcn(4, 2)
    before = model_fingerprint(gcn, model)
    model.reset_parameters()
    assert model_fingerprint(gcn, model) == before == mark(gcn)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A module that imports another, which imports a third."""
    texts = {
        "fp_model": "from fp_layers import Net\ndef make(f, c):\n    return Net(f, c)",
        "fp_layers": (
            "import fp_helper\nfrom torch import nn\n"
            "class Net(nn.Linear):\n    def forward(self, x, edge_index):\n"
            "        return fp_helper.act(super().forward(x))"
        ),
        "fp_helper": "def act(x):\n    return x",
        "fp_unused": "",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in texts:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["fp_model", "fp_layers", "fp_helper"])
def test_edited_imports_change_the_hash(name, project):
    make = importlib.import_module("fp_model").make
    before = mark(make)
    with (project / "fp_unused.py").open("a") as file:
        file.write("# edited")
    assert mark(make) == before
    with (project / f"{name}.py").open("a") as file:
        file.write("\n# edited")
    assert mark(make) != before


def test_rows_of_another_function_of_the_same_name_are_not_reused(tmp_path):
    data = planted_partition(40, 2, 5.0, 0.9, num_features=4, seed=31415)
    out = tmp_path / "rows.jsonl"
    for width in (4, 8, 4):
        compare(data, closure(hidden_channels=width), [], [], 1, epochs=2, out=out)
    assert len(out.read_text().splitlines()) == 3  # two models and one MLP

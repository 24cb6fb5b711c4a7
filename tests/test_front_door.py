"""Names at the top of the package."""

import subprocess
import sys
from importlib import import_module

import pytest
import torch
from torch_geometric.nn import GAT, SAGEConv

import gsparse
from gsparse.data import planted_partition
from gsparse.train import SparseFeatures

ROOMS = (
    *("bench", "compaction", "data", "deploy", "distributed", "explain", "linalg"),
    *("nn", "prune", "train", "transforms"),
)


@pytest.mark.parametrize("name", [it for it in gsparse.__all__ if "__" not in it])
def test_a_name_is_the_one_of_its_room(name):
    found = getattr(gsparse, name)
    room = import_module(".".join(found.__module__.split(".")[:2]))
    assert found is getattr(room, name)
    assert name in room.__all__


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_need_no_import_of_their_own(room):
    code = f"import gsparse; print(gsparse.{room}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == [f"gsparse.{room}"], done.stderr


def test_importing_the_package_loads_nothing_heavy():
    code = "import gsparse, sys; print({'torch', 'numba', 'scipy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(
        AttributeError, match="module 'gsparse' has no attribute 'KAge'"
    ):
        _ = gsparse.KAge
    with pytest.raises(ImportError, match="cannot import name 'KAge'"):
        exec("from gsparse import KAge")


def test_dir_lists_names_and_rooms():
    assert {*gsparse.__all__, *ROOMS} <= {*dir(gsparse)}


def test_sparse_features_of_a_data_set_go_into_any_layer(monkeypatch):
    def load(*args, sparse_features):
        return planted_partition(60, 3, sparse_features=sparse_features)

    monkeypatch.setattr(import_module("gsparse.train.load_dataset"), "load", load)
    dense, sparse = (
        gsparse.load_dataset("toy", sparse_features=it) for it in (False, True)
    )
    assert isinstance(sparse.x, SparseFeatures)
    assert dense.x.layout == torch.strided
    for layer in (SAGEConv(200, 4), GAT(200, 4, 2, dropout=0.5)):
        layer.eval()
        expected = layer(dense.x, dense.edge_index)
        torch.testing.assert_close(layer(sparse.x, dense.edge_index), expected)

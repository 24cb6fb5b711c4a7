"""``.pt`` files: only graphs with consistent tensors are loaded."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from gsparse.data import read_graph, write_graph

EDGES = torch.tensor([[0, 1, 2], [1, 2, 0]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"edge_index": torch.tensor([0, 1])}, r"shape \[2, E\] \(got \[2\]\)"),
        ({"edge_index": EDGES.float()}, r"hold integers \(got torch.float32\)"),
        ({"edge_index": EDGES.bool()}, r"hold integers \(got torch.bool\)"),
        ({"edge_index": EDGES.to_sparse()}, "a dense tensor 'edge_index'"),
        ({"edge_index": None}, "a dense tensor 'edge_index'"),
        ({"edge_index": EDGES - 1}, r"not hold negative ids \(got -1\)"),
        ({"edge_index": EDGES, "num_nodes": 2}, r"below num_nodes=2 \(got 2\)"),
        ({"edge_index": EDGES, "num_nodes": 10**15}, "at most 3,037,000,499 nodes"),
        ({"edge_index": EDGES * 10**9}, "below 10,000,000 with 3 edges"),
        ({"edge_index": EDGES, "x": torch.ones(2, 1)}, r"below num_nodes=2"),
        ({"edge_index": EDGES, "x": torch.ones(3), "y": EDGES}, "'y' in .* 3 nodes"),
        (
            {"edge_index": EDGES, "x": torch.ones(3), "test_mask": torch.ones(4)},
            r"'test_mask' in .* each of the 3 nodes \(got shape \[4\]\)",
        ),
        (
            {"edge_index": EDGES, "edge_attr": torch.ones(2, 5)},
            r"'edge_attr' in .* each of the 3 edges \(got shape \[2, 5\]\)",
        ),
        (
            {"edge_index": EDGES, "edge_weight": [1, 2, 3]},
            "must be a tensor of the edg",
        ),
        ({"edge_index": EDGES, "edge_weight": torch.ones(3, 1)}, "one real number for"),
        ({"edge_index": EDGES, "edge_weight": 1j * torch.ones(3)}, "one real number"),
        ({"edge_index": EDGES, 7: torch.ones(3)}, r"must name attributes .* \(got 7\)"),
    ],
)
def test_refusals(tmp_path, content, message):
    torch.save(content, tmp_path / "g.pt")
    with pytest.raises(ValueError, match=message) as refusal:
        read_graph(tmp_path / "g.pt")
    assert "g.pt" in str(refusal.value)


@pytest.mark.parametrize(
    ("tensors", "num_nodes"),
    [
        ({}, 3),
        ({"num_nodes": torch.tensor(9)}, 9),
        ({"x": torch.ones(5, 2)}, 5),
        ({"val_mask": torch.ones(6, 2, dtype=torch.bool)}, 6),
        ({"y": torch.ones(4)}, 4),
        ({"y": torch.ones(1, 7)}, 3),  # of the whole graph
        ({"y": torch.tensor(1.0)}, 3),
    ],
)
def test_number_of_nodes(tmp_path, tensors, num_nodes):
    torch.save({"edge_index": EDGES, **tensors}, tmp_path / "g.pt")
    assert read_graph(tmp_path / "g.pt").num_nodes == num_nodes


@pytest.mark.parametrize("value", [np.eye(2), np.float64(1), object(), [object()]])
def test_what_a_safe_load_refuses_is_not_written(tmp_path, value):
    data = Data(edge_index=EDGES, extra=value)
    with pytest.raises(ValueError, match="'extra' must be a tensor, a number, a str"):
        write_graph(data, tmp_path / "g.pt")
    assert not list(tmp_path.iterdir())


def test_what_could_not_be_read_is_not_written(tmp_path):
    data = Data(edge_index=EDGES, train_mask=torch.ones(2, dtype=torch.bool), x=EDGES.T)
    for suffix in (".pt", ".npz", ".csv", ".mtx"):
        with pytest.raises(ValueError, match="'train_mask' in the graph must have one"):
            write_graph(data, tmp_path / f"g{suffix}")
    assert not list(tmp_path.iterdir())

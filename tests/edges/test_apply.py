"""Attributes that follow the edges, and attributes that do not."""

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.transforms import ToSparseTensor

from gsparse.data import cycle
from gsparse.edges import apply_edge_mask


def square():
    data = cycle(4)  # 4 nodes, 8 entries
    data.edge_attr = torch.arange(16).view(8, 2)
    data.edge_weight = torch.arange(8.0)
    data.edge_type = torch.arange(8)
    data.flow = torch.arange(8)
    data.names = [str(i) for i in range(8)]
    return data


def test_every_edge_value_follows():
    data = square()
    keep = torch.tensor([True, False] * 4)
    out = apply_edge_mask(data, keep)
    assert out.edge_index.equal(data.edge_index[:, ::2])
    assert out.edge_attr.equal(data.edge_attr[::2])
    assert out.edge_weight.tolist() == [0, 2, 4, 6]
    assert out.edge_type.tolist() == out.flow.tolist() == out.e_id.tolist()
    assert out.e_id.tolist() == [0, 2, 4, 6]
    assert out.names == ["0", "2", "4", "6"]


def test_supervision_stays_whatever_its_length():
    data = square()
    data.y = torch.arange(8)
    data.train_mask = torch.ones(8, dtype=torch.bool)
    data.edge_label = torch.arange(8)
    data.edge_label_index = torch.zeros(2, 8, dtype=torch.long)
    out = apply_edge_mask(data, torch.zeros(8, dtype=torch.bool))
    for key in ("y", "train_mask", "edge_label", "edge_label_index"):
        assert out[key] is data[key], key
    assert out.num_edges == 0
    assert out.num_nodes == 4


def test_two_cuts_keep_the_original_positions():
    once = apply_edge_mask(square(), torch.tensor([False] * 4 + [True] * 4))
    twice = apply_edge_mask(once, torch.tensor([True, False, False, True]))
    assert twice.e_id.tolist() == [4, 7]


def test_new_weights_replace_the_old_ones():
    keep = torch.tensor([True] * 3 + [False] * 5)
    out = apply_edge_mask(square(), keep, edge_weight=torch.full((8,), 2.5))
    assert out.edge_weight.tolist() == [2.5, 2.5, 2.5]


def test_input_is_untouched():
    data = square()
    before = data.clone()
    apply_edge_mask(data, torch.zeros(8, dtype=torch.bool))
    assert list(data.keys()) == list(before.keys())
    assert data.edge_index.equal(before.edge_index)


def test_edge_index_type_is_kept():
    data = square()
    data.edge_index = EdgeIndex(
        data.edge_index, sparse_size=(4, 4), is_undirected=True, sort_order="row"
    )
    out = apply_edge_mask(data, data.edge_index[0] + data.edge_index[1] != 1)
    assert isinstance(out.edge_index, EdgeIndex)
    assert out.edge_index.is_undirected
    assert out.edge_index.sort_order == data.edge_index.sort_order
    assert out.edge_index.sparse_size() == (4, 4)
    out.edge_index.validate()


def test_adj_t_is_refused():
    data = ToSparseTensor(layout=torch.sparse_csr)(cycle(4))
    with pytest.raises(TypeError, match=r"'adj_t' are not supported; build"):
        apply_edge_mask(data, torch.ones(8, dtype=torch.bool))


def test_no_edge_index_is_refused():
    with pytest.raises(ValueError, match=r"must have an 'edge_index'"):
        apply_edge_mask(Data(x=torch.rand(3, 2)), torch.ones(0, dtype=torch.bool))


def test_wrong_mask_is_refused():
    with pytest.raises(ValueError, match=r"bool tensor of shape \[8\]"):
        apply_edge_mask(square(), torch.ones(7, dtype=torch.bool))

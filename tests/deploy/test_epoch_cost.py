"""An epoch with each lever in turn, and what is skipped."""

import copy

import pytest
import torch

from gsparse.data import random_graph
from gsparse.deploy.epoch_cost import (
    FEWER,
    FUSED,
    PYG,
    SPARSE,
    PlainGAT,
    epoch_costs,
    pyg_bytes,
)
from gsparse.nn import FastGATConv, accelerate
from gsparse.train import sparse_features

DATA = random_graph(num_nodes=30, p=0.2, seed=81203)


def graph(**more):
    data = copy.copy(DATA)
    data.x = torch.rand(30, 8, generator=torch.Generator().manual_seed(81203))
    for key, value in more.items():
        data[key] = value
    return data


def test_levers_are_added_in_turn():
    costs = epoch_costs(graph())
    assert [it.name for it in costs] == [PYG, FUSED, FEWER]
    assert all(it.seconds > 0 and it.skipped is None for it in costs)


def test_zeros_make_sparse_features_a_lever():
    names = [it.name for it in epoch_costs(graph(x=torch.eye(30)))]
    assert names == [PYG, FUSED, SPARSE, FEWER]


def test_sparse_features_are_accepted_as_they_are_stored():
    for x in (torch.eye(30).to_sparse_csr(), sparse_features(torch.eye(30))):
        assert len(epoch_costs(graph(x=x))) == 4


@pytest.mark.parametrize(
    "y", [None, torch.rand(30), torch.ones(30, 5), -torch.ones(30).long()]
)
def test_no_features_and_any_labels_are_accepted(y):
    assert epoch_costs(graph(x=None, y=y))[0].seconds > 0


def test_an_epoch_that_needs_too_much_is_skipped_and_said():
    room = int(pyg_bytes(30, DATA.num_edges, 8)) - 1
    first, *others = epoch_costs(graph(), memory=room)
    assert first.seconds is None
    assert first.skipped.startswith("needs about")
    assert all(it.seconds > 0 for it in others)
    assert all(it.seconds is None for it in epoch_costs(graph(), memory=1))


def test_the_models_with_and_without_the_lever_agree():
    torch.manual_seed(19031)
    plain = PlainGAT(8, 3).eval()
    x, edges = graph().x, DATA.edge_index
    expected = plain(x, edges)
    fused = accelerate(copy.deepcopy(plain))
    assert isinstance(fused.first, FastGATConv)
    torch.testing.assert_close(fused(x, edges), expected)


def test_the_graph_is_left_as_it_was():
    data = graph()
    before, state = data.clone(), torch.get_rng_state()
    epoch_costs(data)
    assert torch.equal(torch.get_rng_state(), state)
    assert data.x.equal(before.x)
    assert data.edge_index.equal(before.edge_index)

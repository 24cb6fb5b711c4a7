"""Splits: the masks and that they are disjoint."""

import pytest
import torch
from torch_geometric.data import Data

from gsparse.data import inductive, planted_partition, random_graph, split, split_name
from gsparse.data.random_stream import RandomStream

MASKS = ("train_mask", "val_mask", "test_mask")


def labelled_graph(num_nodes=400, num_classes=4, unlabelled=40):
    data = planted_partition(num_nodes, num_classes, degree=4, seed=35537)
    data.y[
        torch.from_numpy(RandomStream(95717).permutation(num_nodes)[:unlabelled])
    ] = -1
    return data


def masks_of(data):
    return torch.stack([data[name] for name in MASKS])


@pytest.mark.parametrize("kind", ["random", "random-5-30", "60-20-20", "60/20/20"])
@pytest.mark.parametrize("seed", [0, 61843])
def test_every_labelled_node_is_in_one_mask(kind, seed):
    data = labelled_graph()
    covered = masks_of(split(data, kind, seed)).sum(dim=0)
    assert covered.equal((data.y != -1).long())


@pytest.mark.parametrize(
    ("kind", "train", "val"), [("random", 20, 30), ("random-5-7", 5, 7)]
)
def test_random_counts_by_class(kind, train, val):
    data = split(labelled_graph(), kind, seed=14207)
    for label in range(4):
        here = data.y == label
        counts = (masks_of(data) & here).sum(dim=1).tolist()
        assert counts == [train, val, int(here.sum()) - train - val]


def test_shares():
    data = split(labelled_graph(), "60-20-20", seed=14207)
    assert masks_of(data).sum(dim=1).tolist() == [216, 72, 72]


@pytest.mark.parametrize("kind", ["random", "60-20-20"])
def test_split_depends_on_the_seed_only(kind):
    data = labelled_graph()
    torch.manual_seed(1)
    first = masks_of(split(data, kind, seed=7331))
    torch.manual_seed(2)
    assert masks_of(split(data, kind, seed=7331)).equal(first)
    assert not masks_of(split(data, kind, seed=7332)).equal(first)


def test_split_by_hand():
    """The order of the 60-20-20 nodes is that of the raw Philox words."""
    data = Data(y=torch.zeros(10, dtype=torch.long), num_nodes=10)
    order = RandomStream(40961, 2**32).words(10).argsort().tolist()
    out = split(data, "60-20-20", seed=40961)
    assert sorted(order[:6]) == out.train_mask.nonzero().flatten().tolist()
    assert sorted(order[6:8]) == out.val_mask.nonzero().flatten().tolist()


def test_one_class_does_not_move_another():
    """Every class has a stream of its own."""
    data = labelled_graph(unlabelled=0)
    fewer = data.clone()
    fewer.y[(data.y == 3).nonzero().flatten()[:10]] = -1
    before = split(data, "random", seed=2203).train_mask
    after = split(fewer, "random", seed=2203).train_mask
    assert (before == after)[data.y != 3].all()


def test_classes_are_drawn_independently():
    """Two classes of the same size do not send the same positions."""
    data = Data(y=torch.arange(400) % 2, num_nodes=400)
    mask = split(data, "random", seed=64301).train_mask
    assert not mask[0::2].equal(mask[1::2])


def test_unlabelled_nodes_leave_given_masks():
    data = random_graph(20, 0.2, seed=11311)
    data.y[:10] = -1
    masks = masks_of(split(data, "public"))
    assert not masks[:, :10].any()
    assert masks[:, 10:].equal(masks_of(data)[:, 10:])


def test_input_is_untouched():
    data = labelled_graph()
    before = data.clone()
    split(data, "random", seed=5)
    assert all(before[name].equal(data[name]) for name in MASKS)


@pytest.mark.parametrize("kind", ["geom-gcn", "given"])
def test_given_columns(kind):
    data = random_graph(20, 0.2, seed=11311)
    columns = torch.rand(20, 10, generator=torch.Generator().manual_seed(3)) < 0.5
    for name in MASKS:
        data[name] = columns
    assert split(data, kind, seed=3).val_mask.equal(columns[:, 3])
    assert split(data, kind, seed=13).val_mask.equal(columns[:, 3])


def test_public_is_what_came():
    data = random_graph(20, 0.2, seed=11311)
    assert masks_of(split(data, "public", seed=99)).equal(masks_of(data))


def test_several_labels_a_node():
    data = Data(y=torch.zeros(30, 5), num_nodes=30)
    assert masks_of(split(data, "60-20-20", 3)).sum(dim=1).tolist() == [18, 6, 6]
    with pytest.raises(ValueError, match=r"needs one label per node \(got a 2-d 'y'\)"):
        split(data, "random", 3)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("80-10-10", r"'split' must be one of .* \(got '80-10-10'\)"),
        ("inductive", r"call gsparse.data.inductive\(data\)"),
        ("geom-gcn", r"'geom-gcn' needs 2-d masks \(got 1-d masks\)"),
        ("random-80-30", r"more than 110 labelled nodes \(got 90 in class 0\)"),
    ],
)
def test_refusals(kind, message):
    data = labelled_graph(num_nodes=360, unlabelled=0)
    with pytest.raises(ValueError, match=message):
        split(data, kind, seed=1)


def test_no_masks_and_no_labels():
    with pytest.raises(ValueError, match=r"needs 1-d masks \(got no masks\)"):
        split(Data(y=torch.zeros(4)), "public")
    with pytest.raises(ValueError, match=r"needs labels 'y' \(got none\)"):
        split(Data(num_nodes=4), "60-20-20")


def test_names():
    assert split_name("Random") == "random-20-30"
    assert split_name("60/20/20") == "60-20-20"


@pytest.mark.parametrize("include_val", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.15])
def test_inductive_graph_is_the_induced_one(p, include_val):
    data = random_graph(40, p, seed=86399, weighted=True)
    train, full = inductive(data, include_val)
    assert full is data
    inside = data.train_mask | data.val_mask if include_val else data.train_mask
    kept = {
        (u, v, w)
        for u, v, w in zip(
            *data.edge_index.tolist(), data.edge_weight.tolist(), strict=True
        )
        if inside[u] and inside[v]
    }
    row, col = train.n_id[train.edge_index].tolist() if p else ([], [])
    assert set(zip(row, col, train.edge_weight.tolist(), strict=True)) == kept
    assert train.x.equal(data.x[inside])
    assert train.y.equal(data.y[inside])
    assert not train.test_mask.any()
    assert train.val_mask.any() == include_val


def test_inductive_tells_edges_from_nodes_by_name():
    """A cycle has as many nodes as edges; a triangle listed twice has N != E."""
    edge_index = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    train_mask = torch.tensor([True, True, True, False])
    data = Data(edge_index=edge_index, num_nodes=4, train_mask=train_mask)
    data.edge_weight = torch.arange(4.0)
    data.age = torch.arange(4)
    train, _ = inductive(data)
    assert train.edge_weight.tolist() == [0, 1]
    assert train.age.tolist() == [0, 1, 2]


def test_inductive_refusals():
    with pytest.raises(ValueError, match="must have a 1-d train_mask"):
        inductive(Data(num_nodes=3))
    data = random_graph(5, 0.5, seed=3)
    data.train_mask[:] = False
    with pytest.raises(ValueError, match="must have training nodes"):
        inductive(data)

"""Graphs without a card: names, splits, contents."""

import itertools

import pytest
import torch
from torch_geometric.data import Data

from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.own_graph import (
    given_graph,
    is_graph_file,
    load_own,
    open_graph,
    split_own,
)
from gsparse.data import cycle, write_graph

MASKS = ("train_mask", "val_mask", "test_mask")


def graph(num_nodes=20, masks=()):
    data = cycle(num_nodes)
    data.x, data.y = torch.ones(num_nodes, 2), torch.arange(num_nodes) % 2
    part = torch.arange(num_nodes) % 3
    for name in masks:
        data[name] = part == MASKS.index(name)
    return data


def test_paths_are_told_from_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "graph.gml").touch()
    assert is_graph_file("g.csv.gz")
    assert is_graph_file("folder/g.unknown")
    assert is_graph_file("graph.gml")
    (tmp_path / "Cora").touch()
    assert not is_graph_file("Cora")
    assert not is_graph_file("ogbn-arxiv")


@pytest.mark.parametrize(
    ("masks", "wanted", "expected"),
    [
        (MASKS, None, "own"),
        ((), None, "60-20-20"),
        (MASKS, "random-2-2", "random-2-2"),
        (MASKS, "inductive", "inductive-own"),
        ((), "inductive", "inductive-60-20-20"),
        (MASKS, "inductive-60/20/20", "inductive-60-20-20"),
    ],
)
def test_the_split_is_that_of_the_masks(masks, wanted, expected):
    assert given_graph(graph(masks=masks), "g").resolve_split(wanted) == expected


@pytest.mark.parametrize("wanted", [None, "own", "public", "inductive"])
@pytest.mark.parametrize("pair", itertools.combinations(MASKS, 2))
def test_masks_with_common_nodes_are_refused(pair, wanted):
    """Else a node of the training would be tested."""
    data = graph(masks=MASKS)
    data[pair[1]] |= data[pair[0]] & (torch.arange(20) < 7)
    own = given_graph(data, "g")
    match = rf"masks without common nodes in g .* both '{pair[0]}' and '{pair[1]}'"
    with pytest.raises(ValueError, match=match):
        own.resolve_split(wanted)
    assert own.resolve_split("60-20-20") == "60-20-20"


@pytest.mark.parametrize(("masks", "got"), [(MASKS[:2], "train_mask, val_mask")])
def test_a_missing_mask_is_named(masks, got):
    own = given_graph(graph(masks=masks), "g")
    with pytest.raises(ValueError, match=rf"split 'own' needs .* in g \(got {got}\)"):
        own.resolve_split(None)
    assert own.resolve_split("60-20-20") == "60-20-20"


def test_columns_of_masks_are_the_splits_of_the_seeds():
    data = graph(masks=MASKS)
    for name in MASKS:
        data[name] = torch.stack([data[name], data[name].roll(1)], dim=1)
    own = given_graph(data, "g").data
    for seed, column in ((0, 0), (1, 1), (2, 0)):
        found = split_own(own, "own", seed, "cpu").test
        assert torch.equal(found.train_mask, data.train_mask[:, column])


def test_the_fingerprint_covers_what_a_run_reads():
    base = graph(masks=MASKS)
    marks = {given_graph(base, "g").fingerprint, given_graph(base, "h").fingerprint}
    assert len(marks) == 1
    for key in ("edge_index", "x", "y", "train_mask", "edge_weight"):
        changed = base.clone()
        if key == "edge_index":
            one = base.edge_index.sum(0) == 1  # both directions of edge (0, 1)
            changed.edge_index = base.edge_index[:, ~one]
        elif key == "edge_weight":
            changed.edge_weight = torch.ones(base.num_edges)
        else:
            changed[key] = base[key].roll(1, 0) if key != "x" else 2 * base.x
        marks.add(given_graph(changed, "g").fingerprint)
    assert len(marks) == 6


def test_a_file_may_move_but_not_change(tmp_path):
    first, second = tmp_path / "a" / "g.npz", tmp_path / "b" / "g.npz"
    for path in (first, second):
        path.parent.mkdir()
        write_graph(graph(), path)
    (one, *_), (two, *_) = (
        configs([str(path)], ["gcn"], [], []) for path in (first, second)
    )
    assert one.hash == two.hash
    assert one.dataset == "g.npz"
    assert one.graph_file == str(first)
    write_graph(graph(22), first)
    (three, *_) = configs([str(first)], ["gcn"], [], [])
    assert three.hash != one.hash
    with pytest.raises(ValueError, match="must not change during a benchmark"):
        load_own(str(first), None, one.graph_fingerprint)


def test_files_of_one_name(tmp_path):
    names = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        names.append(str(tmp_path / folder / "g.npz"))
        write_graph(graph(), names[-1])
    with pytest.raises(ValueError, match=r"different names \(got g.npz 2 times\)"):
        configs(names, ["gcn"], [], [])


def test_labels_belong_to_one_file():
    with pytest.raises(ValueError, match=r"one graph file \(got y.csv and 0 graph fil"):
        configs(["digits"], ["gcn"], [], [], labels="y.csv")


def test_what_is_added_is_logged(tmp_path, caplog):
    write_graph(Data(edge_index=torch.tensor([[0, 1], [1, 2]])), tmp_path / "g.csv")
    (tmp_path / "y.csv").write_text("a\nb\nb\n")
    found = open_graph(str(tmp_path / "g.csv"), str(tmp_path / "y.csv"))
    assert found.data.x.to_dense().argmax(1).tolist() == [1, 2, 1]
    assert [it.message.partition(": ")[2] for it in caplog.records] == [
        "2 missing reverse edges added",
        "no features 'x', so one-hot degrees are the features",
    ]

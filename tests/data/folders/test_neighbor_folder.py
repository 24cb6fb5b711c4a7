"""Both directions of the edges of a graph folder, on disk."""

import json
import pickle
from itertools import pairwise

import numpy as np
import pytest
from torch_geometric.data import Data

from gsparse.data import convert_graph, open_graph, open_neighbors
from gsparse.data.folders import neighbor_folder
from gsparse.data.folders.graph_folder import GraphFolder
from gsparse.data.folders.header import checksum
from tests.data.folders.messy import messy_graph, summed


@pytest.fixture(params=[False, True], ids=["plain", "weighted"])
def folder(request, tmp_path):
    copies = request.param  # parallel edges have weights
    data = messy_graph(60121, weighted=request.param, copies=copies)
    return convert_graph(data, tmp_path / "g")


def expected(folder):
    """Return [(neighbour, weight)] of every node, in plain Python."""
    lists = [[] for _ in range(folder.num_nodes)]
    for (u, v), weight in summed(folder.data()).items():
        lists[u].append((v, weight))
        if u != v:
            lists[v].append((u, weight))
    return [sorted(it) for it in lists]


def content(lists):
    ptr, ends = lists.indptr, lists.indices
    weight = np.ones(ends.size) if lists.weight is None else lists.weight
    rows = [slice(a, b) for a, b in pairwise(ptr)]
    return [list(zip(ends[it], weight[it], strict=True)) for it in rows]


def test_every_node_has_its_neighbours_in_order(folder):
    lists = open_neighbors(folder, verify=True)
    assert lists.path == folder.path.with_name("g.neighbors")
    assert (lists.weight is not None) == folder.is_weighted
    assert content(lists) == expected(folder)
    assert lists.indices.size == 2 * folder.num_pairs + folder.num_loops
    assert lists.indices.dtype == np.int32


@pytest.mark.parametrize(("block", "room"), [(3, 1), (7, 40), (1000, 150)])
def test_blocks_and_parts_do_not_change_a_byte(
    folder, tmp_path, monkeypatch, block, room
):
    whole = open_neighbors(folder)
    rows, parts = GraphFolder.rows, []
    ranges = neighbor_folder.row_ranges

    def few(ends, given):
        parts.extend(ranges(ends, room))
        return parts

    monkeypatch.setattr(GraphFolder, "rows", lambda self: rows(self, block))
    monkeypatch.setattr(neighbor_folder, "row_ranges", few)
    cut = open_neighbors(folder, tmp_path / "cut")
    assert len(parts) > 1
    assert cut.files == whole.files
    for name in cut.files:
        assert (cut.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_the_second_call_opens_what_the_first_has_written(folder, monkeypatch):
    reports = []
    open_neighbors(folder, report=lambda *it: reports.append(it))
    assert [it[0] for it in reports] == ["counting", "nodes 0 to 60"]
    assert all(done == total for _, done, total in reports)
    monkeypatch.setattr(neighbor_folder, "_write", None)
    assert content(open_neighbors(folder)) == expected(folder)


def test_copies_in_other_processes_open_the_files_again(folder):
    lists = open_neighbors(folder)
    _ = lists.indices
    again = pickle.dumps(lists)
    assert len(again) < 1500
    assert content(pickle.loads(again)) == content(lists)


def test_the_present_folder_has_a_name(folder, monkeypatch):
    monkeypatch.chdir(folder.path)
    assert open_neighbors(open_graph(".")).path.name == "g.neighbors"


def test_no_edges(tmp_path):
    data = messy_graph(1)
    data = Data(edge_index=data.edge_index[:, :0], num_nodes=3)
    lists = open_neighbors(convert_graph(data, tmp_path / "g"), verify=True)
    assert lists.indptr.tolist() == [0, 0, 0, 0]
    assert lists.indices.size == 0


class TestFaults:
    def test_lists_of_another_graph(self, folder, tmp_path):
        other = convert_graph(messy_graph(5), tmp_path / "other")
        open_neighbors(folder, tmp_path / "lists")
        with pytest.raises(ValueError, match=r"lists must hold the neighbours of .*"):
            open_neighbors(other, tmp_path / "lists")

    def test_another_folder(self, folder):
        with pytest.raises(ValueError, match="must hold neighbour lists of gsparse"):
            open_neighbors(folder, folder.path)

    @pytest.mark.parametrize("name", ["indptr.npy", "indices.npy"])
    def test_a_changed_byte_and_a_truncated_file(self, folder, name):
        path = open_neighbors(folder).path / name
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 4]))
        open_neighbors(folder)
        with pytest.raises(ValueError, match=rf"{name} is damaged .* written again"):
            open_neighbors(folder, verify=True)
        path.write_bytes(good[:-1])
        with pytest.raises(ValueError, match=rf"{name} is truncated .* written again"):
            open_neighbors(folder)

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"version": 2}, "has version 2, but this gsparse reads"),
            ({"files": {}}, r"header.json is damaged \(its checksum differs\)"),
        ],
    )
    def test_another_header(self, folder, change, text):
        path = open_neighbors(folder).path / "header.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(ValueError, match=text):
            open_neighbors(folder)

    def test_an_interrupted_call_leaves_nothing(self, folder, monkeypatch):
        def fail(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(neighbor_folder, "checksum", fail)
        with pytest.raises(KeyboardInterrupt):
            open_neighbors(folder)
        assert {it.name for it in folder.path.parent.iterdir()} == {"g"}
        monkeypatch.setattr(neighbor_folder, "checksum", checksum)
        assert content(open_neighbors(folder)) == expected(folder)

    def test_a_small_memory(self, folder):
        with pytest.raises(ValueError, match="the memory must be at least"):
            open_neighbors(folder, memory="1MB")
        assert not folder.path.with_name("g.neighbors").exists()

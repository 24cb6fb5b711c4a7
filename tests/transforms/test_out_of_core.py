"""A graph folder is cut to the same edges as the graph in memory."""

import re
import subprocess
import sys

import pytest
import torch

from gsparse.data import convert_graph, open_graph
from gsparse.data.folders.byte_sizes import parse_bytes
from gsparse.data.folders.memory import status_bytes
from gsparse.edges import pair_weight, undirected_pairs
from gsparse.transforms import (
    DSpar,
    EffectiveResistance,
    KNeighbor,
    LocalDegree,
    RandomEdge,
)
from gsparse.transforms.by_name import sparsifiers
from gsparse.transforms.node_ranks import NodeRanks
from gsparse.transforms.out_of_core import sparsify_folder
from gsparse.transforms.pair_stream import PairStream
from gsparse.transforms.sampled import degree
from tests.data.folders.messy import messy_graph, summed

METHODS = [
    lambda sparsity: RandomEdge(sparsity=sparsity, seed=71993),
    lambda sparsity: DSpar(sparsity=sparsity, seed=71993),
    lambda sparsity: DSpar(sparsity=sparsity, reweight=False, seed=20011),
    lambda sparsity: LocalDegree(sparsity=sparsity),
    lambda sparsity: KNeighbor(sparsity=sparsity, seed=71993),
    lambda sparsity: EffectiveResistance(sparsity, method="stream", seed=71993),
]
BOTH = {RandomEdge, DSpar, LocalDegree, KNeighbor, EffectiveResistance}
SPARSITIES = [0.0, 0.3, 0.9, 0.999]


def in_blocks(monkeypatch, size):
    def few(*_args, **_options):
        return size

    monkeypatch.setattr("gsparse.transforms.out_of_core.edges_within", few)


def entries(data):
    """Return {(u, v): weight} of all entries of a graph without parallel edges."""
    weight = data.get("edge_weight")
    values = [None] * data.num_edges if weight is None else weight.tolist()
    found = dict(zip(map(tuple, data.edge_index.t().tolist()), values, strict=True))
    assert len(found) == data.num_edges
    return found


@pytest.mark.parametrize("size", [3, 13, 10_000])
@pytest.mark.parametrize("kind", ["plain", "counted", "weighted"])
@pytest.mark.parametrize("make", METHODS, ids=lambda it: repr(it(0.5)))
def test_both_engines_keep_the_same_edges(tmp_path, monkeypatch, make, kind, size):
    in_blocks(monkeypatch, size)
    graph = messy_graph(46091, weighted=kind == "weighted", copies=kind != "plain")
    if kind == "weighted":  # degrees that depend on the order of their sums
        graph.edge_weight = graph.edge_weight**12 / 3
    if kind == "plain":
        graph.edge_index = graph.edge_index.unique(dim=1)
    folder = convert_graph(graph, tmp_path / "g")
    assert folder.is_weighted == (kind != "plain")
    for sparsity in SPARSITIES:
        transform = make(sparsity)
        cut = sparsify_folder(folder, tmp_path / f"{sparsity}", transform)
        data = cut.data()
        assert entries(data) == entries(transform(folder.data()))
        assert cut.num_nodes == graph.num_nodes
        assert cut.num_loops == folder.num_loops
        assert cut.num_pairs == folder.num_pairs - round(sparsity * folder.num_pairs)
        open_graph(cut.path, verify=True)


@pytest.mark.parametrize("weighted", [False, True])
def test_degrees_are_equal_in_every_bit(tmp_path, weighted):
    graph = messy_graph(46091, num_pairs=2000, weighted=weighted)
    if weighted:
        graph.edge_weight = graph.edge_weight**20 / 3
    folder = convert_graph(graph, tmp_path / "g")
    data = folder.data()
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    expected = degree(pairs, pair_weight(data.edge_index, data.edge_weight, pairs))
    assert PairStream(folder, 7, tmp_path).degree().equal(expected)


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_number_of_neighbours(tmp_path, monkeypatch, k, weighted):
    in_blocks(monkeypatch, 11)
    folder = convert_graph(messy_graph(5003, weighted=weighted), tmp_path / "g")
    transform = KNeighbor(k=k, seed=8887)
    cut = sparsify_folder(folder, tmp_path / "cut", transform)
    assert entries(cut.data()) == entries(transform(folder.data()))
    assert cut.num_pairs < folder.num_pairs


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("size", [1, 4, 100])
def test_ranks_of_nodes_by_their_definition(tmp_path, size, shared):
    folder = convert_graph(messy_graph(60293), tmp_path / "g")
    (tmp_path / "scratch").mkdir()
    stream = PairStream(folder, size, tmp_path / "scratch")

    def keys(block):  # with many equal ones
        row, col = block.pairs.row, block.pairs.col
        return ((row * col) % 5).double(), ((row + col) % 4).double()

    ranks = NodeRanks(stream, stream.degree(weighted=False), keys, shared=shared)
    of_node, found = {}, []
    for block in stream.blocks("test"):
        row, col = block.pairs.row.tolist(), block.pairs.col.tolist()
        every = zip(*keys(block), *ranks.read(block), strict=True)
        for u, v, (first, second, at_u, at_v) in zip(row, col, every, strict=True):
            of_node.setdefault(u, []).append((first.item(), 0, u, v))
            of_node.setdefault(v, []).append((second.item(), 1, u, v))
            found.append((u, v, at_u.item(), at_v.item()))
    for u, v, at_u, at_v in found:
        for node, rank, larger in ((u, at_u, 0), (v, at_v, 1)):
            mine = next(it for it in of_node[node] if it[1:] == (larger, u, v))
            before = [it for it in of_node[node] if it < mine]
            if shared:
                before = [it for it in before if it[0] < mine[0]]
            assert rank == 1 + len(before)
    assert sorted(it.name for it in (tmp_path / "scratch").iterdir()) == [
        "large",
        "small",
    ]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("make", METHODS, ids=lambda it: repr(it(0.5)))
def test_parallel_edges_stay_or_go_together(tmp_path, monkeypatch, make, weighted):
    """The pairs kept of a list with copies are those kept of the folder."""
    in_blocks(monkeypatch, 17)
    graph = messy_graph(99023, weighted=weighted)
    folder = convert_graph(graph, tmp_path / "g")
    transform = make(0.6)
    kept = transform(graph)
    cut = sparsify_folder(folder, tmp_path / "cut", transform).data()
    assert {*summed(cut)} == {*summed(kept)}
    if kept.get("edge_weight") is not None:
        for pair, weight in summed(kept).items():
            assert summed(cut)[pair] == pytest.approx(weight, rel=1e-5)
    assert undirected_pairs(kept.edge_index, 60).num_pairs == round(
        0.4 * folder.num_pairs
    )


def test_equal_scores_at_the_cut(tmp_path, monkeypatch):
    """All edges of a cycle have the same importance of DSpar."""
    in_blocks(monkeypatch, 5)
    node = torch.arange(40)
    graph = messy_graph(3)
    graph.edge_index = torch.stack([node, node.roll(1)])
    graph.num_nodes = 40
    folder = convert_graph(graph, tmp_path / "g", symmetrize=True)
    monkeypatch.setattr(
        "gsparse.transforms.sampled.pair_uniform",
        lambda pairs, _seed: torch.ones(pairs.num_pairs).double(),
    )
    monkeypatch.setattr(
        "gsparse.edges.sample.pair_uniform",
        lambda pairs, _seed: torch.ones(pairs.num_pairs).double(),
    )
    transform = DSpar(sparsity=0.7, seed=5)
    cut = sparsify_folder(folder, tmp_path / "cut", transform)
    assert entries(cut.data()) == entries(transform(folder.data()))
    assert cut.num_pairs == 12


@pytest.mark.parametrize("make", METHODS, ids=lambda it: repr(it(0.5)))
@pytest.mark.parametrize("num_pairs", [0, 1])
def test_tiny_graphs(tmp_path, make, num_pairs):
    graph = messy_graph(8)
    graph.edge_index = torch.tensor([[0, 1, 2], [1, 0, 2]])[:, 2 - 2 * num_pairs :]
    folder = convert_graph(graph, tmp_path / "g")
    cut = sparsify_folder(folder, tmp_path / "cut", make(0.9))
    assert (cut.num_pairs, cut.num_loops) == (0, 1)


def test_labels_and_notes_go_along(tmp_path):
    graph = messy_graph(4409)
    graph.node_label = [f"n{i}" for i in range(60)]
    folder = convert_graph(graph, tmp_path / "g")
    transform = RandomEdge(0.5, seed=3)
    cut = sparsify_folder(folder.path, tmp_path / "cut", transform)
    assert open_graph(cut.path, verify=True).node_label == graph.node_label
    assert cut.header.made == {"source": "g", "method": repr(transform)}


class TestRefusals:
    @pytest.fixture
    def folder(self, tmp_path):
        return convert_graph(messy_graph(6011), tmp_path / "g")

    @pytest.mark.parametrize(
        ("transform", "text"),
        [
            (EffectiveResistance(0.5), "EffectiveResistance needs method='stream' for"),
            (DSpar(epsilon=0.5), "DSpar with epsilon=0.5 needs the whole graph"),
            (DSpar(0.5, connected=True), "DSpar with connected=True needs the whole"),
        ],
    )
    def test_methods_that_need_the_graph_in_memory(
        self, tmp_path, folder, transform, text
    ):
        with pytest.raises(ValueError, match=text):
            sparsify_folder(folder, tmp_path / "cut", transform)
        assert [it.name for it in tmp_path.iterdir()] == ["g"]

    def test_every_method_works_or_refuses_by_name(self, tmp_path, folder):
        for name, cls in sparsifiers().items():
            transform = cls(sparsity=0.5, **cls.folder_settings)
            assert (cls in BOTH) == (cls.folder_work is not None)
            if cls in BOTH:
                sparsify_folder(folder, tmp_path / name, transform)
                continue
            with pytest.raises(ValueError, match=rf"{name} .*the whole graph in mem"):
                sparsify_folder(folder, tmp_path / name, transform)

    def test_a_bound_below_what_is_possible(self, tmp_path, folder):
        with pytest.raises(ValueError, match=r"must be at least .* \(got 1 MB\)"):
            sparsify_folder(folder, tmp_path / "cut", RandomEdge(0.5), memory="1MB")

    def test_what_is_no_transform(self, tmp_path, folder):
        with pytest.raises(TypeError, match=r"edge sparsifier \(got str\)"):
            sparsify_folder(folder, tmp_path / "cut", "RandomEdge")

    def test_an_existing_target(self, tmp_path, folder):
        with pytest.raises(ValueError, match="must not exist yet"):
            sparsify_folder(folder, tmp_path / "g", RandomEdge(0.5))

    def test_a_transform_takes_no_folder(self, folder):
        with pytest.raises(TypeError, match=r"sparsify_folder\(folder, "):
            RandomEdge(0.5)(folder)


PEAK = """
import sys
import torch
from gsparse.data.folders.memory import status_bytes
from gsparse.deploy import sparsify_folder
from gsparse.transforms import EffectiveResistance

torch.set_num_threads(1)
source, target, memory = sys.argv[1:]
transform = EffectiveResistance(0.5, method="stream", seed=3)
sparsify_folder(source, target, transform, memory=int(memory))
print(status_bytes("VmHWM"))
"""


def test_the_peak_of_resistances_is_within_the_bound(tmp_path):
    """Vectors of so few nodes come from the heap, which holds more than is used."""
    if status_bytes("VmHWM") is None:
        pytest.skip("this system hides the peak of a process")
    generator = torch.Generator().manual_seed(3)
    edge_index = torch.randint(300_000, (2, 1_500_000), generator=generator)
    convert_graph([edge_index], tmp_path / "g", symmetrize=True, copies="one")

    def run(memory):
        call = [sys.executable, "-c", PEAK, tmp_path / "g", tmp_path / "cut", memory]
        return subprocess.run(list(map(str, call)), capture_output=True, text=True)

    refused = run(10**6).stderr
    least = parse_bytes(re.search(r"at least ([\d.]+ MB)", refused)[1])
    done = run(least)
    assert not done.returncode, done.stderr
    assert int(done.stdout) <= least


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    folder = convert_graph(messy_graph(6011), tmp_path / "g")
    with monkeypatch.context() as patch:

        def stop(*_args):
            raise KeyboardInterrupt

        patch.setattr("gsparse.transforms.out_of_core._cut", stop)
        with pytest.raises(KeyboardInterrupt):
            sparsify_folder(folder, tmp_path / "cut", RandomEdge(0.5))
    assert [it.name for it in tmp_path.iterdir()] == ["g"]
    (tmp_path / ".cut.part" / "scratch").mkdir(parents=True)  # of a killed process
    for name in ("indices.npy", "old.npy"):
        (tmp_path / ".cut.part" / name).write_bytes(b"half")
    cut = sparsify_folder(folder, tmp_path / "cut", RandomEdge(0.5))
    assert {it.name for it in cut.path.iterdir()} == {
        "header.json",
        *cut.header.files,
    }
    assert sorted(it.name for it in tmp_path.iterdir()) == ["cut", "g"]

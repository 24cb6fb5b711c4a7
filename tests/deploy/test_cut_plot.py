"""Drawings show the edges that are there, at the same places before and after."""

import sys

import pytest
import torch
from torch_geometric.data import Batch, Data

from gsparse.data import barbell, karate, planted_partition, star
from gsparse.deploy import plot_cut
from gsparse.deploy.cut_drawing import COLORS
from gsparse.deploy.cut_plot import KEPT, OTHERS, REMOVED
from gsparse.deploy.graph_layout import layout, sample_nodes
from gsparse.edges import undirected_pairs
from gsparse.transforms import LocalDegree, RandomEdge

pytest.importorskip("matplotlib")
LARGE = planted_partition(500, num_classes=10, seed=59407)


def pairs_of(data):
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    return torch.stack([pairs.row, pairs.col])


def lines(axes):
    """Return the drawn lines by colour."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_hex

    return {
        to_hex(it.get_colors()[0]): [tuple(map(tuple, s)) for s in it.get_segments()]
        for it in axes.collections
        if isinstance(it, LineCollection)
    }


def dots(axes):
    (found,) = (it for it in axes.collections if hasattr(it, "get_sizes"))
    return found


def test_every_edge_is_drawn_where_its_nodes_are():
    data = karate()
    thin = RandomEdge(sparsity=0.5, seed=7)(data)
    figure = plot_cut(data, thin)
    left, right = figure.axes
    place = torch.tensor(dots(left).get_offsets())
    assert place.equal(torch.tensor(dots(right).get_offsets()))

    def ends(graph):
        return {tuple(map(tuple, place[it].tolist())) for it in pairs_of(graph).t()}

    assert {*lines(left)[KEPT]} == ends(thin)
    assert {*lines(left)[REMOVED]} == ends(data) - ends(thin)
    assert {*lines(right)} == {KEPT}
    assert {*lines(right)[KEPT]} == ends(thin)
    assert [it.get_text() for it in left.texts] == [str(it) for it in range(34)]


def test_titles_count_the_whole_graph():
    thin = LocalDegree(sparsity=0.25)(LARGE)
    figure = plot_cut(LARGE, thin, max_nodes=50)
    before, after = (pairs_of(it).size(1) for it in (LARGE, thin))
    left, right = figure.axes
    assert left.get_title(loc="left") == f"Before: {before:,} edges"
    assert right.get_title(loc="left") == f"After: {after:,} edges, 25 % removed"
    for axes, graph in ((left, LARGE), (right, thin)):
        u, v = LARGE.y[pairs_of(graph)]
        share = 100 * (u == v).double().mean()
        assert axes.get_title(loc="right") == f"{share:.0f} % within a class"
    shown = {color: len(found) for color, found in lines(left).items()}
    assert figure.get_supxlabel() == (
        f"drawn: 50 of 500 nodes and all {sum(shown.values())} edges between them, of "
        f"which {shown[KEPT]} are kept; the titles count the whole graph"
    )


def test_dense_graphs_show_some_edges():
    figure = plot_cut(LARGE, LARGE, max_nodes=200, max_edges=30)
    assert sum(map(len, lines(figure.axes[0]).values())) == 30
    assert "nodes and 30 of the " in figure.get_supxlabel()


@pytest.mark.parametrize("num_classes", [3, 7, 10])
def test_colours_of_classes(num_classes):
    from matplotlib.colors import to_hex

    data = planted_partition(80, num_classes=num_classes, seed=11)
    data.y[:20] = num_classes - 1  # the most frequent one
    figure = plot_cut(data, data, names=[f"name {it}" for it in range(num_classes)])
    texts = [it.get_text() for it in figure.legends[0].texts]
    found = [to_hex(it) for it in dots(figure.axes[0]).get_facecolors()]
    for node in range(80):
        name = f"name {int(data.y[node])}"
        shown = name in texts
        assert found[node] == (COLORS[texts.index(name)] if shown else OTHERS)
    assert ("other classes" in texts) == (num_classes > len(COLORS))
    assert texts[-2:] == ["kept", "removed"]
    if num_classes > len(COLORS):
        assert texts[0] == f"name {num_classes - 1}"


def test_graphs_without_classes_or_edges(tmp_path):
    before = "matplotlib.pyplot" in sys.modules  # by another test
    single = Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=1)
    targets = karate()
    targets.y = torch.rand(34)
    for data in (star(5), barbell(4), single, targets):
        figure = plot_cut(data, data)
        assert figure.axes[0].get_title(loc="right") == ""
        figure.savefig(tmp_path / "cut.png")
    assert (tmp_path / "cut.png").read_bytes()[:4] == b"\x89PNG"
    # No window, no global state.
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_what_is_no_cut_is_refused():
    data = karate()
    with pytest.raises(ValueError, match=r"the 34 nodes of 'before' \(got 5\)"):
        plot_cut(data, star(4))
    more = data.clone()
    more.edge_index = torch.cat([data.edge_index, torch.tensor([[9, 4], [4, 9]])], 1)
    with pytest.raises(ValueError, match=r"\(got 1 others, such as 4 - 9\)"):
        plot_cut(data, more)
    with pytest.raises(TypeError, match=r"must be one homogeneous graph"):
        plot_cut(Batch.from_data_list([data]), data)
    with pytest.raises(ValueError, match=r"a name for each of 2 classes \(got 1\)"):
        plot_cut(data, data, names=["one"])
    with pytest.raises(ValueError, match=r"'max_nodes' must be at least 1 \(got 0\)"):
        plot_cut(data, data, max_nodes=0)


def test_positions_do_not_depend_on_threads():
    pairs = pairs_of(planted_partition(190, num_classes=3, seed=29))
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(layout(pairs, 190, seed=71))
    assert found[0].equal(found[1])
    torch.set_num_threads(1)
    assert not found[0].equal(layout(pairs, 190, seed=72))
    assert found[0].abs().max() == pytest.approx(1.0)
    assert torch.pdist(found[0]).min() > 0


def test_neighbours_are_drawn_near_each_other():
    data = barbell(9)
    place, pairs = layout(pairs_of(data), 18, seed=5), pairs_of(data)
    bridge = pairs.sum(0) == 17
    near = (place[pairs[0]] - place[pairs[1]]).norm(dim=1)[~bridge].mean()
    assert near < 0.5 * torch.cdist(place[:9], place[9:]).min()


@pytest.mark.parametrize("most", [1, 20, 499])
def test_a_part_is_connected_to_its_first_node(most):
    pairs = pairs_of(LARGE)
    nodes = sample_nodes(pairs, 500, most, seed=23)
    assert nodes.numel() == most
    assert nodes.equal(nodes.unique())
    inside = torch.isin(pairs, nodes).all(0)
    reached = {int(nodes[0])}
    for _ in range(most):
        for u, v in pairs[:, inside].t().tolist():
            if (u in reached) != (v in reached):
                reached |= {u, v}
    degree = torch.bincount(pairs.flatten(), minlength=500)
    assert reached == {*nodes.tolist()} or bool((degree[nodes] == 0).any())


def test_nodes_without_edges_come_last():
    pairs = torch.tensor([[0, 7], [1, 8]])
    assert sample_nodes(pairs, 9, most=4, seed=5).tolist() == [0, 1, 7, 8]
    assert sample_nodes(pairs, 9, most=5, seed=5).numel() == 5

"""The spanning forest of largest total score."""

import networkx
import pytest
import torch

from gsparse.data import random_graph
from gsparse.edges import undirected_pairs
from gsparse.linalg.forest import spanning_forest


@pytest.mark.parametrize("p", [0.03, 0.1, 0.5])
def test_it_is_the_maximum_spanning_forest(p):
    """Of scores that are all different it is unique; some of them are negative."""
    data = random_graph(num_nodes=40, p=p, seed=88519)
    pairs = undirected_pairs(data.edge_index, 40)
    generator = torch.Generator().manual_seed(88520)
    score = torch.randn(pairs.num_pairs, generator=generator, dtype=torch.float64)
    graph = networkx.Graph()
    ends = list(zip(pairs.row.tolist(), pairs.col.tolist(), strict=True))
    for (u, v), value in zip(ends, score.tolist(), strict=True):
        graph.add_edge(u, v, weight=value)
    expected = networkx.maximum_spanning_edges(graph, data=False)
    keep = spanning_forest(pairs.row, pairs.col, score, 40)
    found = {end for end, kept in zip(ends, keep.tolist(), strict=True) if kept}
    assert found == {tuple(sorted(edge)) for edge in expected}


def test_ties_go_to_the_first_edge():
    row, col = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2])
    keep = spanning_forest(row, col, torch.zeros(3), num_nodes=3)
    assert keep.tolist() == [True, True, False]

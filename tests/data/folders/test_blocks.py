"""Graph folders from blocks of edges."""

import pytest
import torch

from gsparse.data import convert_graph
from tests.data.folders.messy import messy_graph

EDGE = torch.tensor([[0, 1], [1, 0]])


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_blocks_are_the_graph_that_they_are_parts_of(tmp_path, size):
    graph = messy_graph(8101)
    expected = convert_graph(graph, tmp_path / "whole")
    blocks = graph.edge_index.split(size, dim=1)
    found = convert_graph(iter(blocks), tmp_path / "blocks")
    for name in ("num_pairs", "num_loops", "is_weighted"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.num_nodes == int(graph.edge_index.max()) + 1
    for ours, theirs in zip(found.blocks(), expected.blocks(), strict=True):
        assert torch.equal(ours.row, theirs.row)
        assert torch.equal(ours.col, theirs.col)


def test_options_hold_for_blocks(tmp_path):
    block = torch.tensor([[0, 1, 0], [1, 2, 1]], dtype=torch.int32)
    with pytest.raises(ValueError, match="the blocks"):
        convert_graph([block], tmp_path / "g")
    found = convert_graph([block], tmp_path / "g", symmetrize=True, copies="one")
    assert (found.num_pairs, found.is_weighted) == (2, False)


@pytest.mark.parametrize(
    ("blocks", "error", "text"),
    [
        (5, TypeError, r"'source' must be a graph, a path or an iterable .* \(got int"),
        ([[0, 1]], TypeError, r"shape \[2, n\] \(got list as block 0\)"),
        (
            [torch.zeros(2, 2, dtype=torch.long), torch.zeros(2, 2)],
            ValueError,
            "block 1",
        ),
        ([EDGE[[0, 0, 1]]], ValueError, r"block 0: .*\[2, E\]"),
        ([-EDGE], ValueError, "block 0: "),
        (EDGE, ValueError, r"block 0: .*\[2, E\]"),
    ],
)
def test_what_is_no_block(tmp_path, blocks, error, text):
    with pytest.raises(error, match=text):
        convert_graph(blocks, tmp_path / "g")
    assert not list(tmp_path.iterdir())


def test_blocks_have_no_names(tmp_path):
    with pytest.raises(ValueError, match="relabel=True needs a graph or a file"):
        convert_graph(
            [torch.zeros(2, 1, dtype=torch.long)], tmp_path / "g", relabel=True
        )


def test_an_error_of_the_caller_leaves_nothing(tmp_path):
    def broken():
        yield EDGE
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        convert_graph(broken(), tmp_path / "g")
    found = convert_graph([2 * EDGE], tmp_path / "g")
    assert found.num_pairs == 1  # not two: nothing of the first call is used

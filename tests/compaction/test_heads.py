"""Merged output heads of a GAT."""

from dataclasses import replace

import pytest
import torch

from gsparse.compaction import with_output_heads
from gsparse.data import planted_partition
from gsparse.train import recipe


@pytest.mark.parametrize("left", [1, 2])
def test_equal_output_heads_become_one(left):
    """Pairs of equal heads, or four; the outputs stay."""
    chosen, data = recipe("digits", "gat"), planted_partition(60, 3, seed=31847)
    chosen = replace(chosen, options=chosen.options | {"output_heads": 4})
    dense, example = chosen.build(data, 40213), (data.x, data.edge_index)
    last = dense.layers[1]
    with torch.no_grad():
        for parts in (last.lin.weight.view(4, -1), last.att_src[0], last.att_dst[0]):
            parts.copy_(parts[:left].repeat_interleave(4 // left, 0))
        small = with_output_heads(dense, example, left)
        wanted = dense.eval()(*example)
        torch.testing.assert_close(small.eval()(*example), wanted)
    assert (small.layers[1].heads, dense.layers[1].heads) == (left, 4)
    with pytest.raises(ValueError, match=r"must divide the 4 there are \(got 3\)"):
        with_output_heads(dense, example, 3)

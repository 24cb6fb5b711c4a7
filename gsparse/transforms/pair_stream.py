"""Pairs of a graph folder, read in blocks as often as needed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gsparse.data import EdgeBlock, GraphFolder
from gsparse.data.folders.sources import Report
from gsparse.edges import Pairs
from gsparse.edges.row_blocks import RowBlock
from gsparse.edges.streamed_select import Cut, Keeper, ScoredPairs, find_cut
from gsparse.linalg.stream_columns import Alone, Split


class PairBlock(NamedTuple):
    """A block of stored edges, and the pairs in it, which are not self-loops.

    ``start`` is the number of pairs before the block.

    Shapes:
        - **is_pair:** :math:`(n,)`
        - **weight:** :math:`(M,)`, float64, or None if all weights are 1
    """

    stored: EdgeBlock
    is_pair: Tensor
    pairs: Pairs
    weight: Tensor | None
    start: int


BlockImportance = Callable[[PairBlock], Tensor]
"""Return the importances of the pairs of a block."""


class PairStream:
    """Passes over the pairs of a graph folder in canonical order.

    Args:
        folder: The graph.
        size: Number of edges of a block.
        scratch: Folder for temporary files, which the caller removes.
        report: Called with the progress of every pass.
        split: Processes that share the work where a method can divide it.
    """

    def __init__(
        self,
        folder: GraphFolder,
        size: int,
        scratch: Path,
        report: Report | None = None,
        split: Split | None = None,
    ) -> None:
        self.folder, self.size, self.scratch = folder, size, scratch
        self.split: Split = Alone() if split is None else split
        self._report = report
        self.num_nodes, self.num_pairs = folder.num_nodes, folder.num_pairs

    def blocks(self, name: str) -> Iterator[PairBlock]:
        """Begin a new pass over all edges.

        Args:
            name: Name of the pass for the progress.
        """
        done = start = 0
        for stored in self.folder.blocks(self.size):
            row, col, weight = stored
            is_pair = row != col
            if not is_pair.all():
                row, col = row[is_pair], col[is_pair]
                weight = None if weight is None else weight[is_pair]
            pairs = Pairs(row, col, row.new_empty(0), self.num_nodes)
            double = None if weight is None else weight.double()
            yield PairBlock(stored, is_pair, pairs, double, start)
            start += row.numel()
            done += stored.row.numel()
            if self._report is not None:
                self._report(name, done, self.folder.num_stored)

    def passes(self, name: str) -> Iterator[RowBlock]:
        """Begin a new pass over all stored edges as compressed rows.

        Args:
            name: Name of the pass for the progress.
        """
        done = 0
        for block in self.folder.rows(self.size):
            yield block
            done += block.col.size
            if self._report is not None:
                self._report(name, done, self.folder.num_stored)

    def degree(self, *, weighted: bool = True) -> Tensor:
        """Compute the degree of every node without self-loops.

        The numbers are added in the order of :func:`gsparse.transforms.sampled.degree`,
        all larger ends after all smaller ones, so that the sums are equal in every bit.

        Args:
            weighted: Whether to add the weights; otherwise pairs are counted.

        Shapes:
            - **output:** :math:`(N,)`, float64
        """
        out = np.zeros(self.num_nodes)
        if not (weighted and self.folder.is_weighted):  # counts, in any order
            for block in self.blocks("degrees"):
                for ends in (block.pairs.row, block.pairs.col):
                    np.add.at(out, ends.numpy(), 1.0)
            return torch.from_numpy(out)
        for is_small in (True, False):
            for block in self.blocks("degrees"):
                ends = block.pairs.row if is_small else block.pairs.col
                assert block.weight is not None
                np.add.at(out, ends.numpy(), block.weight.numpy())
        return torch.from_numpy(out)


def keep_largest_blocks(
    stream: PairStream, importance: BlockImportance, k: int, *, hash_ties: bool
) -> "KeptBlocks":
    """Find the ``k`` pairs of largest importance, which are fewer than all.

    Args:
        stream: Pairs to choose from.
        importance: Computes the importances of a block.
        k: Number of pairs to keep.
        hash_ties: Whether the tie breaker of the pairs decides between equal ones;
            otherwise the first are kept.
    """

    def score(block: PairBlock) -> ScoredPairs:
        return ScoredPairs(block.pairs, importance(block))

    def scored() -> Iterator[ScoredPairs]:
        return map(score, stream.blocks("threshold"))

    cut = find_cut(scored, k, hash_ties=hash_ties)
    return KeptBlocks(score, cut)


class KeptBlocks:
    """Tell which pairs of a block are kept; the blocks come in canonical order.

    Args:
        score: Computes the scores of a block.
        cut: Where the kept pairs end.
    """

    def __init__(self, score: Callable[[PairBlock], ScoredPairs], cut: Cut) -> None:
        self._score, self._keeper = score, Keeper(cut)
        self.threshold = cut.value
        """Largest score of a pair that is not kept, if one is left."""

    def __call__(self, block: PairBlock) -> Tensor:
        """Return which pairs are kept.

        Shapes:
            - **output:** :math:`(M,)`
        """
        return self._keeper.keep(self._score(block))

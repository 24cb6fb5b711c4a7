"""Rank the edges of every node of a graph folder in files.

The edges at both ends are divided into buckets of consecutive nodes, so that a bucket
fits into memory. Within a bucket, edges are ranked and stay in their order, so that the
ranks can be read back in the order of the pairs.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gsparse.transforms.pair_stream import PairBlock, PairStream

Keys = Callable[[PairBlock], tuple[Tensor, Tensor]]
"""Return the key of each pair at its smaller and at its larger end."""

SIDES = ("small", "large")
_ENTRY = np.dtype([("node", "<i8"), ("key", "<f8")])


class NodeRanks:
    """Ranks of the pairs among the pairs of each of their ends.

    Args:
        stream: Pairs to rank.
        degree: Number of pairs of each node.
        keys: Computes the keys of a block; the smallest key of a node has rank 1.
        shared: Whether equal keys of a node share the smallest of their ranks.
            Otherwise, pairs in which the node is the smaller end come first, then those
            earlier in the canonical order.

    Shapes:
        - **degree:** :math:`(N,)`
    """

    def __init__(
        self, stream: PairStream, degree: Tensor, keys: Keys, *, shared: bool
    ) -> None:
        self._scratch = stream.scratch
        self._bounds = _bucket_bounds(degree.numpy(), 2 * stream.size)
        for block in stream.blocks("dividing"):
            for part in self._parts(block, keys(block)):
                with self._path(part.side, part.bucket).open("ab") as file:
                    part.entries.tofile(file)
        for bucket in range(len(self._bounds) - 1):
            self._rank(bucket, shared)
        self._join(stream)

    def read(self, block: PairBlock) -> tuple[Tensor, Tensor]:
        """Return the ranks of the pairs of a block at their smaller and larger ends.

        Shapes:
            - **outputs:** :math:`(M,)`, int64
        """
        count = block.pairs.num_pairs
        small, large = (
            torch.from_numpy(
                np.fromfile(self._scratch / side, "<i8", count, offset=8 * block.start)
            )
            for side in SIDES
        )
        return small, large

    def _parts(
        self, block: PairBlock, keys: tuple[Tensor, Tensor] | None
    ) -> Iterator["_Part"]:
        """Divide both ends of the pairs of a block into buckets."""
        ends = (block.pairs.row, block.pairs.col)
        for place, side in enumerate(SIDES):
            node = ends[place].numpy()
            bucket = np.searchsorted(self._bounds, node, side="right") - 1
            order = np.argsort(bucket, kind="stable")
            entries = np.empty(node.size if keys is not None else 0, _ENTRY)
            if keys is not None:
                entries["node"] = node[order]
                entries["key"] = keys[place].numpy()[order]
            cuts = np.flatnonzero(np.diff(bucket[order])) + 1
            starts = [0, *cuts.tolist(), node.size]
            for start, stop in itertools.pairwise(starts):
                if start < stop:
                    where = order[start:stop]
                    some = entries[start:stop]
                    yield _Part(side, int(bucket[where[0]]), where, some)

    def _rank(self, bucket: int, shared: bool) -> None:
        """Replace the entries of a bucket by their ranks."""
        paths = [self._path(side, bucket) for side in SIDES]
        sides = [
            np.fromfile(path, _ENTRY) if path.exists() else np.empty(0, _ENTRY)
            for path in paths
        ]
        entries = np.concatenate(sides)
        ranks = _ranks_within(entries["node"], entries["key"], shared)
        for path, part in zip(paths, np.split(ranks, [sides[0].size]), strict=True):
            path.unlink(missing_ok=True)
            if part.size:
                part.tofile(path)

    def _join(self, stream: PairStream) -> None:
        """Write the ranks of all pairs in their order."""
        read = {
            (side, bucket): 0
            for side in SIDES
            for bucket in range(len(self._bounds) - 1)
        }
        for side in SIDES:
            (self._scratch / side).touch()
        for block in stream.blocks("ranking"):
            out = {side: np.empty(block.pairs.num_pairs, "<i8") for side in SIDES}
            for side, bucket, where, _ in self._parts(block, None):
                start = read[side, bucket]
                path = self._path(side, bucket)
                out[side][where] = np.fromfile(
                    path, "<i8", where.size, offset=8 * start
                )
                read[side, bucket] = start + where.size
            for side in SIDES:
                with (self._scratch / side).open("ab") as file:
                    out[side].tofile(file)
        for side, bucket in read:
            self._path(side, bucket).unlink(missing_ok=True)

    def _path(self, side: str, bucket: int) -> Path:
        return self._scratch / f"{side}-{bucket}"


class _Part(NamedTuple):
    """Pairs of a block with an end in a bucket, and their places in the block."""

    side: str
    bucket: int
    where: NDArray[np.int64]
    entries: NDArray[Any]


def _bucket_bounds(degree: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Divide the nodes so that the edges of a bucket are at most ``size``, or a node's.

    Returns:
        First node of every bucket, and the number of nodes.
    """
    reached = np.cumsum(degree)
    bounds, edges = [0], 0.0
    while bounds[-1] < degree.size:
        stop = int(np.searchsorted(reached, edges + size, side="right"))
        stop = min(max(stop, bounds[-1] + 1), degree.size)
        bounds.append(stop)
        edges = float(reached[stop - 1])
    return np.array(bounds)


def _ranks_within(
    node: NDArray[np.int64], key: NDArray[np.float64], shared: bool
) -> NDArray[np.int64]:
    """Return the rank of each entry among those of its node, 1 for the smallest key."""
    order = np.argsort(key, kind="stable")
    order = order[np.argsort(node[order], kind="stable")]
    place = np.arange(order.size)
    of = node[order]
    new = np.ones(order.size, dtype=bool)
    np.not_equal(of[1:], of[:-1], out=new[1:])
    rank = place - np.maximum.accumulate(np.where(new, place, 0))
    if shared:
        sorted_key = key[order]
        new[1:] |= sorted_key[1:] != sorted_key[:-1]
        rank = rank[np.maximum.accumulate(np.where(new, place, 0))]
    out = np.empty_like(rank)
    out[order] = rank + 1
    return out

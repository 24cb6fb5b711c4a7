"""ClusterSampler: batches of whole parts of a graph."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data.neighbor_lists import (
    Graph,
    all_entries,
    neighbor_lists,
    places_of,
)
from gsparse.data.partition import partition_nodes
from gsparse.data.random_stream import RandomStream, check_seed
from gsparse.data.sampled_batch import BatchMaker, Rows
from gsparse.edges.hashing import draw_seed


class ClusterSampler:
    r"""Batches of parts of a graph with all edges within, as in the `"Cluster-GCN: An
    Efficient Algorithm for Training Deep and Large Graph Convolutional Networks"
    <https://arxiv.org/abs/1905.07953>`_ paper.

    Example:
        >>> from gsparse.data import ClusterSampler, barbell
        >>> sampler = ClusterSampler(barbell(8), parts=4, batch_size=2, seed=7)
        >>> [batch.num_nodes for batch in sampler]
        [8, 8]

    The nodes are divided once into parts. In each epoch the parts are shuffled and
    ``batch_size`` of them at a time are joined; a batch is their induced subgraph, with
    the edges between them. ``n_id`` are its nodes in ascending order, ``e_id`` the
    positions of its edges in the ``edge_index`` of a ``Data``. Node-level and
    edge-level attributes are those of the graph. The loss is that of the training nodes
    in the batch.

    A batch of an undirected graph is undirected, so every transform and every mask of
    this package works on it. Edges to other batches are missing: the outputs differ
    from those of the full graph.

    Iterating begins a new epoch each time. A batch depends on the parts, the seed, the
    number of the epoch and its own number only.

    Differences from the paper: METIS is replaced by :func:`partition_nodes`, and the
    adjacency matrix of a batch is not normalised anew; the layers do that.

    **When to use it.** For deep networks, whose neighbourhoods are the whole graph, and
    for methods that need an undirected graph.

    **When not to use it.** If parts of a size that fits into memory leave out many
    edges. :class:`NeighborSampler` leaves out none with -1.

    **Cost.** That of :func:`partition_nodes`, once. A batch reads all edges of its
    nodes.

    Args:
        graph: A graph in memory, a :class:`GraphFolder`, or its neighbours.
        parts: Number of parts, or the part of each node.
        batch_size: Number of parts of a batch; the last one may have fewer.
        shuffle: Whether to shuffle the parts in each epoch.
        seed: Random seed of the parts and the shuffles; ``None`` draws one.
        x: Features, in memory or memory-mapped, of which the rows of a batch are read.
        y: Labels.
        transform: Called with each batch, for example a sparsifier.

    Shapes:
        - **parts:** :math:`(N,)`
        - **x:** :math:`(N, F)`, **y:** :math:`(N, *)`

    Raises:
        TypeError: If the graph, the features or the parts are of another kind.
        ValueError: If a number is out of range, or ``parts``, ``x`` or ``y`` does not
            fit.
    """

    def __init__(
        self,
        graph: Graph,
        parts: int | Tensor,
        batch_size: int = 1,
        shuffle: bool = True,
        seed: int | None = None,
        x: Rows | None = None,
        y: Rows | None = None,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"'batch_size' must be positive (got {batch_size})")
        self.seed = draw_seed(seed)
        check_seed(self.seed)
        self.batch_size, self.shuffle, self.transform = batch_size, shuffle, transform
        self.lists = neighbor_lists(graph)
        if isinstance(parts, int):
            source = graph if isinstance(graph, Data) else self.lists
            parts = partition_nodes(source, parts, seed=self.seed)
        found = _check_parts(parts, self.lists.num_nodes)
        self._nodes = np.argsort(found, kind="stable")
        self._ends = np.cumsum(np.bincount(found))
        data = graph if isinstance(graph, Data) else None
        self._maker = BatchMaker(self.lists, data, x, y)
        self.epoch = 0
        """Number of the next epoch; set it to repeat or resume one."""

    @property
    def num_parts(self) -> int:
        """Number of parts."""
        return self._ends.size

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-self.num_parts // self.batch_size)

    def __iter__(self) -> Iterator[Data]:
        epoch = self.epoch
        self.epoch += 1
        for number in range(len(self)):
            yield self._batch(epoch, number)

    def __getitem__(self, number: int) -> Data:
        """Return a batch of epoch ``self.epoch``, which the caller sets.

        The sampler is a data set for worker processes in this way, like
        :class:`NeighborSampler`.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"no batch {number} (there are {len(self)})")
        return self._batch(self.epoch, number)

    def _batch(self, epoch: int, number: int) -> Data:
        order = np.arange(self.num_parts)
        if self.shuffle:
            order = RandomStream(self.seed, epoch).permutation(self.num_parts)
        start = number * self.batch_size
        chosen = order[start : start + self.batch_size]
        nodes = np.concatenate([self._part(it) for it in chosen])
        nodes.sort()
        entries, count = all_entries(self.lists, nodes)
        source = places_of(nodes, self.lists.indices[entries])
        inside = source >= 0
        target = np.repeat(np.arange(nodes.size), count)
        out = self._maker.make(nodes, source[inside], target[inside], entries[inside])
        return out if self.transform is None else self.transform(out)

    def _part(self, part: int) -> NDArray[np.int64]:
        start = self._ends[part - 1] if part else 0
        return self._nodes[start : self._ends[part]]

    def __repr__(self) -> str:
        return (
            f"ClusterSampler(num_parts={self.num_parts}, batch_size={self.batch_size})"
        )


def _check_parts(parts: Tensor, num_nodes: int) -> NDArray[np.int64]:
    if not isinstance(parts, Tensor) or parts.dtype != torch.long:
        raise TypeError(
            "'parts' must be a number or a tensor of int64 (got "
            f"{getattr(parts, 'dtype', type(parts).__name__)})"
        )
    if parts.shape != (num_nodes,) or not num_nodes:
        raise ValueError(
            f"'parts' must have one part per node, {num_nodes} in all (got "
            f"{list(parts.shape)})"
        )
    found = parts.cpu().numpy()
    if found.min() < 0 or (np.bincount(found) == 0).any():
        raise ValueError(
            "'parts' must be numbered from 0, each with a node (got "
            f"{np.unique(found)[:8].tolist()}, ...)"
        )
    return found

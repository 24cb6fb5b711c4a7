"""NeighborSampler: batches of nodes with some of their neighbours."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data.gcn_weights import GcnWeights
from gsparse.data.neighbor_lists import (
    Graph,
    check_nodes,
    draw_entries,
    neighbor_lists,
    places_of,
    random_key,
)
from gsparse.data.random_stream import RandomStream, check_seed
from gsparse.data.sampled_batch import BatchMaker, Rows
from gsparse.edges.hashing import draw_seed


class NeighborSampler:
    r"""Batches of nodes, the seeds, with some of the nodes around them, as in the
    `"Inductive Representation Learning on Large Graphs"
    <https://arxiv.org/abs/1706.02216>`_ paper (GraphSAGE).

    Example:
        >>> import torch
        >>> from gsparse.data import NeighborSampler, star
        >>> data = star(num_leaves=6)
        >>> data.x = torch.arange(7.0).view(7, 1)
        >>> sampler = NeighborSampler(data, [2, 1], batch_size=3, input_nodes=[0, 4],
        ...                           shuffle=False, seed=7)
        >>> for batch in sampler:
        ...     print(batch.n_id[:batch.batch_size], batch.num_sampled_edges)
        tensor([0, 4]) [3, 1]

    Of the edges to each seed, ``num_neighbors[0]`` are drawn without replacement, of
    the edges to each node that they bring ``num_neighbors[1]``, and so on. Each node is
    expanded once. A batch is a ``Data`` as PyG's ``NeighborLoader`` yields it:

    - ``edge_index``, ``n_id``, ``x``, ``y`` and other node-level attributes: the
      sampled nodes, first the seeds, then those of each hop by ascending id. All edges
      point towards the seeds.
    - ``batch_size``, ``input_id``: number of seeds, and their places in
      ``input_nodes``. The loss is that of the first ``batch_size`` rows.
    - ``edge_weight`` if there are weights, ``edge_attr`` and other edge-level
      attributes. ``e_id``: positions in the ``edge_index`` of a ``Data`` (or its
      ``e_id``); a folder has none.
    - ``num_sampled_nodes``, ``num_sampled_edges``: numbers of each hop, for
      ``torch_geometric.utils.trim_to_layer``.

    With -1 in ``num_neighbors`` all edges are taken. A network with as many layers as
    there are hops, all -1, then has its full-graph output at the seeds, if a layer
    reads nothing but the edges to a node (SAGE, GIN, GAT). ``GCNConv`` also divides by
    the degrees of the neighbours, and the last ones have no edges in the batch: use
    ``gcn_norm=True`` and ``GCNConv(normalize=False)``. With fewer neighbours, means
    (SAGE) and attention are computed on a sample; sums (GIN, GraphConv) become smaller.

    Iterating begins a new epoch each time. A batch depends on the seed, the number of
    the epoch and its own number only; see ``__getitem__`` for worker processes.

    **When not to use it.** If the graph fits into memory, training on all of it is more
    accurate and often faster. Deep networks reach most of the graph in each batch: use
    :class:`ClusterSampler`.

    **Cost.** Time and memory of the drawn edges, whatever the degrees are. Of a graph
    on disk only the pages with these edges are read.

    Args:
        graph: A graph in memory, a :class:`GraphFolder`, or its neighbours. For a
            folder, :func:`open_neighbors` writes these beside it first, 8 bytes per
            edge, if they are not there.
        num_neighbors: Number of edges to draw per node in each hop, -1 for all.
        batch_size: Number of seeds of a batch, of all processes together; the last one
            may be smaller.
        input_nodes: Nodes that seeds are taken from, ids or a boolean mask; all by
            default.
        shuffle: Whether to shuffle the seeds in each epoch.
        seed: Random seed; ``None`` draws one.
        x: Features, in memory or memory-mapped (``np.load(path, mmap_mode="r")``), of
            which the rows of a batch are read.
        y: Labels.
        transform: Called with each batch.
        gcn_norm: Whether ``edge_weight`` is :math:`w_{uv} / \sqrt{d_u d_v}`, with the
            degrees of the full graph with self-loops, and batches have these
            self-loops, behind the other edges. If only :math:`k` of :math:`d` edges to
            a node are drawn, their weights are multiplied by :math:`d / k`, so that the
            sum of a layer is right on average. Such batches have no ``e_id`` and no
            other edge-level attributes. All edges are read once to compute the degrees.
        rank: Number of this process, if the seeds of each batch are shared among
            several: it gets ``seeds[rank::world_size]``. If it gets no seed, the batch
            holds one node and has ``batch_size`` 0.
        world_size: Number of processes.

    Shapes:
        - **x:** :math:`(N, F)`, **y:** :math:`(N, *)`

    Raises:
        TypeError: If the graph, the features or the seeds are of another kind.
        ValueError: If a number is out of range, or ``x`` or ``y`` does not fit.
    """

    def __init__(
        self,
        graph: Graph,
        num_neighbors: Sequence[int],
        batch_size: int = 1,
        input_nodes: Tensor | Sequence[int] | None = None,
        shuffle: bool = True,
        seed: int | None = None,
        x: Rows | None = None,
        y: Rows | None = None,
        transform: Callable[[Data], Data] | None = None,
        gcn_norm: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if not num_neighbors or any(int(k) != k or k < -1 for k in num_neighbors):
            raise ValueError(
                "'num_neighbors' must hold a number for each hop, at least 0, or -1 "
                f"for all (got {num_neighbors})"
            )
        if batch_size < 1:
            raise ValueError(f"'batch_size' must be positive (got {batch_size})")
        if not 0 <= rank < world_size:
            raise ValueError(
                f"'rank' must be in [0, world_size) (got {rank} of {world_size})"
            )
        self.seed = draw_seed(seed)
        check_seed(self.seed)
        self.num_neighbors, self.batch_size = [*num_neighbors], batch_size
        self.shuffle, self.transform = shuffle, transform
        self.rank, self.world_size = rank, world_size
        self.lists = neighbor_lists(graph)
        self.input_nodes = check_nodes(input_nodes, self.lists.num_nodes, "input_nodes")
        data = graph if isinstance(graph, Data) else None
        self._maker = BatchMaker(self.lists, data, x, y)
        self._gcn = GcnWeights(self.lists) if gcn_norm else None
        self.epoch = 0
        """Number of the next epoch; set it to repeat or resume one."""
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        """Return the number of batches of an epoch, the same on all ranks."""
        return -(-self.input_nodes.size // self.batch_size)

    def __iter__(self) -> Iterator[Data]:
        epoch = self.epoch
        self.epoch += 1
        for number in range(len(self)):
            yield self._batch(epoch, number)

    def __getitem__(self, number: int) -> Data:
        """Return a batch of epoch ``self.epoch``, which the caller sets.

        The sampler is a data set for worker processes in this way:
        ``DataLoader(sampler, batch_size=None, num_workers=4,
        multiprocessing_context="spawn")``. Its batches are those of iterating.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"no batch {number} (there are {len(self)})")
        return self._batch(self.epoch, number)

    def _batch(self, epoch: int, number: int) -> Data:
        start = number * self.batch_size
        places = self._places(epoch)[start : start + self.batch_size]
        own = places[self.rank :: self.world_size]
        num_seeds = own.size
        if not num_seeds:  # layers need a node
            own = places[:1]
        key = random_key(self.seed, epoch, number)
        out = self._sample(self.input_nodes[own], key)
        out.input_id = torch.from_numpy(own[:num_seeds])
        out.batch_size = num_seeds
        return out if self.transform is None else self.transform(out)

    def _places(self, epoch: int) -> NDArray[np.int64]:
        """Return the places of the seeds in their order of an epoch."""
        if not self.shuffle:
            return np.arange(self.input_nodes.size)
        if self._order is None or self._order[0] != epoch:
            stream = RandomStream(self.seed, epoch)
            self._order = epoch, stream.permutation(self.input_nodes.size)
        return self._order[1]

    def _sample(self, seeds: NDArray[np.int64], key: Tensor) -> Data:
        """Draw the neighbours of some seeds hop by hop."""
        hops, nodes, counts, drawn = [seeds], seeds, [], []
        for k in self.num_neighbors:
            entries, count = draw_entries(self.lists, hops[-1], k, key)
            ends = self.lists.indices[entries].astype(np.int64)
            fresh = np.unique(ends)
            hops.append(fresh[places_of(nodes, fresh) < 0])
            nodes = np.concatenate([nodes, hops[-1]])
            drawn.append((entries, ends))
            counts.append(count)
        entries, ends = (np.concatenate(it) for it in zip(*drawn, strict=True))
        count = np.concatenate(counts)
        source = places_of(nodes, ends)
        target = np.repeat(np.arange(count.size), count)
        weight = None if self._gcn is None else self._gcn.of(nodes, target, entries)
        out = self._maker.make(nodes, source, target, entries, weight)
        out.num_sampled_nodes = [it.size for it in hops]
        out.num_sampled_edges = [it.size for it, _ in drawn]
        return out

    def __repr__(self) -> str:
        return (
            f"NeighborSampler(num_neighbors={self.num_neighbors}, "
            f"batch_size={self.batch_size}, num_seeds={self.input_nodes.size})"
        )

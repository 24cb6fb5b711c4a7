"""Erdős-Rényi graphs with features, classes and masks."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data.random_stream import RandomStream

_GAPS, _WEIGHTS, _FEATURES, _CLASSES, _MASKS = range(5)


def _chosen(num_items: int, p: float, stream: RandomStream) -> NDArray[np.int64]:
    """Choose each of ``range(num_items)`` with probability ``p``, in order."""
    if p == 0 or num_items == 0:
        return np.empty(0, dtype=np.int64)
    if p == 1:
        return np.arange(num_items)
    last, found = -1, []
    while last < num_items:
        # The gap to the next chosen item is geometric.
        batch = int((num_items - last) * p * 1.1) + 16
        gaps = np.floor(np.log1p(-stream.uniform(batch)) / np.log1p(-p)) + 1
        steps = last + np.cumsum(np.minimum(gaps, num_items + 1))
        found.append(steps.astype(np.int64))
        last = int(found[-1][-1])
    items = np.concatenate(found)
    return items[items < num_items]


def _pair_of(item: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pair with number ``item`` in (0, 1), (0, 2), (1, 2), (0, 3), …."""
    col = ((1 + np.sqrt(1 + 8.0 * item)) / 2).astype(np.int64)
    col -= col * (col - 1) // 2 > item  # the root may be rounded up
    return item - col * (col - 1) // 2, col


def both_directions(
    row: NDArray[np.int64], col: NDArray[np.int64], num_nodes: int
) -> Tensor:
    """Build the ``edge_index`` of both directions, sorted by row and column."""
    key = np.concatenate([row * num_nodes + col, col * num_nodes + row])
    key.sort()
    edge_index = np.empty((2, key.size), dtype=np.int64)
    np.divmod(key, max(num_nodes, 1), out=(edge_index[0], edge_index[1]))
    return torch.from_numpy(edge_index)


def random_graph(
    num_nodes: int,
    p: float,
    seed: int,
    *,
    weighted: bool = False,
    num_features: int = 8,
    num_classes: int = 3,
) -> Data:
    r"""Draw a graph that has every pair of nodes with probability ``p`` (Erdős-Rényi).

    Example:
        >>> data = random_graph(num_nodes=30, p=0.2, seed=15737)
        >>> data.is_undirected(), data.has_self_loops()
        (True, False)

    The features ``x`` are normal, the classes ``y`` are uniform, and the masks split
    the nodes 60/20/20. All of them are independent of the edges. Costs
    :math:`O(N + E)` time and memory.

    Args:
        num_nodes: Number of nodes :math:`N`.
        p: Probability of a pair, in [0, 1].
        seed: Random seed. The same seed gives the same graph on every machine.
        weighted: Whether to add ``edge_weight``, uniform in [0.5, 2) and the same for
            both directions of a pair.
        num_features: Number of features :math:`F`.
        num_classes: Number of classes.

    Returns:
        An undirected graph without self-loops; both directions are listed.

    Shapes:
        - **x:** :math:`(N, F)`, **y:** :math:`(N,)`, **masks:** :math:`(N,)`
        - **edge_index:** :math:`(2, E)`, **edge_weight:** :math:`(E,)`
    """
    if num_nodes < 0:
        raise ValueError(f"'num_nodes' must not be negative (got {num_nodes})")
    if not 0 <= p <= 1:
        raise ValueError(f"'p' must be in [0, 1] (got {p})")
    items = _chosen(num_nodes * (num_nodes - 1) // 2, p, RandomStream(seed, _GAPS))
    row, col = _pair_of(items)

    data = Data(edge_index=both_directions(row, col, num_nodes), num_nodes=num_nodes)
    x = RandomStream(seed, _FEATURES).normal(num_nodes * num_features)
    data.x = torch.from_numpy(x.astype(np.float32)).view(num_nodes, num_features)
    y = RandomStream(seed, _CLASSES).integers(num_classes, num_nodes)
    data.y = torch.from_numpy(y)
    if weighted:
        weight = 0.5 + 1.5 * RandomStream(seed, _WEIGHTS).uniform(items.size)
        low, high = np.sort(data.edge_index.numpy(), axis=0)
        pair = np.searchsorted(items, high * (high - 1) // 2 + low)
        data.edge_weight = torch.from_numpy(weight[pair].astype(np.float32))
    rank = torch.from_numpy(RandomStream(seed, _MASKS).permutation(num_nodes))
    data.train_mask = rank < 0.6 * num_nodes
    data.val_mask = (rank >= 0.6 * num_nodes) & (rank < 0.8 * num_nodes)
    data.test_mask = rank >= 0.8 * num_nodes
    return data

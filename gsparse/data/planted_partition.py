"""Random graphs with planted classes: a node classification task of any size."""

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data.chung_lu import (
    Nodes,
    check_num_pairs,
    distinct_pairs,
    power_law_degrees,
)
from gsparse.data.erdos_renyi import both_directions
from gsparse.data.random_stream import RandomStream
from gsparse.data.splits import split
from gsparse.data.weighted_draw import WeightedNodes

# Even numbers, because ``distinct_pairs`` uses odd ones.
_LABELS, _CLASSES, _WORDS = 2, 4, 6


def _bag_of_words(
    y: Nodes,
    num_classes: int,
    num_features: int,
    words: int,
    signal: float,
    seed: int,
    sparse: bool,
) -> Tensor:
    """Draw ``words`` words per node, a fraction ``signal`` of them from its class."""
    stream = RandomStream(seed, _WORDS)
    size = y.size * words
    node = np.repeat(np.arange(y.size), words)
    begin = y[node] * num_features // num_classes
    length = (y[node] + 1) * num_features // num_classes - begin
    point = stream.uniform(size)
    topical = stream.uniform(size) < signal
    word = np.where(topical, begin + point * length, point * num_features)
    key = node * num_features + word.astype(np.int64)
    key.sort()
    entries = np.stack(np.divmod(key[np.diff(key, prepend=-1) != 0], num_features))
    x = torch.sparse_coo_tensor(
        torch.from_numpy(entries),
        torch.ones(entries.shape[1]),
        (y.size, num_features),
        is_coalesced=True,
        check_invariants=True,
    )
    return x.to_sparse_csr() if sparse else x.to_dense()


def planted_partition(
    num_nodes: int,
    num_classes: int = 5,
    degree: float = 10.0,
    homophily: float = 0.8,
    num_features: int = 200,
    seed: int = 0,
    *,
    exponent: float = 3.0,
    words_per_node: int = 10,
    signal: float = 0.3,
    sparse_features: bool = False,
) -> Data:
    r"""Draw a graph whose edges and features depend on classes, after the
    degree-corrected model of the `"Stochastic Blockmodels and Community Structure in
    Networks" <https://arxiv.org/abs/1008.3926>`_ paper.

    Example:
        >>> data = planted_partition(num_nodes=500, seed=90371)
        >>> data.num_edges
        5000
        >>> row, col = data.edge_index
        >>> round((data.y[row] == data.y[col]).double().mean().item(), 1)
        0.8

    The first end point of a pair is drawn with probability proportional to its expected
    degree (a power law). So is the second, from the class of the first one with
    probability ``homophily`` and from the other classes otherwise. The classes have the
    same number of nodes (up to one) and of words. In contrast to the paper, the number
    of edges is exact, and a pair drawn twice counts once.

    Costs :math:`O(N + E)` time and memory; ten million edges take seconds.

    Args:
        num_nodes: Number of nodes :math:`N`.
        num_classes: Number of classes, at least 2.
        degree: Mean degree. The number of undirected edges is ``N * degree / 2``,
            rounded.
        homophily: Expected fraction of the edges within a class. With
            ``1 / num_classes`` the edges carry no information.
        num_features: Number of words :math:`F`, at least ``num_classes``.
        seed: Random seed. The same seed gives the same graph on every machine.
        exponent: Exponent of the degree distribution, larger than 2.
        words_per_node: Number of words drawn per node, with replacement.
        signal: Probability that a word is drawn from those of the node's class instead
            of all words. With 0 the features carry no information.
        sparse_features: Whether ``x`` is ``torch.sparse_csr`` instead of dense.

    Returns:
        An undirected graph without self-loops, with ``x``, ``y`` and the masks of the
        split ``"60-20-20"``.

    Shapes:
        - **x:** :math:`(N, F)`, zeros and ones
        - **edge_index:** :math:`(2, E)`
    """
    _check(num_nodes, num_classes, homophily, num_features, signal)
    num_edges = 2 * round(num_nodes * degree / 2)
    num_pairs = check_num_pairs(num_edges, num_nodes)
    expected = power_law_degrees(num_nodes, max(num_edges, 2), exponent)
    expected = expected[RandomStream(seed, _LABELS).permutation(num_nodes)]
    y = RandomStream(seed, _CLASSES).permutation(num_nodes) % num_classes

    # With nodes sorted by class, a class is an interval of the cumulative weight.
    by_class = np.argsort(y, kind="stable")
    nodes = WeightedNodes(expected[by_class])
    last = np.cumsum(np.bincount(y, minlength=num_classes)) - 1
    begin = np.concatenate([[0.0], nodes.cumulative[last]])
    sizes = np.diff(begin)

    def draw(stream: RandomStream, size: int) -> tuple[Nodes, Nodes]:
        u = nodes.at(stream.uniform(size) * nodes.total)
        own = y[by_class[u]]
        inside = stream.uniform(size) < homophily
        span = np.where(inside, sizes[own], nodes.total - sizes[own])
        point = stream.uniform(size) * span
        # Outside the class: skip the interval of the class.
        over = np.where(point >= begin[own], sizes[own], 0.0)
        point += np.where(inside, begin[own], over)
        return by_class[u], by_class[nodes.at(point)]

    row, col = distinct_pairs(draw, num_pairs, num_nodes, seed)
    data = Data(edge_index=both_directions(row, col, num_nodes), num_nodes=num_nodes)
    data.x = _bag_of_words(
        y, num_classes, num_features, words_per_node, signal, seed, sparse_features
    )
    data.y = torch.from_numpy(y)
    return split(data, "60-20-20", seed)


def _check(
    num_nodes: int, num_classes: int, homophily: float, num_features: int, signal: float
) -> None:
    if not 2 <= num_classes <= num_nodes:
        raise ValueError(
            f"'num_classes' must be in [2, {num_nodes}] (got {num_classes})"
        )
    if num_features < num_classes:
        raise ValueError(
            f"'num_features' must be at least {num_classes} (got {num_features})"
        )
    for name, value in (("homophily", homophily), ("signal", signal)):
        if not 0 <= value <= 1:
            raise ValueError(f"'{name}' must be in [0, 1] (got {value})")

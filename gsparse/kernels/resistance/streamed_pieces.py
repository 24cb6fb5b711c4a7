"""Compiled loops that find the pieces of a streamed graph without its bridges.

For the blocks see :mod:`gsparse.kernels.resistance.streamed`.
"""

import numpy as np

from gsparse.kernels.scalar import mix
from gsparse.kernels.threads import jit


@jit()
def join_rows(
    first: int,
    ptr: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    root: np.ndarray,
    forest: np.ndarray,
    length: np.ndarray,
    count: int,
) -> int:
    """Continue a spanning forest by union-find.

    Args:
        first: First row of the block.
        ptr: Places of the rows.
        col: Larger ends.
        weight: Weights, or empty.
        root: Links of the union-find ``[N]``, at first its own number for every node.
        forest: Receives the ends of its edges ``[N - 1, 2]``.
        length: Receives 1 / w of its edges ``[N - 1]``, or empty.
        count: Number of its edges so far.

    Returns:
        The new number of edges of the forest.
    """
    for i in range(ptr.shape[0] - 1):
        u = first + i
        for e in range(ptr[i], ptr[i + 1]):
            v = col[e]
            if v == u or (weight.shape[0] > 0 and not weight[e] > 0):
                continue
            a, b = root[u], root[v]
            while a != root[a]:
                root[a] = root[root[a]]
                a = root[a]
            while b != root[b]:
                root[b] = root[root[b]]
                b = root[b]
            low, high = min(a, b), max(a, b)
            if low != high:  # the smaller node stays the root
                root[high] = low
                forest[count, 0], forest[count, 1] = u, v
                if length.shape[0] > 0:
                    length[count] = 1.0 / weight[e]
                count += 1
            root[u], root[v] = low, low
    return count


@jit()
def root_forest(
    forest: np.ndarray, length: np.ndarray, parent: np.ndarray, above: np.ndarray
) -> np.ndarray:
    """Root every tree of a forest at its smallest node.

    Args:
        forest: Ends of its edges ``[F, 2]``.
        length: Length of each edge, or empty if all are 1.
        parent: Receives the parents ``[N]``, -1 at roots.
        above: Receives the length of the edge to the parent ``[N]``.

    Returns:
        The nodes, parents before children ``[N]``.
    """
    num_nodes = parent.shape[0]
    start = np.zeros(num_nodes + 1, np.int64)
    for f in range(forest.shape[0]):
        start[forest[f, 0] + 1] += 1
        start[forest[f, 1] + 1] += 1
    for u in range(num_nodes):
        start[u + 1] += start[u]
    branch = np.empty(2 * forest.shape[0], parent.dtype)
    for f in range(forest.shape[0]):
        for end in range(2):
            u = forest[f, end]
            branch[start[u]] = f
            start[u] += 1
    # Now start[u] is where the branches of u end, and those of u - 1 do.
    order = np.empty(num_nodes, parent.dtype)
    parent[:], above[:] = -2, 0.0
    count = 0
    for first in range(num_nodes):
        if parent[first] != -2:
            continue
        parent[first], order[count] = -1, first
        done, count = count, count + 1
        while done < count:
            u = order[done]
            done += 1
            for i in range(start[u - 1] if u > 0 else 0, start[u]):
                f = branch[i]
                v = forest[f, 0] + forest[f, 1] - u
                if v != parent[u]:
                    parent[v], order[count] = u, v
                    above[v] = length[f] if length.shape[0] > 0 else 1.0
                    count += 1
    return order


@jit()
def mark_covered(
    first: int,
    ptr: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    seed: np.uint64,
    parent: np.ndarray,
    label: np.ndarray,
) -> None:
    """Add a random label of every entry outside the forest to both of its ends (xor).

    The labels of a subtree then cancel but for those of the entries that leave it.
    """
    for i in range(ptr.shape[0] - 1):
        u = first + i
        own = mix(seed + np.uint64(u))
        for e in range(ptr[i], ptr[i + 1]):
            v = col[e]
            if v == u or (weight.shape[0] > 0 and not weight[e] > 0):
                continue
            if parent[u] != v and parent[v] != u:
                bits = mix(own + np.uint64(v))
                label[u] ^= bits
                label[v] ^= bits


@jit()
def cut_bridges(
    order: np.ndarray,
    parent: np.ndarray,
    label: np.ndarray,
    above: np.ndarray,
    piece: np.ndarray,
) -> tuple[int, float]:
    """Divide the nodes into the pieces that are left without the bridges.

    An edge of the forest is a bridge if no other entry leaves the subtree below it.

    Args:
        order: The nodes, parents before children.
        parent: Parents, -1 at roots.
        label: Labels of :func:`mark_covered`; overwritten.
        above: Length of the edge to the parent; overwritten by the distance to the
            top node of the piece.
        piece: Receives the top node of the piece of every node ``[N]``.

    Returns:
        Number of bridges, and the largest distance.
    """
    for i in range(order.shape[0] - 1, -1, -1):
        v = order[i]
        if parent[v] >= 0:
            label[parent[v]] ^= label[v]
    bridges, deepest = 0, 0.0
    for i in range(order.shape[0]):
        v = order[i]
        up = parent[v]
        if up >= 0 and label[v] != 0:
            piece[v] = piece[up]
            above[v] += above[up]
            deepest = max(deepest, above[v])
        else:
            piece[v], above[v] = v, 0.0
            bridges += up >= 0
    return bridges, deepest


@jit()
def add_strength(
    first: int,
    ptr: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    piece: np.ndarray,
    strength: np.ndarray,
) -> None:
    """Add the weights of the entries that are not bridges to both of their ends."""
    for i in range(ptr.shape[0] - 1):
        u = first + i
        for e in range(ptr[i], ptr[i + 1]):
            v = col[e]
            if v != u and (piece.shape[0] == 0 or piece[u] == piece[v]):
                w = np.float64(weight[e]) if weight.shape[0] > 0 else 1.0
                strength[u] += w
                strength[v] += w

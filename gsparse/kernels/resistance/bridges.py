"""Components and bridges of an undirected graph given by rows."""

import numpy as np

from gsparse.kernels.threads import jit


@jit()
def join(ptr: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the component of every node and a spanning forest by union-find.

    Args:
        ptr: Row pointers ``[N + 1]``.
        indices: Neighbours, ascending in every row, both directions ``[2M]``.

    Returns:
        ``label [N]`` int32, components numbered by their smallest node, and the
        forest ``[F, 3]`` int64: pair number in the order of (smaller, larger) end,
        and the two ends.
    """
    num_nodes = ptr.shape[0] - 1
    root = np.arange(num_nodes).astype(np.int32)
    forest = np.empty((max(num_nodes - 1, 0), 3), np.int64)
    found, pair = 0, -1
    for u in range(num_nodes):
        for e in range(ptr[u], ptr[u + 1]):
            v = indices[e]
            if v < u:
                continue
            pair += 1
            a, b = root[u], root[v]
            while a != root[a]:
                root[a] = root[root[a]]
                a = root[a]
            while b != root[b]:
                root[b] = root[root[b]]
                b = root[b]
            if a != b:  # the smaller node stays the root
                root[max(a, b)] = min(a, b)
                a = min(a, b)
                forest[found, 0], forest[found, 1], forest[found, 2] = pair, u, v
                found += 1
            root[u], root[v] = a, a
    label = np.empty(num_nodes, np.int32)
    count = 0
    for u in range(num_nodes):  # a root is the smallest node of its tree
        if root[u] == u:
            label[u] = count
            count += 1
        else:
            label[u] = label[root[u]]
    return label, forest[:found]


@jit()
def walk(forest: np.ndarray, num_nodes: int) -> tuple[np.ndarray, ...]:
    """Walk a forest from the smallest node of each tree, parents before children.

    Returns:
        ``order [N]`` the nodes in preorder, ``number [N]`` their place in it,
        ``parent [N]`` (-1 at roots) and ``above [N]``, the pair to the parent.
    """
    start = np.zeros(num_nodes + 1, np.int64)
    for f in range(forest.shape[0]):
        start[forest[f, 1] + 1] += 1
        start[forest[f, 2] + 1] += 1
    for u in range(num_nodes):
        start[u + 1] += start[u]
    place = start[:-1].copy()
    branch = np.empty(2 * forest.shape[0], np.int64)
    for f in range(forest.shape[0]):
        for end in (1, 2):
            u = forest[f, end]
            branch[place[u]] = f
            place[u] += 1
    order = np.empty(num_nodes, np.int32)
    number = np.full(num_nodes, -1, np.int32)
    parent = np.full(num_nodes, -1, np.int32)
    above = np.full(num_nodes, -1, np.int64)
    todo = np.empty(num_nodes, np.int32)
    count = 0
    for first in range(num_nodes):
        if number[first] >= 0:
            continue
        todo[0], top = first, 1
        while top:
            top -= 1
            u = todo[top]
            order[count], number[u] = u, count
            count += 1
            for i in range(start[u], start[u + 1]):
                f = branch[i]
                v = forest[f, 1] + forest[f, 2] - u
                if v != parent[u]:
                    parent[v], above[v] = u, forest[f, 0]
                    todo[top] = v
                    top += 1
    return order, number, parent, above


@jit()
def find_bridges(
    ptr: np.ndarray, indices: np.ndarray, forest: np.ndarray, bridge: np.ndarray
) -> None:
    """Mark the pairs whose removal disconnects their ends.

    Tarjan's second bridge algorithm ("A note on finding the bridges of a graph",
    1974), which works with any rooted forest: the branch above v is a bridge when no
    other pair leaves the subtree of v, whose preorder numbers are consecutive.

    Args:
        ptr: Row pointers ``[N + 1]``.
        indices: Neighbours, both directions ``[2M]``.
        forest: A spanning forest, from :func:`join`.
        bridge: Receives the marks ``[M]``, pairs by (smaller, larger) end.
    """
    num_nodes = ptr.shape[0] - 1
    order, number, parent, above = walk(forest, num_nodes)
    low, high = number.copy(), number.copy()
    size = np.ones(num_nodes, np.int32)
    pair, branch = -1, 0
    for u in range(num_nodes):  # ranges reached by pairs outside the forest
        for e in range(ptr[u], ptr[u + 1]):
            v = indices[e]
            if v < u:
                continue
            pair += 1
            if branch < forest.shape[0] and forest[branch, 0] == pair:
                branch += 1
                continue
            low[u], high[u] = min(low[u], number[v]), max(high[u], number[v])
            low[v], high[v] = min(low[v], number[u]), max(high[v], number[u])
    for i in range(num_nodes - 1, -1, -1):  # children before parents
        v = order[i]
        u = parent[v]
        if u < 0:
            continue
        if low[v] >= number[v] and high[v] < number[v] + size[v]:
            bridge[above[v]] = True
        low[u], high[u] = min(low[u], low[v]), max(high[u], high[v])
        size[u] += size[v]

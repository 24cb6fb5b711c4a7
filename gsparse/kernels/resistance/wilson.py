"""Random spanning forests by Wilson's algorithm."""

from typing import NamedTuple

import numpy as np

from gsparse.kernels.scalar import mix
from gsparse.kernels.threads import jit


class Walk(NamedTuple):
    """A network for random walks; weights and tables are empty for unit weights."""

    ptr: np.ndarray  # [n + 1] int64
    nbr: np.ndarray  # [2m] int32, ascending in each list
    pair: np.ndarray  # [2m] int32
    weight: np.ndarray  # [m] float64
    strength: np.ndarray  # [n] float64, sum of the weights at each node
    accept: np.ndarray  # [2m] float32, alias table: stay with probability
    alias: np.ndarray  # [2m] int32, else take this entry of the list
    roots: np.ndarray  # [c] int32, one per component


class Forest(NamedTuple):
    """A rooted spanning forest and its depth-first numbering."""

    parent: np.ndarray  # [n] int32
    parent_slot: np.ndarray  # [n] int32, entry of the list that leads to it
    sequence: np.ndarray  # [n] int32, parents before children
    size: np.ndarray  # [n] int32, nodes below and including
    position: np.ndarray  # [n] int32, preorder number
    node: np.ndarray  # [n] int32, the node at each number
    free: np.ndarray  # [n] int32, scratch
    below: np.ndarray  # [n + 1] int32, scratch: entries between a node and those below
    in_tree: np.ndarray  # [n] uint8


@jit()
def stream_bits(stream: np.uint64, count: int) -> np.uint64:
    """Return the 64 random bits number ``count`` of a stream (splitmix64)."""
    return mix(stream + np.uint64(count) * np.uint64(0x9E3779B97F4A7C15))


@jit()
def empty_forest(num_nodes: int) -> Forest:
    """Allocate memory for one forest."""
    return Forest(
        np.empty(num_nodes, np.int32),
        np.empty(num_nodes, np.int32),
        np.empty(num_nodes, np.int32),
        np.empty(num_nodes, np.int32),
        np.empty(num_nodes, np.int32),
        np.empty(num_nodes, np.int32),
        np.empty(num_nodes, np.int32),
        np.empty(num_nodes + 1, np.int32),
        np.empty(num_nodes, np.uint8),
    )


@jit()
def component_roots(
    ptr: np.ndarray,
    nbr: np.ndarray,
    pair: np.ndarray,
    weight: np.ndarray,
    strength: np.ndarray,
) -> np.ndarray:
    """Return the strongest node of every component, which walks reach soonest.

    Args:
        ptr: Starts of the adjacency lists.
        nbr: Neighbours.
        pair: Pair of each entry.
        weight: Weight of each pair, empty for ones; zero does not connect.
        strength: Sum of the weights at each node.

    Returns:
        One node for each component, isolated ones included, int32.
    """
    n = len(ptr) - 1
    seen = np.zeros(n, np.bool_)
    queue = np.empty(n, np.int32)
    roots = np.empty(n, np.int32)
    count = 0
    for start in range(n):
        if seen[start]:
            continue
        seen[start] = True
        queue[0] = start
        filled, best, k = 1, start, 0
        while k < filled:
            u = queue[k]
            k += 1
            if strength[u] > strength[best]:
                best = u
            for q in range(ptr[u], ptr[u + 1]):
                v = nbr[q]
                if not seen[v] and (len(weight) == 0 or weight[pair[q]] > 0.0):
                    seen[v] = True
                    queue[filled] = v
                    filled += 1
        roots[count] = best
        count += 1
    return roots[:count].copy()


@jit()
def alias_tables(
    ptr: np.ndarray, pair: np.ndarray, weight: np.ndarray, strength: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Build Walker's alias tables for steps proportional to the weights.

    Args:
        ptr: Starts of the adjacency lists.
        pair: Pair of each entry.
        weight: Weight of each pair.
        strength: Sum of the weights at each node.

    Returns:
        Probability to keep each entry (float32), and the entry to take else (int32,
        counted within the list).
    """
    accept = np.ones(len(pair), np.float32)
    alias = np.zeros(len(pair), np.int32)
    longest = 0
    for u in range(len(ptr) - 1):
        longest = max(longest, ptr[u + 1] - ptr[u])
    mass = np.empty(longest)
    small = np.empty(longest, np.int32)
    large = np.empty(longest, np.int32)
    for u in range(len(ptr) - 1):
        begin = ptr[u]
        degree = ptr[u + 1] - begin
        num_small, num_large = 0, 0
        for k in range(degree):
            mass[k] = weight[pair[begin + k]] / strength[u] * degree
            if mass[k] < 1.0:
                small[num_small] = k
                num_small += 1
            else:
                large[num_large] = k
                num_large += 1
        while num_small and num_large:
            num_small -= 1
            k, other = small[num_small], large[num_large - 1]
            accept[begin + k] = mass[k]
            alias[begin + k] = other
            mass[other] -= 1.0 - mass[k]
            if mass[other] < 1.0:
                num_large -= 1
                small[num_small] = other
                num_small += 1
    return accept, alias


@jit()
def grow_forest(walk: Walk, forest: Forest, seed: np.uint64, max_steps: int) -> int:
    r"""Draw a spanning forest with probability proportional to its weight product.

    `"Generating random spanning trees more quickly than the cover time"
    <https://doi.org/10.1145/237814.237880>`_: from every node walk until the tree is
    hit, remember only the last exit of each node (this erases the loops), and add
    the path that remains.

    Args:
        walk: The network.
        forest: Receives ``parent``, ``parent_slot`` and ``sequence``.
        seed: Seed of this forest.
        max_steps: Maximum number of steps.

    Returns:
        The number of steps taken, or -1 if there would have been more.
    """
    ptr, in_tree, parent = walk.ptr, forest.in_tree, forest.parent
    is_weighted = len(walk.alias) > 0
    in_tree[:] = 0
    filled = len(walk.roots)
    for k in range(filled):
        in_tree[walk.roots[k]] = 1
        parent[walk.roots[k]] = -1
        forest.sequence[k] = walk.roots[k]
    draws = 0
    steps = 0
    for start in range(len(parent)):
        u = start
        while not in_tree[u]:
            begin = ptr[u]
            bits = stream_bits(seed, draws)
            draws += 1
            degree = np.uint64(ptr[u + 1] - begin)
            k = begin + np.int64(((bits >> np.uint64(32)) * degree) >> np.uint64(32))
            if is_weighted:
                uniform = np.float64(bits & np.uint64(0xFFFFFFFF)) * 2.0**-32
                if walk.accept[k] < 2.0**-8:  # rare steps need a finer resolution
                    uniform = np.float64(stream_bits(seed, draws)) * 2.0**-64
                    draws += 1
                if uniform >= walk.accept[k]:
                    k = begin + walk.alias[k]
            parent[u] = walk.nbr[k]
            forest.parent_slot[u] = k
            u = walk.nbr[k]
            steps += 1
            if steps > max_steps:
                return -1
        u = start
        first = filled
        while not in_tree[u]:
            in_tree[u] = 1
            forest.sequence[filled] = u
            filled += 1
            u = parent[u]
        last = filled - 1
        while first < last:
            u = forest.sequence[first]
            forest.sequence[first] = forest.sequence[last]
            forest.sequence[last] = u
            first += 1
            last -= 1
    return steps


@jit()
def number_forest(walk: Walk, forest: Forest) -> None:
    """Compute subtree sizes and preorder numbers: nodes below ``u`` form a range."""
    size, position, free = forest.size, forest.position, forest.free
    size[:] = 1
    num_roots = len(walk.roots)
    for k in range(len(size) - 1, num_roots - 1, -1):
        u = forest.sequence[k]
        size[forest.parent[u]] += size[u]
    start = 0
    for k in range(len(size)):
        u = forest.sequence[k]
        if k < num_roots:
            position[u] = start
            start += size[u]
        else:
            p = forest.parent[u]
            position[u] = free[p]
            free[p] += size[u]
        free[u] = position[u] + 1
        forest.node[position[u]] = u

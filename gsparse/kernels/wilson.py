"""Random spanning forests by Wilson's algorithm, and what one forest tells of R."""

from typing import NamedTuple

import numpy as np

from gsparse.kernels.elimination import find
from gsparse.kernels.threads import jit, take_block

#: Looking a descendant up in a sorted list costs about as much as scanning this many.
LOOK_UP = 24
#: Nodes that one thread takes at a time.
NODES = 1024


class Walk(NamedTuple):
    """A network one can walk on; weights and alias tables are empty for ones."""

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
    """64 random bits: number ``count`` of a stream (splitmix64 on a counter)."""
    z = stream + np.uint64(count + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit()
def empty_forest(num_nodes: int) -> Forest:
    """Memory for one forest."""
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
    """The strongest node of every component: walks reach it soonest.

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
    """Walker's tables for steps proportional to the weights.

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
        max_steps: Give up after so many steps.

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
                if walk.accept[k] < 2.0**-8:  # rare steps need finer grains
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
    """Subtree sizes and preorder numbers: the nodes below ``u`` become a range."""
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


@jit(inline="always")
def _look_up_below(walk: Walk, forest: Forest, u: int) -> int:
    """:func:`_pairs_below` for few descendants: look each up among the neighbours."""
    ptr = walk.ptr
    top = forest.position[u]
    count = 0
    for q in range(top + 1, top + forest.size[u]):
        x = forest.node[q]
        if forest.parent[x] == u:
            forest.below[count] = forest.parent_slot[x]
            count += 1
            continue
        if ptr[x + 1] - ptr[x] < ptr[u + 1] - ptr[u]:
            k = find(walk.nbr, ptr[x], ptr[x + 1], u)
        else:
            k = find(walk.nbr, ptr[u], ptr[u + 1], x)
        if k >= 0:
            forest.below[count] = k
            count += 1
    return count


@jit(inline="always")
def _pairs_below(walk: Walk, forest: Forest, u: int) -> int:
    """Collect the entries between ``u`` and its descendants; returns how many.

    Each pair by one of its two entries, that of ``u`` or the other.
    """
    begin, end = walk.ptr[u], walk.ptr[u + 1]
    size = forest.size[u]
    if (size - 1) * LOOK_UP < end - begin or size == 2:
        return _look_up_below(walk, forest, u)
    # Unsigned numbers spare the sign checks; no branch: what is not below is
    # overwritten by the next entry.
    first, span = np.uint32(forest.position[u] + 1), np.uint32(size - 1)
    neighbours = walk.nbr[begin:end]
    count = np.uint64(0)
    for k in range(len(neighbours)):
        forest.below[count] = begin + k
        distance = np.uint32(forest.position[np.uint32(neighbours[k])]) - first
        count += np.uint64(np.uint32(distance) < span)
    return int(count)


@jit()
def add_forest(walk: Walk, forest: Forest, bulk: np.ndarray, less: np.ndarray) -> None:
    r"""Add what one forest says about every resistance (see ``tree_resistance``).

    Given all other parents, the parent of ``u`` is neighbour ``v`` with probability
    :math:`w_{uv} / (d_u - W_u)` unless ``v`` is below ``u``, where :math:`W_u` is the
    weight to all neighbours below. So ``bulk[u]`` grows by :math:`1 / (d_u - W_u)`,
    and ``less`` by the same for the pairs from ``u`` down.

    Args:
        walk: The network.
        forest: A numbered forest.
        bulk: Sums per node ``[n]``.
        less: Sums per entry ``[2m]``; the estimate is
            ``bulk[u] + bulk[v] - less[uv] - less[vu]``.
    """
    is_weighted = len(walk.weight) > 0
    for u in range(len(forest.parent)):  # in memory order, not in tree order
        if forest.parent[u] < 0:
            continue
        if forest.size[u] == 1:
            bulk[u] += 1.0 / walk.strength[u]
            continue
        count = _pairs_below(walk, forest, u)
        if is_weighted:
            rest = walk.strength[u]
            for i in range(count):
                rest -= walk.weight[walk.pair[forest.below[i]]]
            if 2.0 * rest < walk.strength[u]:
                rest = _weight_not_below(walk, forest, u)
        else:
            rest = walk.strength[u] - count
        value = 1.0 / rest
        bulk[u] += value
        for i in range(count):
            less[np.uint32(forest.below[i])] += value


@jit(inline="always")
def _weight_not_below(walk: Walk, forest: Forest, u: int) -> float:
    """Weight from ``u`` to nodes that are not below it, without cancellation."""
    top = forest.position[u]
    rest = 0.0
    for k in range(walk.ptr[u], walk.ptr[u + 1]):
        distance = forest.position[walk.nbr[k]] - top
        if distance < 0 or distance >= forest.size[u]:
            rest += walk.weight[walk.pair[k]]
    return rest


@jit()
def forest_sums(
    counter: np.ndarray,
    walk: Walk,
    seed: np.uint64,
    first: np.ndarray,
    max_steps: int,
    bulk: np.ndarray,
    less: np.ndarray,
    steps: np.ndarray,
) -> None:
    """Sums of :func:`add_forest` over consecutive forests, one block per row.

    Args:
        counter: Block counter of :func:`~gsparse.kernels.threads.run_blocks`.
        walk: The network.
        seed: Forest number ``t`` is drawn from stream ``(seed, t)``.
        first: Block ``b`` draws forests ``first[b] .. first[b + 1]``.
        max_steps: Steps allowed for one forest.
        bulk: Sums per node, zeros ``[blocks, n]``.
        less: Sums per entry, zeros ``[blocks, 2m]``.
        steps: Receives the steps of each block, or -1 if a forest had too many.
    """
    forest = empty_forest(len(walk.ptr) - 1)
    while True:
        block = take_block(counter)
        if block >= len(steps):
            break
        steps[block] = 0
        for tree in range(first[block], first[block + 1]):
            taken = grow_forest(walk, forest, stream_bits(seed, tree), max_steps)
            if taken < 0:
                steps[block] = -1
                return
            steps[block] += taken
            number_forest(walk, forest)
            add_forest(walk, forest, bulk[block], less[block])


@jit()
def forest_means(
    counter: np.ndarray,
    walk: Walk,
    upper: bool,
    count: int,
    bulk: np.ndarray,
    less: np.ndarray,
    out: np.ndarray,
) -> None:
    """Turn the sums of ``count`` forests into the mean estimate of each pair.

    To be called for the entries with the larger neighbour, then for the others: two
    passes, in each of which no two blocks write to the same pair.

    Args:
        counter: Block counter of :func:`~gsparse.kernels.threads.run_blocks`.
        walk: The network.
        upper: Which of the two passes.
        count: Number of forests.
        bulk: Sums per node ``[n]``.
        less: Sums per entry ``[2m]``; zeroed.
        out: Receives the estimates ``[m]``.
    """
    ptr, nbr, pair = walk.ptr, walk.nbr, walk.pair
    while True:
        block = take_block(counter)
        if block * NODES >= len(bulk):
            break
        for u in range(block * NODES, min(len(bulk), (block + 1) * NODES)):
            for k in range(ptr[u], ptr[u + 1]):
                v = nbr[k]
                if upper and v > u:
                    out[pair[k]] = (bulk[u] + bulk[v] - less[k]) / count
                    if less[k] != 0.0:  # clean memory stays clean
                        less[k] = 0.0
                elif not upper and less[k] != 0.0:  # v < u, and few: spare the rest
                    out[pair[k]] -= less[k] / count
                    less[k] = 0.0

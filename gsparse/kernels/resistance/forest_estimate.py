"""Estimates of all effective resistances from random spanning forests."""

import numpy as np

from gsparse.kernels.resistance.pair_csr import find
from gsparse.kernels.resistance.wilson import (
    Forest,
    Walk,
    empty_forest,
    grow_forest,
    number_forest,
    stream_bits,
)
from gsparse.kernels.threads import jit, take_block

#: Finding a descendant in a sorted list costs about as much as scanning this many.
LOOK_UP = 24
#: Nodes that one thread takes at a time.
NODES = 1024


@jit(inline="always")
def _look_up_below(walk: Walk, forest: Forest, u: int) -> int:
    """Run :func:`_pairs_below` by looking up each descendant among the neighbours."""
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
    """Collect the entries between ``u`` and its descendants; return their number.

    Each pair is given by one of its two entries, that of ``u`` or the other.
    """
    begin, end = walk.ptr[u], walk.ptr[u + 1]
    size = forest.size[u]
    if (size - 1) * LOOK_UP < end - begin or size == 2:
        return _look_up_below(walk, forest, u)
    # Unsigned numbers avoid sign checks. There is no branch: an entry that is not
    # below is overwritten by the next one.
    first, span = np.uint32(forest.position[u] + 1), np.uint32(size - 1)
    neighbours = walk.nbr[begin:end]
    count = np.uint64(0)
    for k in range(len(neighbours)):
        forest.below[count] = begin + k
        distance = np.uint32(forest.position[np.uint32(neighbours[k])]) - first
        count += np.uint64(np.uint32(distance) < span)
    return int(count)


@jit(inline="always")
def _weight_not_below(walk: Walk, forest: Forest, u: int) -> float:
    """Sum the weights from ``u`` to nodes that are not below it, in full precision."""
    top = forest.position[u]
    rest = 0.0
    for k in range(walk.ptr[u], walk.ptr[u + 1]):
        distance = forest.position[walk.nbr[k]] - top
        if distance < 0 or distance >= forest.size[u]:
            rest += walk.weight[walk.pair[k]]
    return rest


@jit()
def add_forest(walk: Walk, forest: Forest, bulk: np.ndarray, less: np.ndarray) -> None:
    r"""Add the estimates of one forest for all resistances (see ``tree_resistance``).

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
    """Sum :func:`add_forest` over consecutive forests, one row per block.

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
    block = take_block(counter)
    while block < len(steps):
        steps[block] = 0
        for tree in range(first[block], first[block + 1]):
            taken = grow_forest(walk, forest, stream_bits(seed, tree), max_steps)
            if taken < 0:
                steps[block] = -1
                return
            steps[block] += taken
            number_forest(walk, forest)
            add_forest(walk, forest, bulk[block], less[block])
        block = take_block(counter)


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

    Call it first for the entries with the larger neighbour, then for the others: in
    each of the two passes no two blocks write to the same pair.

    Args:
        counter: Block counter of :func:`~gsparse.kernels.threads.run_blocks`.
        walk: The network.
        upper: Whether this is the first pass.
        count: Number of forests.
        bulk: Sums per node ``[n]``.
        less: Sums per entry ``[2m]``; zeroed.
        out: Receives the estimates ``[m]``.
    """
    ptr, nbr, pair = walk.ptr, walk.nbr, walk.pair
    block = take_block(counter)
    while block * NODES < len(bulk):
        for u in range(block * NODES, min(len(bulk), (block + 1) * NODES)):
            for k in range(ptr[u], ptr[u + 1]):
                v = nbr[k]
                if upper and v > u:
                    out[pair[k]] = (bulk[u] + bulk[v] - less[k]) / count
                    if less[k] != 0.0:  # avoids writes to clean memory
                        less[k] = 0.0
                elif not upper and less[k] != 0.0:  # v < u; most entries are 0
                    out[pair[k]] -= less[k] / count
                    less[k] = 0.0
        block = take_block(counter)

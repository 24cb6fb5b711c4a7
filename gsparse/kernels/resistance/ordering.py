"""Minimum-degree elimination order on the quotient graph."""

from typing import NamedTuple

import numpy as np

from gsparse.kernels.threads import jit

VARIABLE, ELEMENT, DEAD = 0, 1, 2


class Quotient(NamedTuple):
    """Adjacency of nodes not yet eliminated (variables) and eliminated (elements).

    The list of variable ``i`` is ``num_elements[i]`` elements from ``start[i]`` and
    ``num_variables[i]`` variables from ``first_variable[i]``; an element has variables
    only. Hubs keep no variables that anybody reads.
    """

    store: np.ndarray
    start: np.ndarray
    num_elements: np.ndarray
    first_variable: np.ndarray
    num_variables: np.ndarray
    state: np.ndarray
    is_hub: np.ndarray
    mark: np.ndarray  # the last pivot this node was a neighbour of
    outside: np.ndarray  # |L_e \ L_p| ...
    outside_of: np.ndarray  # ... for this pivot p


class Buckets(NamedTuple):
    """Doubly linked lists of the variables of each degree; high degrees have none."""

    degree: np.ndarray
    head: np.ndarray
    following: np.ndarray
    previous: np.ndarray


@jit()
def _unlink(b: Buckets, i: int) -> None:
    if b.degree[i] >= len(b.head):
        return
    if b.following[i] >= 0:
        b.previous[b.following[i]] = b.previous[i]
    if b.previous[i] >= 0:
        b.following[b.previous[i]] = b.following[i]
    else:
        b.head[b.degree[i]] = b.following[i]


@jit()
def _link(b: Buckets, i: int) -> None:
    if b.degree[i] >= len(b.head):
        return
    first = b.head[b.degree[i]]
    b.following[i] = first
    b.previous[i] = -1
    if first >= 0:
        b.previous[first] = i
    b.head[b.degree[i]] = i


@jit()
def _compact(g: Quotient) -> int:
    """Close the gaps that dead lists left; return the first free place."""
    free = 0
    for i in np.argsort(g.start):
        if g.state[i] == DEAD:
            continue
        a, b = g.start[i], g.first_variable[i]
        g.start[i] = free
        for k in range(a, a + g.num_elements[i]):
            g.store[free] = g.store[k]
            free += 1
        g.first_variable[i] = free
        for k in range(b, b + g.num_variables[i]):
            g.store[free] = g.store[k]
            free += 1
    return free


@jit()
def _make_element(g: Quotient, p: int, free: int) -> int:
    """Write L_p, all neighbours of pivot p, at ``free``; return the place after it."""
    begin = free
    g.mark[p] = p
    for k in range(g.start[p], g.start[p] + g.num_elements[p]):
        e = g.store[k]
        for j in range(g.start[e], g.start[e] + g.num_variables[e]):
            x = g.store[j]
            if g.mark[x] != p:
                g.mark[x] = p
                g.store[free] = x
                free += 1
        g.state[e] = DEAD
    a = g.first_variable[p]
    for j in range(a, a + g.num_variables[p]):
        x = g.store[j]
        if g.state[x] == VARIABLE and g.mark[x] != p:
            g.mark[x] = p
            g.store[free] = x
            free += 1
    g.state[p] = ELEMENT
    g.start[p] = begin
    g.first_variable[p] = begin
    g.num_elements[p] = 0
    g.num_variables[p] = free - begin
    return free


@jit()
def _count_outside(g: Quotient, p: int) -> None:
    r"""Count |L_e \ L_p| for every element that shares a variable with L_p."""
    for q in range(g.start[p], g.start[p] + g.num_variables[p]):
        i = g.store[q]
        for k in range(g.start[i], g.start[i] + g.num_elements[i]):
            e = g.store[k]
            if g.state[e] == DEAD:
                continue
            if g.outside_of[e] != p:
                g.outside_of[e] = p
                g.outside[e] = g.num_variables[e]
            g.outside[e] -= 1


@jit()
def _absorb(g: Quotient, i: int, p: int) -> int:
    """Put p into the list of i, drop what p covers, and return a degree bound."""
    bound = 0
    w = g.start[i]
    for k in range(g.start[i], g.start[i] + g.num_elements[i]):
        e = g.store[k]
        if g.state[e] == DEAD:
            continue
        if g.outside[e] == 0:  # L_e is part of L_p: aggressive absorption
            g.state[e] = DEAD
            continue
        bound += g.outside[e]
        g.store[w] = e
        w += 1
    a = g.first_variable[i]
    b = a + g.num_variables[i]
    if not g.is_hub[i]:
        end = b
        b = a
        for k in range(a, end):
            x = g.store[k]
            if g.state[x] == VARIABLE and g.mark[x] != p:
                g.store[b] = x
                b += 1
    if w == a:  # no gap before the variables, which lost one: move the first
        if g.is_hub[i]:
            b -= 1
        g.store[b] = g.store[a]
        b += 1
        a += 1
    g.store[w] = p
    g.num_elements[i] = w + 1 - g.start[i]
    g.first_variable[i] = a
    g.num_variables[i] = b - a
    return bound + b - a + g.num_variables[p] - 1


@jit()
def _start(ptr: np.ndarray, nbr: np.ndarray, limit: int) -> tuple[Quotient, Buckets]:
    n = len(ptr) - 1
    # Live lists never outgrow the graph; one new list adds at most n entries.
    store = np.empty(len(nbr) + len(nbr) // 4 + n + 1, np.int32)
    store[: len(nbr)] = nbr
    degree = ptr[1:] - ptr[:-1]
    is_hub = degree > max(16.0, 10.0 * np.sqrt(n))
    g = Quotient(
        store,
        ptr[:-1].copy(),
        np.zeros(n, np.int32),
        ptr[:-1].copy(),
        degree.astype(np.int32),
        np.zeros(n, np.int8),
        is_hub,
        np.full(n, -1, np.int32),
        np.zeros(n, np.int32),
        np.full(n, -1, np.int32),
    )
    degree = np.where(is_hub, n + 1, degree)
    b = Buckets(
        degree,
        np.full(min(limit, n) + 1, -1, np.int32),
        np.full(n, -1, np.int32),
        np.full(n, -1, np.int32),
    )
    for i in range(n - 1, -1, -1):
        _link(b, i)
    return g, b


@jit()
def minimum_degree(
    ptr: np.ndarray, nbr: np.ndarray, limit: int, ratio: float, work: float
) -> tuple[np.ndarray, np.ndarray]:
    r"""Order nodes by approximate minimum degree, up to a core for a dense solver.

    This is the method of `"An Approximate Minimum Degree Ordering Algorithm"
    <https://doi.org/10.1137/S0895479894278952>`_: eliminated nodes live on as
    *elements* (cliques of their neighbours), a degree is bounded by
    :math:`|A_i| + |L_p \setminus i| + \sum_e |L_e \setminus L_p|`, and an element
    that has become part of another is absorbed. Nodes of degree above
    :math:`10\sqrt N` are never chosen, so that hubs cost nothing. There are no
    supervariables: cliques large enough to have them belong to the dense block.

    Args:
        ptr: Starts of the adjacency lists ``[N + 1]``.
        nbr: Neighbours ``[2M]``.
        limit: Stop when every remaining node has a larger degree than this.
        ratio: Stop when the smallest degree exceeds this share of the remaining nodes
            (and eight).
        work: Stop after visiting this many list entries (about 2 ns each).

    Returns:
        The eliminated nodes in order, int32, and for each its degree when it was
        eliminated, int32.
    """
    n = len(ptr) - 1
    g, b = _start(ptr, nbr, limit)
    order = np.empty(n, np.int32)
    pivot_degree = np.empty(n, np.int32)
    free = len(nbr)
    count = 0
    lowest = 0
    spent = 0.0
    while spent < work:
        while lowest < len(b.head) and b.head[lowest] < 0:
            lowest += 1
        if lowest == len(b.head) or (lowest > 8 and lowest > ratio * (n - count)):
            break
        p = b.head[lowest]
        _unlink(b, p)
        need = g.num_variables[p]
        for k in range(g.start[p], g.start[p] + g.num_elements[p]):
            need += g.num_variables[g.store[k]]
        if free + min(need, n) > len(g.store):
            free = _compact(g)
        free = _make_element(g, p, free)
        size = g.num_variables[p]
        order[count] = p
        pivot_degree[count] = size
        count += 1
        spent += need
        _count_outside(g, p)
        for q in range(g.start[p], g.start[p] + size):
            i = g.store[q]
            _unlink(b, i)
            spent += g.num_elements[i] + g.num_variables[i]
            bound = _absorb(g, i, p)
            if not g.is_hub[i]:
                b.degree[i] = min(n - count - 1, b.degree[i] + size - 1, bound)
            _link(b, i)
            lowest = min(lowest, b.degree[i])
    return order[:count].copy(), pivot_degree[:count].copy()

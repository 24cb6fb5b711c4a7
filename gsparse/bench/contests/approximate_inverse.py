"""Effective resistances from a sparse approximate inverse of a Cholesky factor."""

import math
import time

import numpy as np
import torch
from scipy.sparse import csc_array, csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from gsparse.bench.contests.approximate_inverse_kernels import (
    factor_columns,
    invert_columns,
    measure_pairs,
)
from gsparse.kernels.resistance.ordering import minimum_degree
from gsparse.kernels.threads import run_blocks

GROUND, SHORT = 0.1, 1e6
"""Conductances from a node of each component to the ground: small if the factor leaks
to it, else like a short circuit, which keeps the columns of the inverse short."""
CHUNK = 64
"""Columns between two checks of the time."""
ORDERING_WORK = 1e9
"""Visits of the ordering, after which the remaining nodes are ordered by degree."""
COARSE, COARSE_DEGREE = 1e-4, 16
"""From this drop tolerance on, minimum degree stops at nodes of this degree: the fill
that it would avoid beyond is mostly dropped, and the ordering would cost more."""


def approximate_inverse_resistance(
    row: Tensor,
    col: Tensor,
    num_nodes: int,
    *,
    epsilon: float,
    drop: float,
    max_seconds: float = math.inf,
    max_entries: int = 500_000_000,
) -> Tensor:
    r"""Estimate the effective resistance of every pair, after `"Computing Effective
    Resistances on Large Graphs Based on Approximate Inverse of Cholesky Factor"
    <https://arxiv.org/abs/2303.03617>`_.

    The node of largest degree of each component is joined to the ground, which leaves
    resistances as they are and makes the Laplacian a regular M-matrix
    :math:`\approx L_f L_f^T`. Then :math:`R_{uv} = \|z_u - z_v\|^2` with the columns of
    :math:`Z = L_f^{-1}`,

    .. math::
        z_j = \frac{1}{L_{jj}} \Big( e_j - \sum_{i > j} L_{ij} z_i \Big),

    from the last to the first. From each column with more than :math:`\log_2 N` entries
    the smallest are dropped, as many as sum up to at most :math:`\varepsilon` of its
    1-norm. The factor is incomplete: an entry below a fraction of the pivot is dropped,
    which leaks to the ground. With a good conductor to the ground the leaks become a
    short cut to its node: on tolokers the largest relative error was 0.5 instead of
    0.03.

    Differs from the paper, of which only the abstract was available: order, drop rule
    of the factor and ground are ours, the best of those tried.

    The pairs use all threads of torch; factor and inverse use one.

    Args:
        row: Smaller end point of each pair, sorted by ``(row, col)``.
        col: Larger end points.
        num_nodes: Number of nodes.
        epsilon: Share of each column to drop; 0 for none.
        drop: Drop tolerance of the incomplete Cholesky factor; 0 for a complete one.
        max_seconds: Give up after this time.
        max_entries: Give up where factor or inverse need more (12 bytes each).

    Returns:
        One value per pair ``[M]``, float64.

    Raises:
        TimeoutError: After ``max_seconds``.
        MemoryError: Beyond ``max_entries``.
    """
    budget = _Budget(time.perf_counter() + max_seconds, max_entries)
    ends = row.numpy(), col.numpy()
    data = np.ones(2 * len(ends[0]))
    both = np.concatenate(ends), np.concatenate(ends[::-1])
    adjacency = csr_array((data, both), shape=(num_nodes, num_nodes))
    limit = COARSE_DEGREE if drop >= COARSE else num_nodes
    order = _elimination_order(adjacency, limit)
    lower = _lower_triangle(adjacency, order, GROUND if drop > 0 else SHORT)
    factor = _factorise(lower, drop, budget)
    span, z_row, z_value = _invert(*factor, epsilon, budget)
    place = np.empty(num_nodes, np.int64)
    place[order] = np.arange(num_nodes)
    out = np.empty(len(ends[0]))
    ptr = np.searchsorted(ends[0], np.arange(num_nodes + 1))
    arrays = (ptr, ends[1], place, span, z_row, z_value, out)
    run_blocks(measure_pairs, len(z_row) + len(out), *arrays)
    return torch.from_numpy(out)


class _Budget:
    """Limits of time and memory."""

    def __init__(self, end: float, max_entries: int) -> None:
        self.end, self.max_entries = end, max_entries

    def check_time(self, what: str, done: int, of: int) -> None:
        if time.perf_counter() > self.end:
            raise TimeoutError(f"{what}: {done} of {of} columns within the time")

    def grow(self, what: str, store: np.ndarray) -> np.ndarray:
        if len(store) >= self.max_entries:
            raise MemoryError(f"{what}: more than {self.max_entries} entries")
        larger = np.empty(min(2 * len(store), self.max_entries), store.dtype)
        larger[: len(store)] = store
        return larger


def _elimination_order(adjacency: csr_array, limit: int) -> np.ndarray:
    """Order nodes by minimum degree up to a limit, the others by their degree."""
    ptr, neighbour = adjacency.indptr.astype(np.int64), adjacency.indices
    order, _ = minimum_degree(ptr, neighbour, limit, 0.9, ORDERING_WORK)
    deg = np.diff(ptr)
    rest = np.setdiff1d(np.arange(len(deg)), order)
    return np.concatenate([order, rest[np.argsort(deg[rest], kind="stable")]])


def _lower_triangle(
    adjacency: csr_array, order: np.ndarray, ground: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the columns of the grounded Laplacian in the order of elimination."""
    n, deg = len(order), np.diff(adjacency.indptr)
    component = connected_components(adjacency, directed=False)[1]
    by_component = np.lexsort((-deg, component))
    largest = by_component[np.diff(component[by_component], prepend=-1) != 0]
    diagonal = deg.astype(float)
    diagonal[largest] += ground
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    u, v = np.repeat(place, deg), place[adjacency.indices]
    below = u > v
    rows, cols = np.append(u[below], place), np.append(v[below], place)
    values = np.append(-np.ones(int(below.sum())), diagonal)
    lower = csc_array((values, (rows, cols)), shape=(n, n))
    lower.sort_indices()
    return lower.indptr.astype(np.int64), lower.indices.astype(np.int32), lower.data


def _factorise(
    lower: tuple[np.ndarray, np.ndarray, np.ndarray], drop: float, budget: _Budget
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = len(lower[0]) - 1
    ptr = np.zeros(n + 1, np.int64)
    row = np.empty(4 * len(lower[1]) + n, np.int32)
    value = np.empty(len(row))
    lists = np.full((4, n), -1, np.int64)
    work = np.empty(n)
    j = 0
    while j < n:
        end = min(j + CHUNK, n)
        stop = factor_columns(j, end, *lower, drop, ptr, row, value, lists, work)
        if stop < end:
            row, value = budget.grow("factor", row), budget.grow("factor", value)
        j = stop
        budget.check_time("factor", j, n)
    return ptr, row[: ptr[n]], value[: ptr[n]]


def _invert(
    ptr: np.ndarray,
    row: np.ndarray,
    value: np.ndarray,
    epsilon: float,
    budget: _Budget,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = len(ptr) - 1
    span = np.zeros((n, 2), np.int64)
    z_row = np.empty(2 * len(row) + n, np.int32)
    z_value = np.empty(len(z_row))
    work, few = np.zeros(n), int(math.log2(max(n, 1)))
    j = n - 1
    while j >= 0:
        end = max(j - CHUNK, -1)
        stores = span, z_row, z_value
        stop = invert_columns(j, end, ptr, row, value, epsilon, few, *stores, work)
        if stop > end:
            z_row = budget.grow("inverse", z_row)
            z_value = budget.grow("inverse", z_value)
        j = stop
        budget.check_time("inverse", n - 1 - j, n)
    used = int(span[0, 1]) if n else 0
    return span, z_row[:used], z_value[:used]

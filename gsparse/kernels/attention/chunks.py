"""Steps on a chunk of edges that GAT and GATv2 share.

The arrays of lanes hold one number per edge of the chunk and head.
"""

from typing import Any

import numpy as np

from gsparse.kernels.attention.grid import Shape
from gsparse.kernels.attention.loops import add_heads
from gsparse.kernels.scalar import Pointer, at, exp, prefetch, random_bits
from gsparse.kernels.threads import jit

#: Largest ``heads`` and ``heads * channels`` that the kernels for any shape support.
MAX_HEADS, MAX_WIDTH = 256, 4096

#: (edge, head) pairs of a chunk; edges between the prefetch of a row and its use.
LANES, AHEAD = 256, 16


@jit(forceinline=True)
def prefetch_rows(
    rows: Pointer,
    width: int,
    itemsize: int,
    indices: Pointer,
    part: tuple[Any, Any],
    num_edges: int,
) -> None:
    """Prefetch the rows of a chunk's edges, or rather of those ``AHEAD`` later."""
    for k in range(part[0] + AHEAD, min(part[1] + AHEAD, num_edges)):
        row = at(rows, np.int64(indices[k]) * width)
        for c in range(0, width, 64 // itemsize):  # one request per cache line
            prefetch(at(row, c))


@jit(forceinline=True)
def fill(out: Pointer, count: int, value: float) -> None:
    """Set the first ``count`` elements."""
    for q in range(count):
        out[q] = value


@jit(forceinline=True)
def slot_of(slots: Pointer | None, k: int) -> int:
    """Return the slot of an edge, which is its own number without ``slots``."""
    return k if slots is None else slots[k]


@jit(forceinline=True)
def counters(part: tuple[Any, Any], slots: Pointer, heads: int, lane: Pointer) -> None:
    """Set the counters of the random numbers of a chunk."""
    for k in range(part[0], part[1]):
        q, first = (k - part[0]) * heads, slot_of(slots, k) * heads
        for h in range(heads):
            lane[q + h] = np.uint32(first + h)


@jit(forceinline=True)
def drop_factors(lane: Pointer, count: int, rule: tuple, out: Pointer) -> None:
    """Set the dropout factors, 0 or ``scale``, of lanes with these counters."""
    key, key2, threshold, scale = rule
    zero = scale - scale
    for q in range(count):
        out[q] = scale if random_bits(lane[q], key, key2) >= threshold else zero


@jit(forceinline=True)
def softmax_terms(
    part: tuple[Any, Any],
    edges: tuple[Pointer, ...],
    has_weight: bool,
    rule: tuple[Any, ...],
    shape: Shape,
    lanes: tuple[Pointer, ...],
    total: Pointer,
) -> None:
    """Replace shifted scores by the weighted terms of the softmax, and add these to
    ``total``; compute the dropout factors.
    """
    term, drop, lane = lanes
    heads, first = shape[0], part[0]
    count = (part[1] - first) * heads
    for q in range(count):
        term[q] = exp(term[q])
    if has_weight:
        _times_weight(part, edges, heads, term)
    add_heads(total, term, first, part[1], shape)
    if rule[2] > 0:
        for q in range(count):
            lane[q] = np.uint32(first * heads + q)
        drop_factors(lane, count, rule, drop)


@jit(forceinline=True)
def _times_weight(
    part: tuple[Any, Any], edges: tuple[Pointer, ...], heads: int, term: Pointer
) -> None:
    """Multiply the terms of a chunk by the weights of their edges."""
    _, edge_id, weight = edges
    for k in range(part[0], part[1]):
        if edge_id[k] >= 0:
            factor = weight[edge_id[k]]
            q = (k - part[0]) * heads
            for h in range(heads):  # an absent edge may have any score
                product = term[q + h] * factor
                term[q + h] = product if factor != 0 else factor


@jit(forceinline=True)
def weight_gradients(
    part: tuple[Any, Any],
    edges: tuple[Pointer, ...],
    heads: int,
    lanes: tuple[Pointer, Pointer],
    grad_weight: Pointer,
    weight_grad: bool,
) -> None:
    """Store the gradients of a chunk's weights; multiply its lanes by the weights."""
    slots, edge_id, weight = edges
    term, slant = lanes
    for k in range(part[0], part[1]):
        entry = edge_id[slot_of(slots, k)]
        if entry < 0:
            continue
        factor, q = weight[entry], (k - part[0]) * heads
        if weight_grad:
            total = factor - factor
            for h in range(heads):
                total += slant[q + h]
            grad_weight[entry] = total
        for h in range(heads):
            term[q + h] = term[q + h] * factor if factor != 0 else factor
            slant[q + h] = slant[q + h] * factor if factor != 0 else factor

"""Operations on the lanes of a chunk of edges, shared by all attention loops."""

from typing import Any

from gsparse.kernels.scalar import Pointer, at, prefetch, random_bits
from gsparse.kernels.threads import jit

#: Largest ``heads`` and ``heads * channels`` that the kernels for any shape support.
MAX_HEADS, MAX_WIDTH = 256, 4096

#: (edge, head) pairs of a chunk; edges between the prefetch of a row and its use.
LANES, AHEAD = 256, 16

Shape = tuple[int, int, Any]  # heads, channels, and both once more as a type


@jit(forceinline=True)
def request(row: Pointer, width: int, itemsize: int) -> None:
    """Prefetch a row with one request per cache line."""
    for c in range(0, width, 64 // itemsize):
        prefetch(at(row, c))


@jit(forceinline=True)
def fill(out: Pointer, count: int, value: float) -> None:
    """Set the first ``count`` elements."""
    for q in range(count):
        out[q] = value


@jit(forceinline=True)
def drop_factors(lane: Pointer, count: int, rule: tuple, out: Pointer) -> None:
    """Set the dropout factors, 0 or ``scale``, of lanes with these counters."""
    key, key2, threshold, scale = rule
    zero = scale - scale
    for q in range(count):
        out[q] = scale if random_bits(lane[q], key, key2) >= threshold else zero


@jit(forceinline=True)
def times_weight(
    part: tuple[Any, Any],
    edges: tuple[Pointer, ...],
    heads: int,
    term: Pointer,
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

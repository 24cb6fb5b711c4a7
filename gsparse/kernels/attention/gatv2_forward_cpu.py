r"""Forward pass of GATv2 attention on the CPU: one walk over the in-edges.

The score :math:`s_{ij} = att \cdot LeakyReLU(x_j + z_i)` needs the row :math:`x_j`
itself, so the softmax is computed online: each chunk of a row computes its scores, and
when their maximum rises, the sums so far are scaled down.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from gsparse.kernels.attention.lanes import (
    AHEAD,
    LANES,
    MAX_HEADS,
    MAX_WIDTH,
    Shape,
    drop_factors,
    fill,
    request,
    times_weight,
)
from gsparse.kernels.attention.simd import add_heads, add_row, raise_top
from gsparse.kernels.attention.simd_v2 import leaky_dots
from gsparse.kernels.scalar import Pointer, at, data, exp, log, stack
from gsparse.kernels.threads import jit, take_block
from gsparse.kernels.vector_code import fixed_shape, shape_of

_CHUNK = 16  # edges whose rows of x are still in the cache when they are summed


@jit(forceinline=True)
def _rise(
    count: int,
    present: tuple[Any, ...],
    shape: Shape,
    scratch: tuple[Pointer, ...],
) -> None:
    """Raise the running maximum to that of a chunk and scale down earlier sums."""
    acc, top, old, total, term = scratch
    heads, channels, fixed = shape
    first, edge_id, weight, has_weight = present
    for h in range(heads):
        old[h] = top[h]
    for k in range(count):
        entry = edge_id[first + k]
        if has_weight and entry >= 0 and weight[entry] == 0:
            continue
        raise_top(top, at(term, k * heads), heads, fixed)
    for h in range(heads):
        if top[h] > old[h]:
            scale = exp(old[h] - top[h])
            total[h] *= scale
            for c in range(h * channels, (h + 1) * channels):
                acc[c] *= scale


@jit(forceinline=True)
def _row(
    row: tuple[Any, Any],
    num_edges: int,
    edges: tuple[Pointer, ...],
    nodes: tuple[Pointer, ...],
    itemsize: int,
    settings: tuple[Any, ...],
    rule: tuple[Any, ...],
    shape: Shape,
    scratch: tuple[Pointer, ...],
) -> None:
    acc, top, old, total, term, drop, lane = scratch
    x, target, att = nodes
    slope, has_weight = settings
    heads, channels, fixed = shape
    width, chunk = heads * channels, min(_CHUNK, max(1, LANES // heads))
    indices, edge_id, weight = edges
    fill(acc, width, slope - slope)
    fill(total, heads, slope - slope)
    fill(top, heads, -np.inf)
    for first in range(row[0], row[1], chunk):
        last = min(first + chunk, row[1])
        count = (last - first) * heads
        for k in range(first + AHEAD, min(last + AHEAD, num_edges)):
            request(at(x, np.int64(indices[k]) * width), width, itemsize)
        for k in range(first, last):
            source = at(x, np.int64(indices[k]) * width)
            out = at(term, (k - first) * heads)
            leaky_dots(att, source, target, slope, out, heads, channels, fixed)
        present = (first, edge_id, weight, has_weight)
        _rise(last - first, present, shape, (acc, top, old, total, term))
        for q in range(0, count, heads):
            for h in range(heads):
                term[q + h] -= top[h]
        for q in range(count):
            term[q] = exp(term[q])
        if has_weight:
            times_weight((first, last), edges, heads, term)
        for q in range(0, count, heads):
            add_heads(total, at(term, q), heads, fixed)
        if rule[2] > 0:
            for q in range(count):
                lane[q] = np.uint32(first * heads + q)
            drop_factors(lane, count, rule, drop)
            for q in range(count):
                term[q] *= drop[q]
        for k in range(first, last):
            source = at(x, np.int64(indices[k]) * width)
            out = at(term, (k - first) * heads)
            add_row(acc, out, source, heads, channels, fixed)


@jit(forceinline=True)
def _forward(
    counter: np.ndarray,
    graph: tuple[np.ndarray, ...],
    inputs: tuple[np.ndarray, ...],
    slope: float,
    rule: tuple[Any, ...],
    outputs: tuple[np.ndarray, ...],
    shape: Shape,
    scratch: tuple[Pointer, ...],
) -> None:
    blocks, indptr, indices, edge_id = graph
    x, x_dst, att = data(inputs[0]), data(inputs[1]), data(inputs[2])
    edges = (data(indices), data(edge_id), data(inputs[3]))
    settings = (slope, inputs[3].shape[0] > 0)
    out, lse = data(outputs[0]), outputs[1]
    acc, top, total = scratch[0], scratch[1], scratch[3]
    heads, channels, _ = shape
    width, one = heads * channels, slope - slope + np.float32(1)
    itemsize, num_edges = inputs[0].itemsize, indices.shape[0]
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for i in range(blocks[block], blocks[block + 1]):
            row = (np.int64(indptr[i]), np.int64(indptr[i + 1]))
            nodes = (x, at(x_dst, i * width), att)
            _row(row, num_edges, edges, nodes, itemsize, settings, rule, shape, scratch)
            for h in range(heads):
                sums = total[h]
                inverse = slope - slope if sums == 0 else one / sums
                lse[i, h] = np.inf if sums == 0 else top[h] + log(sums)
                for c in range(h * channels, (h + 1) * channels):
                    out[i * width + c] = acc[c] * inverse
        block = take_block(counter)


@lru_cache
def forward_kernel(heads: int, channels: int) -> Callable[..., None]:
    """Return the forward loop for one shape; ``(0, 0)`` for any shape."""
    size, most, pad = heads * channels or MAX_WIDTH, heads or MAX_HEADS, LANES + 8

    @jit()
    def gatv2_forward(counter, graph, inputs, slope, rule, outputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        f = slope
        shape = shape_of(inputs[0], fixed_shape(heads, channels))
        nodes = (stack(size, f), stack(most, f), stack(most, f), stack(most, f))
        scratch = (*nodes, stack(pad, f), stack(pad, f), stack(pad, rule[0]))
        _forward(counter, graph, inputs, slope, rule, outputs, shape, scratch)

    return gatv2_forward

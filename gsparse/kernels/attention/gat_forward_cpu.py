"""Forward pass of GAT attention on the CPU: one walk over the in-edges of each node.

Edges of a row are processed in chunks of a few hundred (edge, head) lanes: the scores
are gathered, one contiguous loop computes the exponentials, and the rows of ``x`` are
summed while they are in the cache.
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
from gsparse.kernels.attention.simd import (
    add_heads,
    add_row,
    dots,
    edge_scores,
    raise_top,
)
from gsparse.kernels.scalar import (
    Pointer,
    at,
    data,
    exp,
    log,
    stack,
)
from gsparse.kernels.threads import jit, take_block
from gsparse.kernels.vector_code import fixed_shape, shape_of


@jit(forceinline=True)
def _top_scores(
    row: tuple[Any, Any],
    edges: tuple[Pointer, ...],
    has_weight: bool,
    alpha_src: Pointer,
    shape: Shape,
    top: Pointer,
) -> None:
    """Find the largest ``alpha_src`` among the neighbours that are present."""
    indices, edge_id, weight = edges
    heads, _, fixed = shape
    fill(top, heads, -np.inf)
    for k in range(row[0], row[1]):
        if has_weight and edge_id[k] >= 0 and weight[edge_id[k]] == 0:
            continue
        raise_top(top, at(alpha_src, np.int64(indices[k]) * heads), heads, fixed)


@jit(forceinline=True)
def _chunk(
    part: tuple[Any, Any],
    edges: tuple[Pointer, ...],
    nodes: tuple[Pointer, ...],
    settings: tuple[Any, ...],
    rule: tuple[Any, ...],
    shape: Shape,
    scratch: tuple[Pointer, ...],
) -> None:
    """Compute the undivided softmax terms of a chunk, and their sums.

    Those of scores above zero are only computed if they are saved for the gradient.
    """
    first, last = part
    heads, _, fixed = shape
    alpha_src, dst, top = nodes
    slope, save, has_weight = settings
    _, _, total, total_pos, score, term, term_pos, drop, lane = scratch
    count = (last - first) * heads
    for k in range(first, last):
        src = at(alpha_src, np.int64(edges[0][k]) * heads)
        q = (k - first) * heads
        edge_scores(src, dst, top, slope, at(score, q), at(term, q), heads, fixed)
    for q in range(count):
        term[q] = exp(term[q])
    if has_weight:
        times_weight(part, edges, heads, term)
    for q in range(0, count, heads):
        add_heads(total, at(term, q), heads, fixed)
    if save:
        for q in range(count):
            term_pos[q] = term[q] if score[q] > 0 else slope - slope
        for q in range(0, count, heads):
            add_heads(total_pos, at(term_pos, q), heads, fixed)
    if rule[2] > 0:
        for q in range(count):
            lane[q] = np.uint32(first * heads + q)
        drop_factors(lane, count, rule, drop)
        for q in range(count):
            term[q] *= drop[q]
        if save:
            for q in range(count):
                term_pos[q] *= drop[q]


@jit(forceinline=True)
def _row(
    row: tuple[Any, Any],
    num_edges: int,
    edges: tuple[Pointer, ...],
    nodes: tuple[Pointer, ...],
    x: Pointer,
    itemsize: int,
    settings: tuple[Any, ...],
    rule: tuple[Any, ...],
    shape: Shape,
    scratch: tuple[Pointer, ...],
) -> None:
    """Sum messages and softmax terms of one row, also for scores above zero alone."""
    heads, channels, fixed = shape
    acc, pos, total, total_pos, _, term, term_pos, _, _ = scratch
    slope, save, _ = settings
    indices, width = edges[0], heads * channels
    fill(total, heads, slope - slope)
    fill(acc, width, slope - slope)
    if save:
        fill(total_pos, heads, slope - slope)
        fill(pos, width, slope - slope)
    chunk = max(1, LANES // heads)
    for first in range(row[0], row[1], chunk):
        last = min(first + chunk, row[1])
        for k in range(first + AHEAD, min(last + AHEAD, num_edges)):
            request(at(x, np.int64(indices[k]) * width), width, itemsize)
        _chunk((first, last), edges, nodes, settings, rule, shape, scratch)
        for k in range(first, last):
            neighbour = at(x, np.int64(indices[k]) * width)
            q = (k - first) * heads
            add_row(acc, at(term, q), neighbour, heads, channels, fixed)
            if save:
                add_row(pos, at(term_pos, q), neighbour, heads, channels, fixed)


@jit(forceinline=True)
def _forward(
    counter: np.ndarray,
    graph: tuple[np.ndarray, ...],
    inputs: tuple[np.ndarray, ...],
    settings: tuple[Any, ...],
    rule: tuple[Any, ...],
    outputs: tuple[np.ndarray, ...],
    shape: Shape,
    top: Pointer,
    scratch: tuple[Pointer, ...],
) -> None:
    blocks, indptr, indices, edge_id = graph
    alpha_src, alpha_dst = data(inputs[0]), data(inputs[1])
    x, weight, bias = data(inputs[2]), data(inputs[3]), data(inputs[4])
    out, part = data(outputs[0]), data(outputs[2])
    lse, part_sum = outputs[1], outputs[3]
    slope, save = settings
    has_weight = inputs[3].shape[0] > 0
    edges = (data(indices), data(edge_id), weight)
    acc, pos, total, total_pos = scratch[:4]
    heads, channels, _ = shape
    width, zero = heads * channels, slope - slope
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for i in range(blocks[block], blocks[block + 1]):
            row = (np.int64(indptr[i]), np.int64(indptr[i + 1]))
            dst = at(alpha_dst, i * heads)
            _top_scores(row, edges, has_weight, alpha_src, shape, top)
            for h in range(heads):
                u = top[h] + dst[h]
                top[h] = u if u > 0 else u * slope
            _row(
                row,
                indices.shape[0],
                edges,
                (alpha_src, dst, top),
                x,
                inputs[2].itemsize,
                (slope, save, has_weight),
                rule,
                shape,
                scratch,
            )
            for h in range(heads):
                sums = total[h]
                inverse = zero if sums == 0 else (zero + np.float32(1)) / sums
                for c in range(h * channels, (h + 1) * channels):
                    out[i * width + c] = acc[c] * inverse + bias[c]
                if save:
                    part_sum[i, h] = total_pos[h] * inverse
                    lse[i, h] = np.inf if sums == 0 else top[h] + log(sums)
                    for c in range(h * channels, (h + 1) * channels):
                        part[i * width + c] = pos[c] * inverse
        block = take_block(counter)


@jit(forceinline=True)
def _scores(
    counter: np.ndarray,
    blocks: np.ndarray,
    inputs: tuple[np.ndarray, ...],
    outputs: tuple[np.ndarray, ...],
    shape: Shape,
) -> None:
    x, att = data(inputs[0]), data(inputs[1])
    alpha_src, alpha_dst = data(outputs[0]), data(outputs[1])
    heads, channels, fixed = shape
    width = heads * channels
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for i in range(blocks[block], blocks[block + 1]):
            row = at(x, i * width)
            dots(row, att, at(alpha_src, i * heads), heads, channels, fixed)
            dst = at(alpha_dst, i * heads)
            dots(row, at(att, width), dst, heads, channels, fixed)
        block = take_block(counter)


@lru_cache
def forward_kernel(heads: int, channels: int) -> Callable[..., None]:
    """Return the forward loop for one shape; ``(0, 0)`` for any shape."""
    size, most, pad = heads * channels or MAX_WIDTH, heads or MAX_HEADS, LANES + 8

    @jit()
    def gat_forward(counter, graph, inputs, settings, rule, outputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        f = settings[0]
        shape = shape_of(inputs[2], fixed_shape(heads, channels))
        wide = (stack(size, f), stack(size, f), stack(most, f), stack(most, f))
        lanes = (stack(pad, f), stack(pad, f), stack(pad, f), stack(pad, f))
        scratch = (*wide, *lanes, stack(pad, rule[0]))
        top = stack(most, f)
        _forward(counter, graph, inputs, settings, rule, outputs, shape, top, scratch)

    return gat_forward


@lru_cache
def scores_kernel(heads: int, channels: int) -> Callable[..., None]:
    """Return the loop that computes both halves of the score of every node."""

    @jit()
    def gat_scores(counter, blocks, inputs, outputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        shape = shape_of(inputs[0], fixed_shape(heads, channels))
        _scores(counter, blocks, inputs, outputs, shape)

    return gat_scores

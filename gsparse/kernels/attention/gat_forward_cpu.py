"""Forward pass of GAT attention on the CPU: one walk over the in-edges of each node.

Edges of a row are processed in chunks of a few hundred (edge, head) lanes: the scores
are gathered, one contiguous loop computes the exponentials, and the rows of ``x`` are
summed in registers while they are in the cache.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from gsparse.kernels.attention.chunks import (
    LANES,
    MAX_HEADS,
    MAX_WIDTH,
    fill,
    prefetch_rows,
    softmax_terms,
)
from gsparse.kernels.attention.grid import Shape, fixed_shape, shape_of
from gsparse.kernels.attention.loops import (
    add_heads,
    add_rows,
    add_rows_twice,
    dots,
    gat_scores,
    raise_top,
    scale_row,
    softmax_ends,
)
from gsparse.kernels.scalar import Pointer, at, data, stack
from gsparse.kernels.threads import jit, take_block


@jit(forceinline=True)
def _top_scores(
    row: tuple[Any, Any],
    edges: tuple[Pointer, ...],
    has_weight: bool,
    nodes: tuple[Pointer, ...],
    slope: float,
    shape: Shape,
    top: Pointer,
) -> None:
    """Find the largest score among the neighbours that are present."""
    indices, edge_id, weight = edges
    alpha_src, dst, _ = nodes
    fill(top, shape[0], -np.inf)
    if has_weight:
        for k in range(row[0], row[1]):
            if edge_id[k] < 0 or weight[edge_id[k]] != 0:
                raise_top(top, alpha_src, indices, k, k + 1, shape)
    else:
        raise_top(top, alpha_src, indices, row[0], row[1], shape)
    for h in range(shape[0]):
        u = top[h] + dst[h]
        top[h] = u if u > 0 else u * slope


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
    """Sum messages and softmax terms of one row, also for scores above zero alone."""
    heads, channels, _ = shape
    acc, pos, total, total_pos, top, score, term, term_pos, drop, lane = scratch
    alpha_src, dst, x = nodes
    slope, save, has_weight = settings
    indices, width, zero = edges[0], heads * channels, slope - slope
    fill(total, heads, zero)
    fill(acc, width, zero)
    if save:
        fill(total_pos, heads, zero)
        fill(pos, width, zero)
    chunk = max(1, LANES // heads)
    for first in range(row[0], row[1], chunk):
        last = min(first + chunk, row[1])
        part, count = (first, last), (last - first) * heads
        prefetch_rows(x, width, itemsize, indices, part, num_edges)
        gat_scores(
            score, term, dst, alpha_src, heads, top, 0, slope, indices, *part, shape
        )
        lanes = (term, drop, lane)
        softmax_terms(part, edges, has_weight, rule, shape, lanes, total)
        if not save:
            if rule[2] > 0:
                for q in range(count):
                    term[q] *= drop[q]
            add_rows(acc, term, x, indices, *part, shape)
            continue
        for q in range(count):
            term_pos[q] = term[q] if score[q] > 0 else zero
        add_heads(total_pos, term_pos, *part, shape)
        if rule[2] > 0:
            for q in range(count):
                term[q] *= drop[q]
                term_pos[q] *= drop[q]
        add_rows_twice(acc, term, pos, term_pos, x, indices, *part, shape)


@jit(forceinline=True)
def _forward(
    counter: np.ndarray,
    graph: tuple[np.ndarray, ...],
    inputs: tuple[np.ndarray, ...],
    settings: tuple[Any, ...],
    rule: tuple[Any, ...],
    outputs: tuple[np.ndarray, ...],
    shape: Shape,
    inverse: Pointer,
    scratch: tuple[Pointer, ...],
) -> None:
    blocks, indptr, indices, edge_id = graph
    alpha_src, alpha_dst = data(inputs[0]), data(inputs[1])
    x, weight, bias = data(inputs[2]), data(inputs[3]), data(inputs[4])
    out, lse, part = data(outputs[0]), data(outputs[1]), data(outputs[2])
    part_sum = data(outputs[3])
    slope, save = settings
    settings = (slope, save, inputs[3].shape[0] > 0)
    edges, itemsize = (data(indices), data(edge_id), weight), inputs[2].itemsize
    acc, pos, total, total_pos, top = scratch[:5]
    heads, channels, _ = shape
    width, num_edges = heads * channels, indices.shape[0]
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for i in range(blocks[block], blocks[block + 1]):
            row = (np.int64(indptr[i]), np.int64(indptr[i + 1]))
            nodes = (alpha_src, at(alpha_dst, i * heads), x)
            _top_scores(row, edges, settings[2], nodes, slope, shape, top)
            _row(row, num_edges, edges, nodes, itemsize, settings, rule, shape, scratch)
            if save:
                softmax_ends(inverse, at(lse, i * heads), total, top, shape)
                scale_row(at(part, i * width), pos, inverse, None, shape)
                for h in range(heads):
                    part_sum[i * heads + h] = total_pos[h] * inverse[h]
            else:
                softmax_ends(inverse, None, total, top, shape)
            scale_row(at(out, i * width), acc, inverse, bias, shape)
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
    heads, channels, _ = shape
    width = heads * channels
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for i in range(blocks[block], blocks[block + 1]):
            row = at(x, i * width)
            dots(at(alpha_src, i * heads), row, att, shape)
            dots(at(alpha_dst, i * heads), row, at(att, width), shape)
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
        scratch = (*wide, stack(most, f), *lanes, stack(pad, rule[0]))
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

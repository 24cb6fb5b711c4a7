r"""Backward pass of GAT attention on the CPU: one walk over the out-edges.

With :math:`p_{ij}` the softmax, :math:`m_{ij}` dropout, :math:`g` the gradient of the
output and :math:`\delta_i = g_i \cdot y_i`, the gradient of a score is
:math:`t_{ij} = p_{ij} (m_{ij}\, g_i \cdot x_j - \delta_i)`, times the slope of the
leaky ReLU. Sums over targets are collected from the out-edges. The sum over sources
needs no separate pass: all :math:`t_{ij}` of a node add up to 0, so only those with
slope 1 matter, and the forward pass saved their sums.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from gsparse.kernels.attention.chunks import (
    LANES,
    MAX_HEADS,
    MAX_WIDTH,
    counters,
    drop_factors,
    fill,
    prefetch_rows,
    weight_gradients,
)
from gsparse.kernels.attention.grid import Shape, fixed_shape, shape_of
from gsparse.kernels.attention.loops import (
    add_heads,
    add_row,
    add_rows,
    gat_scores,
    score_gradients,
    target_record,
)
from gsparse.kernels.scalar import Pointer, at, data, exp, stack
from gsparse.kernels.threads import jit, take_block


@jit(forceinline=True)
def _row(
    row: tuple[Any, Any],
    num_edges: int,
    edges: tuple[Pointer, ...],
    nodes: tuple[Pointer, ...],
    itemsize: int,
    settings: tuple[Any, ...],
    rule: tuple[Any, ...],
    grad_weight: Pointer,
    shape: Shape,
    scratch: tuple[Pointer, ...],
) -> None:
    """Sum the gradients of one source over its out-edges in ``acc`` and ``total``."""
    acc, total, score, term, slant, drop, lane = scratch
    slope, weight_grad, has_weight = settings
    indices, slots, edge_id, weight = edges
    src, own, record, grad = nodes
    heads, channels, _ = shape
    width, chunk = heads * channels, max(1, LANES // heads)
    lse, delta = at(record, heads), at(record, 2 * heads)
    fill(acc, width, slope - slope)
    fill(total, heads, slope - slope)
    for first in range(row[0], row[1], chunk):
        last = min(first + chunk, row[1])
        part, count = (first, last), (last - first) * heads
        prefetch_rows(record, 3 * heads, itemsize, indices, part, num_edges)
        prefetch_rows(grad, width, itemsize, indices, part, num_edges)
        gat_scores(
            score,
            term,
            src,
            record,
            3 * heads,
            lse,
            3 * heads,
            slope,
            indices,
            *part,
            shape,
        )
        for q in range(count):
            term[q] = exp(term[q])
        if rule[2] > 0:
            counters(part, slots, heads, lane)
            drop_factors(lane, count, rule, drop)
        score_gradients(
            slant, term, drop, own, grad, delta, 3 * heads, indices, *part, shape
        )
        if has_weight:
            terms = (term, slant)
            weight_gradients(
                part, (slots, edge_id, weight), heads, terms, grad_weight, weight_grad
            )
        for q in range(count):
            slant[q] = slant[q] if score[q] > 0 else slant[q] * slope
            term[q] *= drop[q]
        add_heads(total, slant, *part, shape)
        add_rows(acc, term, grad, indices, *part, shape)


@jit(forceinline=True)
def _sources(
    counter: np.ndarray,
    graph: tuple[np.ndarray, ...],
    inputs: tuple[np.ndarray, ...],
    settings: tuple[Any, ...],
    rule: tuple[Any, ...],
    outputs: tuple[np.ndarray, ...],
    shape: Shape,
    own: Pointer,
    scratch: tuple[Pointer, ...],
) -> None:
    blocks, t_indptr, t_indices, t_perm, edge_id = graph
    alpha_src, record, grad = data(inputs[0]), data(inputs[1]), data(inputs[4])
    x, att, grad_dst = data(inputs[2]), data(inputs[5]), data(inputs[6])
    grad_src, grad_x, grad_weight, grad_att = outputs
    slope, weight_grad = settings
    settings = (slope, weight_grad, inputs[3].shape[0] > 0)
    edges = (data(t_indices), data(t_perm), data(edge_id), data(inputs[3]))
    acc, total = scratch[0], scratch[1]
    heads, channels, _ = shape
    width, has_att = heads * channels, inputs[5].shape[0] > 0
    fill(scratch[5], LANES, 1.0)
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        att_sum = at(data(grad_att), block * 2 * width)
        for j in range(blocks[block], blocks[block + 1]):
            x_row, src = at(x, j * width), at(alpha_src, j * heads)
            for c in range(width):
                own[c] = x_row[c]
            _row(
                (np.int64(t_indptr[j]), np.int64(t_indptr[j + 1])),
                t_indices.shape[0],
                edges,
                (src, own, record, grad),
                inputs[2].itemsize,
                settings,
                rule,
                data(grad_weight),
                shape,
                scratch,
            )
            if has_att:
                dst = at(grad_dst, j * heads)
                add_row(acc, total, att, shape)
                add_row(acc, dst, at(att, width), shape)
                add_row(att_sum, total, own, shape)
                add_row(at(att_sum, width), dst, own, shape)
            x_row, src = at(data(grad_x), j * width), at(data(grad_src), j * heads)
            for c in range(width):
                x_row[c] = acc[c]
            for h in range(heads):
                src[h] = total[h]
        block = take_block(counter)


@jit(forceinline=True)
def _targets(
    counter: np.ndarray,
    blocks: np.ndarray,
    inputs: tuple[np.ndarray, ...],
    slope: float,
    outputs: tuple[np.ndarray, ...],
    shape: Shape,
    one: Pointer,
) -> None:
    alpha_dst, out, lse = data(inputs[0]), data(inputs[1]), data(inputs[2])
    part, part_sum = data(inputs[3]), data(inputs[4])
    grad, bias = data(inputs[5]), data(inputs[6])
    record, grad_dst, grad_bias = data(outputs[0]), data(outputs[1]), data(outputs[2])
    heads, channels, _ = shape
    width = heads * channels
    fill(one, heads, 1.0)
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for i in range(blocks[block], blocks[block + 1]):
            row, h = at(grad, i * width), i * heads
            target_record(
                at(record, 3 * h),
                at(grad_dst, h),
                row,
                at(out, i * width),
                bias,
                at(part, i * width),
                at(part_sum, h),
                at(alpha_dst, h),
                at(lse, h),
                slope,
                shape,
            )
            add_row(at(grad_bias, block * width), one, row, shape)
        block = take_block(counter)


@lru_cache
def sources_kernel(heads: int, channels: int) -> Callable[..., None]:
    """Return the loop over out-edges for one shape; ``(0, 0)`` for any shape."""
    size, most, pad = heads * channels or MAX_WIDTH, heads or MAX_HEADS, LANES + 8

    @jit()
    def gat_sources(counter, graph, inputs, settings, rule, outputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        f = settings[0]
        shape = shape_of(inputs[2], fixed_shape(heads, channels))
        lanes = (stack(pad, f), stack(pad, f), stack(pad, f), stack(pad, f))
        scratch = (stack(size, f), stack(most, f), *lanes, stack(pad, rule[0]))
        own = stack(size, f)
        _sources(counter, graph, inputs, settings, rule, outputs, shape, own, scratch)

    return gat_sources


@lru_cache
def targets_kernel(heads: int, channels: int) -> Callable[..., None]:
    """Return the loop over targets: their records, and gradients of scores and bias."""
    most = heads or MAX_HEADS

    @jit()
    def gat_targets(counter, blocks, inputs, slope, outputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        shape = shape_of(inputs[1], fixed_shape(heads, channels))
        one = stack(most, slope)
        _targets(counter, blocks, inputs, slope, outputs, shape, one)

    return gat_targets

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

from gsparse.kernels.attention.lanes import (
    AHEAD,
    LANES,
    MAX_HEADS,
    MAX_WIDTH,
    Shape,
    drop_factors,
    fill,
    request,
)
from gsparse.kernels.attention.simd import add_heads, add_row, dots, edge_scores
from gsparse.kernels.scalar import Pointer, at, data, exp, stack
from gsparse.kernels.threads import jit, take_block
from gsparse.kernels.vector_code import fixed_shape, shape_of


@jit(forceinline=True)
def _weights(
    part: tuple[Any, Any],
    edges: tuple[Pointer, ...],
    heads: int,
    lanes: tuple[Pointer, ...],
    grad_weight: Pointer,
    weight_grad: bool,
) -> None:
    """Store the gradients of a chunk's weights; multiply its lanes by the weights."""
    _, t_perm, edge_id, weight = edges
    term, slant = lanes
    for k in range(part[0], part[1]):
        entry = edge_id[t_perm[k]]
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


@jit(forceinline=True)
def _chunk(
    part: tuple[Any, Any],
    edges: tuple[Pointer, ...],
    nodes: tuple[Pointer, ...],
    slope: float,
    rule: tuple[Any, ...],
    shape: Shape,
    lanes: tuple[Pointer, ...],
) -> None:
    """Compute softmax ``term``, dropout ``drop`` and score gradient ``slant``."""
    first, last = part
    t_indices, t_perm = edges[0], edges[1]
    src, own, record, grad = nodes
    score, term, slant, drop, lane = lanes
    heads, channels, fixed = shape
    count = (last - first) * heads
    for k in range(first, last):
        rec = at(record, np.int64(t_indices[k]) * 3 * heads)
        q, lse = (k - first) * heads, at(rec, heads)
        edge_scores(src, rec, lse, slope, at(score, q), at(term, q), heads, fixed)
    for q in range(count):
        term[q] = exp(term[q])
    if rule[2] > 0:
        for k in range(first, last):
            q = (k - first) * heads
            for h in range(heads):
                lane[q + h] = np.uint32(t_perm[k] * heads + h)
        drop_factors(lane, count, rule, drop)
    for k in range(first, last):
        i, q = np.int64(t_indices[k]), (k - first) * heads
        row = at(grad, i * heads * channels)
        dots(row, own, at(slant, q), heads, channels, fixed)
        delta = at(record, (i * 3 + 2) * heads)
        for h in range(heads):
            slant[q + h] = term[q + h] * (drop[q + h] * slant[q + h] - delta[h])


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
    heads, channels, fixed = shape
    t_indices, record, grad = edges[0], nodes[2], nodes[3]
    width, chunk = heads * channels, max(1, LANES // heads)
    fill(acc, width, slope - slope)
    fill(total, heads, slope - slope)
    for first in range(row[0], row[1], chunk):
        last = min(first + chunk, row[1])
        for k in range(first + AHEAD, min(last + AHEAD, num_edges)):
            i = np.int64(t_indices[k])
            request(at(record, i * 3 * heads), 3 * heads, itemsize)
            request(at(grad, i * width), width, itemsize)
        part = (first, last)
        lanes = (score, term, slant, drop, lane)
        _chunk(part, edges, nodes, slope, rule, shape, lanes)
        if has_weight:
            _weights(part, edges, heads, (term, slant), grad_weight, weight_grad)
        for q in range((last - first) * heads):
            slant[q] = slant[q] if score[q] > 0 else slant[q] * slope
            term[q] *= drop[q]
        for k in range(first, last):
            q = (k - first) * heads
            add_heads(total, at(slant, q), heads, fixed)
            other = at(grad, np.int64(t_indices[k]) * width)
            add_row(acc, at(term, q), other, heads, channels, fixed)


@jit(forceinline=True)
def _backward(
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
    heads, channels, fixed = shape
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
                add_row(acc, total, att, heads, channels, fixed)
                add_row(acc, dst, at(att, width), heads, channels, fixed)
                add_row(att_sum, total, own, heads, channels, fixed)
                add_row(at(att_sum, width), dst, own, heads, channels, fixed)
            x_row, src = at(data(grad_x), j * width), at(data(grad_src), j * heads)
            for c in range(width):
                x_row[c] = acc[c]
            for h in range(heads):
                src[h] = total[h]
        block = take_block(counter)


@lru_cache
def backward_kernel(heads: int, channels: int) -> Callable[..., None]:
    """Return the loop over out-edges for one shape; ``(0, 0)`` for any shape."""
    size, most, pad = heads * channels or MAX_WIDTH, heads or MAX_HEADS, LANES + 8

    @jit()
    def gat_backward(counter, graph, inputs, settings, rule, outputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        f = settings[0]
        shape = shape_of(inputs[2], fixed_shape(heads, channels))
        lanes = (stack(pad, f), stack(pad, f), stack(pad, f), stack(pad, f))
        scratch = (stack(size, f), stack(most, f), *lanes, stack(pad, rule[0]))
        own = stack(size, f)
        _backward(counter, graph, inputs, settings, rule, outputs, shape, own, scratch)

    return gat_backward

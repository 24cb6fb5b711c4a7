r"""GATv2 attention on the CPU: one walk over the in-edges, and two for the gradients.

The score :math:`s_{ij} = att \cdot LeakyReLU(x_j + z_i)` needs the row :math:`x_j`
itself, so the softmax is computed online: each chunk of a row computes its scores, and
when their maximum rises, the sums so far are scaled down. Of the two walks of the
backward pass the one over in-edges computes the gradients of the targets, of ``att``
and of the weights, the other that of the messages. Both compute the scores again.
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
    softmax_terms,
    weight_gradients,
)
from gsparse.kernels.attention.grid import Shape, fixed_shape, shape_of
from gsparse.kernels.attention.loops import (
    add_hidden,
    add_rows,
    dots,
    gatv2_scores,
    scale_row,
    score_gradients,
    softmax_ends,
)
from gsparse.kernels.scalar import Pointer, at, data, exp, stack
from gsparse.kernels.threads import jit, take_block

_CHUNK = 16  # edges whose rows of x are still in the cache when they are summed


@jit(forceinline=True)
def _rise(
    part: tuple[Any, Any],
    edges: tuple[Pointer, ...],
    has_weight: bool,
    shape: Shape,
    scratch: tuple[Pointer, ...],
) -> None:
    """Raise the running maximum to that of a chunk; scale down earlier sums, and shift
    the scores.
    """
    acc, total, top, old, term = scratch
    heads, channels, _ = shape
    _, edge_id, weight = edges
    for h in range(heads):
        old[h] = top[h]
    for k in range(part[0], part[1]):
        if not has_weight or edge_id[k] < 0 or weight[edge_id[k]] != 0:
            lanes = at(term, (k - part[0]) * heads)
            for h in range(heads):
                top[h] = lanes[h] if lanes[h] > top[h] else top[h]
    for h in range(heads):
        if top[h] > old[h]:
            scale = exp(old[h] - top[h])
            total[h] *= scale
            for c in range(h * channels, (h + 1) * channels):
                acc[c] *= scale
    for q in range(0, (part[1] - part[0]) * heads, heads):
        for h in range(heads):
            term[q + h] -= top[h]


@jit(forceinline=True)
def _forward(
    counter: np.ndarray,
    graph: tuple[np.ndarray, ...],
    inputs: tuple[np.ndarray, ...],
    slope: float,
    rule: tuple[Any, ...],
    outputs: tuple[np.ndarray, ...],
    shape: Shape,
    none: Pointer,
    scratch: tuple[Pointer, ...],
) -> None:
    blocks, indptr, indices, edge_id = graph
    x, x_dst, att = data(inputs[0]), data(inputs[1]), data(inputs[2])
    edges = (data(indices), data(edge_id), data(inputs[3]))
    has_weight = inputs[3].shape[0] > 0
    out, lse = data(outputs[0]), data(outputs[1])
    acc, total, top, old, inverse, term, drop, lane = scratch
    heads, channels, _ = shape
    width, chunk = heads * channels, min(_CHUNK, max(1, LANES // heads))
    itemsize, num_edges = inputs[0].itemsize, indices.shape[0]
    fill(none, heads, slope - slope)
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for i in range(blocks[block], blocks[block + 1]):
            end, target = np.int64(indptr[i + 1]), at(x_dst, i * width)
            fill(acc, width, slope - slope)
            fill(total, heads, slope - slope)
            fill(top, heads, -np.inf)
            for first in range(np.int64(indptr[i]), end, chunk):
                part: tuple[Any, Any] = (first, min(first + chunk, end))
                prefetch_rows(x, width, itemsize, edges[0], part, num_edges)
                gatv2_scores(
                    term, target, x, att, none, 0, slope, edges[0], *part, shape
                )
                _rise(part, edges, has_weight, shape, (acc, total, top, old, term))
                lanes = (term, drop, lane)
                softmax_terms(part, edges, has_weight, rule, shape, lanes, total)
                if rule[2] > 0:
                    for q in range((part[1] - first) * heads):
                        term[q] *= drop[q]
                add_rows(acc, term, x, edges[0], *part, shape)
            softmax_ends(inverse, at(lse, i * heads), total, top, shape)
            scale_row(at(out, i * width), acc, inverse, None, shape)
        block = take_block(counter)


@jit(forceinline=True)
def _chunk(
    part: tuple[Any, Any],
    edges: tuple[Pointer, ...],
    nodes: tuple[Pointer, ...],
    settings: tuple[Any, ...],
    rule: tuple[Any, ...],
    shape: Shape,
    lanes: tuple[Pointer, ...],
) -> None:
    """Compute ``term = p m w`` and ``slant``, the gradients of a chunk's scores."""
    indices, slots, edge_id, weight = edges
    own, other, att, own_row, other_row, record, stride = nodes
    slope, weight_grad, has_weight, grad_weight = settings
    term, slant, drop, lane = lanes
    heads, first = shape[0], part[0]
    count = (part[1] - first) * heads
    gatv2_scores(term, own, other, att, record, stride, slope, indices, *part, shape)
    for q in range(count):
        term[q] = exp(term[q])
    if rule[2] > 0:
        counters(part, slots, heads, lane)
        drop_factors(lane, count, rule, drop)
    delta = at(record, heads)
    score_gradients(
        slant, term, drop, own_row, other_row, delta, stride, indices, *part, shape
    )
    if has_weight:
        held, terms = (slots, edge_id, weight), (term, slant)
        weight_gradients(part, held, heads, terms, grad_weight, weight_grad)
    for q in range(count):
        term[q] *= drop[q]


@jit(forceinline=True)
def _targets(
    counter: np.ndarray,
    graph: tuple[np.ndarray, ...],
    inputs: tuple[np.ndarray, ...],
    settings: tuple[Any, ...],
    rule: tuple[Any, ...],
    outputs: tuple[np.ndarray, ...],
    shape: Shape,
    wide: tuple[Pointer, ...],
    lanes: tuple[Pointer, ...],
) -> None:
    """Sum the gradients of targets, ``att`` and weights over in-edges."""
    blocks, indptr, indices, edge_id = graph
    x, x_dst, att = data(inputs[0]), data(inputs[1]), data(inputs[2])
    grad, out, lse = data(inputs[4]), data(inputs[5]), data(inputs[6])
    grad_dst, grad_att, record = data(outputs[0]), data(outputs[1]), data(outputs[3])
    slope, weight_grad = settings
    settings = (slope, weight_grad, inputs[3].shape[0] > 0, data(outputs[2]))
    edges = (data(indices), None, data(edge_id), data(inputs[3]))
    heads, channels, _ = shape
    width, itemsize, num_edges = heads * channels, inputs[0].itemsize, indices.shape[0]
    (acc, sums), chunk = wide, min(_CHUNK, max(1, LANES // heads))
    fill(lanes[2], LANES, 1.0)
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        to_att = at(grad_att, block * width)
        for i in range(blocks[block], blocks[block + 1]):
            end, target = np.int64(indptr[i + 1]), at(x_dst, i * width)
            row, own = at(grad, i * width), at(record, i * 2 * heads)
            for h in range(heads):
                own[h] = lse[i * heads + h]
            dots(at(own, heads), row, at(out, i * width), shape)
            fill(acc, width, slope - slope)
            fill(sums, width, slope - slope)
            for first in range(np.int64(indptr[i]), end, chunk):
                part = (first, min(first + chunk, end))
                prefetch_rows(x, width, itemsize, edges[0], part, num_edges)
                nodes = (target, x, att, row, x, own, 0)
                _chunk(part, edges, nodes, settings, rule, shape, lanes)
                add_hidden(
                    acc, sums, lanes[1], target, x, slope, edges[0], *part, shape
                )
            to = at(grad_dst, i * width)
            for c in range(width):
                to[c] = acc[c] * att[c]
                to_att[c] += sums[c]
        block = take_block(counter)


@jit(forceinline=True)
def _sources(
    counter: np.ndarray,
    graph: tuple[np.ndarray, ...],
    inputs: tuple[np.ndarray, ...],
    slope: float,
    rule: tuple[Any, ...],
    grad_x: np.ndarray,
    shape: Shape,
    wide: tuple[Pointer, ...],
    lanes: tuple[Pointer, ...],
) -> None:
    """Sum the gradients of the sources over out-edges."""
    blocks, t_indptr, t_indices, t_perm, edge_id = graph
    x, x_dst, att = data(inputs[0]), data(inputs[1]), data(inputs[2])
    weight, grad, record = data(inputs[3]), data(inputs[4]), data(inputs[5])
    settings = (slope, False, inputs[3].shape[0] > 0, weight)
    edges = (data(t_indices), data(t_perm), data(edge_id), weight)
    heads, channels, _ = shape
    width, itemsize = heads * channels, inputs[0].itemsize
    num_edges, chunk = t_indices.shape[0], min(_CHUNK, max(1, LANES // heads))
    acc, sums, own = wide
    fill(lanes[2], LANES, 1.0)
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for j in range(blocks[block], blocks[block + 1]):
            row, end = at(x, j * width), np.int64(t_indptr[j + 1])
            for c in range(width):
                acc[c], sums[c], own[c] = slope - slope, slope - slope, row[c]
            for first in range(np.int64(t_indptr[j]), end, chunk):
                part = (first, min(first + chunk, end))
                prefetch_rows(grad, width, itemsize, edges[0], part, num_edges)
                prefetch_rows(x_dst, width, itemsize, edges[0], part, num_edges)
                prefetch_rows(record, 2 * heads, itemsize, edges[0], part, num_edges)
                nodes = (own, x_dst, att, own, grad, record, 2 * heads)
                _chunk(part, edges, nodes, settings, rule, shape, lanes)
                add_hidden(
                    acc, None, lanes[1], own, x_dst, slope, edges[0], *part, shape
                )
                add_rows(sums, lanes[0], grad, edges[0], *part, shape)
            row = at(data(grad_x), j * width)
            for c in range(width):
                row[c] = acc[c] * att[c] + sums[c]
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
        lanes = (stack(pad, f), stack(pad, f), stack(pad, rule[0]))
        scratch = (*nodes, stack(most, f), *lanes)
        none = stack(most, f)
        _forward(counter, graph, inputs, slope, rule, outputs, shape, none, scratch)

    return gatv2_forward


@lru_cache
def targets_kernel(heads: int, channels: int) -> Callable[..., None]:
    """Return the backward loop over in-edges."""
    size, pad = heads * channels or MAX_WIDTH, LANES + 8

    @jit()
    def gatv2_targets(counter, graph, inputs, settings, rule, outputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        f = settings[0]
        shape = shape_of(inputs[0], fixed_shape(heads, channels))
        lanes = (stack(pad, f), stack(pad, f), stack(pad, f), stack(pad, rule[0]))
        wide = (stack(size, f), stack(size, f))
        _targets(counter, graph, inputs, settings, rule, outputs, shape, wide, lanes)

    return gatv2_targets


@lru_cache
def sources_kernel(heads: int, channels: int) -> Callable[..., None]:
    """Return the backward loop over out-edges."""
    size, pad = heads * channels or MAX_WIDTH, LANES + 8

    @jit()
    def gatv2_sources(counter, graph, inputs, slope, rule, grad_x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        f = slope
        shape = shape_of(inputs[0], fixed_shape(heads, channels))
        lanes = (stack(pad, f), stack(pad, f), stack(pad, f), stack(pad, rule[0]))
        wide = (stack(size, f), stack(size, f), stack(size, f))
        _sources(counter, graph, inputs, slope, rule, grad_x, shape, wide, lanes)

    return gatv2_sources

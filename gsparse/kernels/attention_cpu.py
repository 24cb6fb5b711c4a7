"""CPU bodies of GAT attention: one pass over in-edges, one over out-edges.

Edges of a row are taken in chunks of a few hundred (edge, head) lanes: scores are
gathered, then one contiguous loop does the exponentials, then the rows of ``x`` are
added up while they are in cache.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from gsparse.kernels.scalar import at, data, exp, prefetch, random_bits, stack
from gsparse.kernels.threads import jit, take_block

#: Largest ``heads`` and ``heads * channels`` the kernels for any shape can take.
MAX_HEADS, MAX_WIDTH = 256, 4096

_AHEAD = 16  # edges between the request for a neighbour's cache lines and their use
_LANES = 256  # (edge, head) pairs of a chunk
_PAD = _LANES + 8

Pointer = Any


@jit(forceinline=True)
def _request(row: Pointer, width: int, itemsize: int) -> None:
    """Prefetch a row, one request a cache line."""
    for c in range(0, width, 64 // itemsize):
        prefetch(at(row, c))


@jit(forceinline=True)
def _leaky(value: float, slope: float) -> float:
    return value if value > 0 else value * slope


@jit(forceinline=True)
def _drop(lane: Pointer, count: int, drop_rule: tuple[Any, ...], out: Pointer) -> None:
    """Dropout factors, 0 or ``scale``, of lanes with these counters."""
    key, key2, threshold, scale = drop_rule
    zero = scale - scale
    for q in range(count):
        bits = random_bits(lane[q], key, key2)
        out[q] = scale if bits >= threshold else zero


@jit(forceinline=True)
def _top_scores(
    low: int,
    high: int,
    indices: Pointer,
    edge_id: Pointer,
    weight: Pointer,
    has_weight: bool,
    alpha_src: Pointer,
    heads: int,
    top: Pointer,
) -> None:
    """Largest ``alpha_src`` among the neighbours that are present, ``[heads]``."""
    for h in range(heads):
        top[h] = -np.inf
    for k in range(low, high):
        if has_weight and edge_id[k] >= 0 and weight[edge_id[k]] == 0:
            continue
        src = at(alpha_src, np.int64(indices[k]) * heads)
        for h in range(heads):
            top[h] = src[h] if src[h] > top[h] else top[h]


@jit(forceinline=True)
def _add_row(
    acc: Pointer, term: Pointer, row: Pointer, heads: int, channels: int
) -> None:
    for h in range(heads):
        for c in range(h * channels, (h + 1) * channels):
            acc[c] += term[h] * row[c]


@jit(forceinline=True)
def _forward(
    counter: np.ndarray,
    graph: tuple[np.ndarray, ...],
    inputs: tuple[np.ndarray, ...],
    settings: tuple[Any, ...],
    drop_rule: tuple[Any, ...],
    outputs: tuple[np.ndarray, ...],
    heads: int,
    channels: int,
    scratch: tuple[Pointer, ...],
) -> None:
    blocks, indptr, indices, edge_id = graph
    num_edges, has_weight = indices.shape[0], inputs[3].shape[0] > 0
    itemsize = inputs[2].itemsize
    indices, edge_id = data(graph[2]), data(graph[3])
    alpha_src, alpha_dst = data(inputs[0]), data(inputs[1])
    x, weight = data(inputs[2]), data(inputs[3])
    out, lse, part, part_sum = (
        data(outputs[0]),
        data(outputs[1]),
        data(outputs[2]),
        data(outputs[3]),
    )
    slope, save = settings
    acc, pos, top, total, total_pos, score, term, term_pos, drop, lane = scratch
    zero = slope - slope
    one = zero + np.float32(1)
    width = heads * channels
    chunk = max(1, _LANES // heads)
    while True:
        block = take_block(counter)
        if block >= blocks.shape[0] - 1:
            break
        for i in range(blocks[block], blocks[block + 1]):
            low, high = np.int64(indptr[i]), np.int64(indptr[i + 1])
            dst = at(alpha_dst, i * heads)
            _top_scores(
                low, high, indices, edge_id, weight, has_weight, alpha_src, heads, top
            )
            for h in range(heads):
                top[h] = _leaky(top[h] + dst[h], slope)
                total[h] = zero
                total_pos[h] = zero
            for c in range(width):
                acc[c] = zero
                pos[c] = zero
            for first in range(low, high, chunk):
                last = min(first + chunk, high)
                count = (last - first) * heads
                for k in range(first, last):
                    if k + _AHEAD < num_edges:
                        _request(
                            at(x, np.int64(indices[k + _AHEAD]) * width),
                            width,
                            itemsize,
                        )
                    src = at(alpha_src, np.int64(indices[k]) * heads)
                    q = (k - first) * heads
                    for h in range(heads):
                        score[q + h] = src[h] + dst[h]
                    for h in range(heads):
                        term[q + h] = _leaky(src[h] + dst[h], slope) - top[h]
                for q in range(count):
                    term[q] = exp(term[q])
                if has_weight:
                    for k in range(first, last):
                        if edge_id[k] >= 0:
                            factor = weight[edge_id[k]]
                            for h in range(heads):
                                q = (k - first) * heads + h
                                term[q] = term[q] * factor if factor != 0 else zero
                if save:
                    for q in range(count):
                        term_pos[q] = term[q] if score[q] > 0 else zero
                    for k in range(first, last):
                        q = (k - first) * heads
                        for h in range(heads):
                            total_pos[h] += term_pos[q + h]
                for k in range(first, last):
                    q = (k - first) * heads
                    for h in range(heads):
                        total[h] += term[q + h]
                if drop_rule[2] > 0:
                    for q in range(count):
                        lane[q] = np.uint32(first * heads + q)
                    _drop(lane, count, drop_rule, drop)
                    for q in range(count):
                        term[q] *= drop[q]
                    if save:
                        for q in range(count):
                            term_pos[q] *= drop[q]
                for k in range(first, last):
                    row = at(x, np.int64(indices[k]) * width)
                    q = (k - first) * heads
                    _add_row(acc, at(term, q), row, heads, channels)
                    if save:
                        _add_row(pos, at(term_pos, q), row, heads, channels)
            for h in range(heads):
                inverse = zero if total[h] == 0 else one / total[h]
                total_pos[h] *= inverse
                row = at(out, i * width)
                for c in range(h * channels, (h + 1) * channels):
                    row[c] = acc[c] * inverse
                if save:
                    row = at(part, i * width)
                    for c in range(h * channels, (h + 1) * channels):
                        row[c] = pos[c] * inverse
                    part_sum[i * heads + h] = total_pos[h]
                    lse[i * heads + h] = (
                        np.inf if total[h] == 0 else top[h] + math.log(total[h])
                    )


@jit(forceinline=True, fastmath={"reassoc", "contract", "nsz"})
def _dot(a: Pointer, b: Pointer, channels: int) -> float:
    total = a[0] * b[0]
    for c in range(1, channels):
        total += a[c] * b[c]
    return total


@jit(forceinline=True)
def _dots(a: Pointer, b: Pointer, heads: int, channels: int, out: Pointer) -> None:
    """Inner product of two rows for each head."""
    for h in range(heads):
        out[h] = _dot(at(a, h * channels), at(b, h * channels), channels)


@jit(forceinline=True)
def _backward(
    counter: np.ndarray,
    graph: tuple[np.ndarray, ...],
    inputs: tuple[np.ndarray, ...],
    settings: tuple[Any, ...],
    drop_rule: tuple[Any, ...],
    outputs: tuple[np.ndarray, ...],
    heads: int,
    channels: int,
    scratch: tuple[Pointer, ...],
) -> None:
    blocks, t_indptr = graph[0], graph[1]
    num_edges, has_weight = graph[2].shape[0], inputs[3].shape[0] > 0
    itemsize = inputs[2].itemsize
    t_indices, t_perm, edge_id = data(graph[2]), data(graph[3]), data(graph[4])
    alpha_src, record = data(inputs[0]), data(inputs[1])
    x, weight, grad = data(inputs[2]), data(inputs[3]), data(inputs[4])
    grad_src, grad_x, grad_weight = data(outputs[0]), data(outputs[1]), data(outputs[2])
    slope, weight_grad = settings
    acc, own, total, score, term, dot, delta, drop, lane = scratch
    zero = slope - slope
    one = zero + np.float32(1)
    width = heads * channels
    chunk = max(1, _LANES // heads)
    for q in range(_LANES):
        drop[q] = one
    while True:
        block = take_block(counter)
        if block >= blocks.shape[0] - 1:
            break
        for j in range(blocks[block], blocks[block + 1]):
            src = at(alpha_src, j * heads)
            row = at(x, j * width)
            for h in range(heads):
                total[h] = zero
            for c in range(width):
                acc[c] = zero
                own[c] = row[c]
            low, high = np.int64(t_indptr[j]), np.int64(t_indptr[j + 1])
            for first in range(low, high, chunk):
                last = min(first + chunk, high)
                count = (last - first) * heads
                for k in range(first, last):
                    if k + _AHEAD < num_edges:
                        other = np.int64(t_indices[k + _AHEAD])
                        _request(at(grad, other * width), width, itemsize)
                        _request(at(record, other * 3 * heads), 3 * heads, itemsize)
                    rec = at(record, np.int64(t_indices[k]) * 3 * heads)
                    q = (k - first) * heads
                    for h in range(heads):
                        score[q + h] = src[h] + rec[h]
                    for h in range(heads):
                        term[q + h] = _leaky(src[h] + rec[h], slope) - rec[heads + h]
                    for h in range(heads):
                        delta[q + h] = rec[2 * heads + h]
                for q in range(count):
                    term[q] = exp(term[q])
                if drop_rule[2] > 0:
                    for k in range(first, last):
                        q = (k - first) * heads
                        for h in range(heads):
                            lane[q + h] = np.uint32(t_perm[k] * heads + h)
                    _drop(lane, count, drop_rule, drop)
                for k in range(first, last):
                    row = at(grad, np.int64(t_indices[k]) * width)
                    q = (k - first) * heads
                    _dots(row, own, heads, channels, at(dot, q))
                for q in range(count):
                    dot[q] = term[q] * (drop[q] * dot[q] - delta[q])
                if has_weight:
                    for k in range(first, last):
                        entry = edge_id[t_perm[k]]
                        if entry >= 0:
                            factor = weight[entry]
                            q = (k - first) * heads
                            if weight_grad:
                                to_weight = zero
                                for h in range(heads):
                                    to_weight += dot[q + h]
                                grad_weight[entry] = to_weight
                            for h in range(heads):
                                term[q + h] *= factor
                                dot[q + h] *= factor
                for q in range(count):
                    dot[q] = dot[q] if score[q] > 0 else dot[q] * slope
                    term[q] *= drop[q]
                for k in range(first, last):
                    q = (k - first) * heads
                    for h in range(heads):
                        total[h] += dot[q + h]
                for k in range(first, last):
                    row = at(grad, np.int64(t_indices[k]) * width)
                    q = (k - first) * heads
                    _add_row(acc, at(term, q), row, heads, channels)
            row = at(grad_x, j * width)
            for c in range(width):
                row[c] = acc[c]
            row = at(grad_src, j * heads)
            for h in range(heads):
                row[h] = total[h]


@jit(forceinline=True)
def _targets(
    counter: np.ndarray,
    blocks: np.ndarray,
    inputs: tuple[np.ndarray, ...],
    slope: float,
    outputs: tuple[np.ndarray, ...],
    heads: int,
    channels: int,
) -> None:
    alpha_dst, part_sum = inputs[0], inputs[4]
    out, lse, part, grad = data(inputs[1]), inputs[2], data(inputs[3]), data(inputs[5])
    record, grad_dst = outputs
    width = heads * channels
    while True:
        block = take_block(counter)
        if block >= blocks.shape[0] - 1:
            break
        for i in range(blocks[block], blocks[block + 1]):
            row = at(grad, i * width)
            for h in range(heads):
                c = h * channels
                delta = _dot(at(row, c), at(out, i * width + c), channels)
                share = _dot(at(row, c), at(part, i * width + c), channels)
                # The terms of all scores sum to zero: those below need no pass.
                above = share - delta * part_sum[i, h]
                grad_dst[i, h] = above - slope * above
                record[i, 0, h] = alpha_dst[i, h]
                record[i, 1, h] = lse[i, h]
                record[i, 2, h] = delta


@lru_cache
def target_kernel(heads: int, channels: int) -> Callable[..., None]:
    """What the backward pass needs of each target; gradient of ``alpha_dst``."""

    @jit()
    def gat_targets(counter, blocks, inputs, slope, outputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        h = heads if heads > 0 else inputs[0].shape[1]
        c = channels if heads > 0 else inputs[1].shape[2]
        _targets(counter, blocks, inputs, slope, outputs, h, c)

    return gat_targets


@lru_cache
def forward_kernel(heads: int, channels: int) -> Callable[..., None]:
    """The forward loop, compiled for one shape; ``(0, 0)`` serves any shape."""
    size, lanes = heads * channels or MAX_WIDTH, heads or MAX_HEADS

    @jit()
    def gat_forward(counter, graph, inputs, settings, drop_rule, outputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        f = settings[0]
        h = heads if heads > 0 else inputs[0].shape[1]
        c = channels if heads > 0 else inputs[2].shape[2]
        scratch = (
            stack(size, f),
            stack(size, f),
            stack(lanes, f),
            stack(lanes, f),
            stack(lanes, f),
            stack(_PAD, f),
            stack(_PAD, f),
            stack(_PAD, f),
            stack(_PAD, f),
            stack(_PAD, drop_rule[0]),
        )
        _forward(counter, graph, inputs, settings, drop_rule, outputs, h, c, scratch)

    return gat_forward


@lru_cache
def backward_kernel(heads: int, channels: int) -> Callable[..., None]:
    """The backward loop over out-edges, compiled like :func:`forward_kernel`."""
    size, lanes = heads * channels or MAX_WIDTH, heads or MAX_HEADS

    @jit()
    def gat_backward(counter, graph, inputs, settings, drop_rule, outputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        f = settings[0]
        h = heads if heads > 0 else inputs[0].shape[1]
        c = channels if heads > 0 else inputs[2].shape[2]
        scratch = (
            stack(size, f),
            stack(size, f),
            stack(lanes, f),
            stack(_PAD, f),
            stack(_PAD, f),
            stack(_PAD, f),
            stack(_PAD, f),
            stack(_PAD, f),
            stack(_PAD, drop_rule[0]),
        )
        _backward(counter, graph, inputs, settings, drop_rule, outputs, h, c, scratch)

    return gat_backward

"""Backward pass of GATv2 attention on the CPU: two walks over the edges.

The walk over in-edges computes the gradients of the targets, of ``att`` and of the
weights; the walk over out-edges that of the messages. Both compute the scores again.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from gsparse.kernels.attention.lanes import (
    AHEAD,
    MAX_HEADS,
    MAX_WIDTH,
    Shape,
    drop_factors,
    fill,
    request,
)
from gsparse.kernels.attention.simd import add_row, dots
from gsparse.kernels.attention.simd_v2 import add_leaky, add_slope, leaky_dots
from gsparse.kernels.scalar import Pointer, at, data, exp, stack
from gsparse.kernels.threads import jit, take_block
from gsparse.kernels.vector_code import fixed_shape, shape_of


@jit(forceinline=True)
def _edge(
    slot: int,
    entry: int,
    nodes: tuple[Pointer, ...],
    settings: tuple[Any, ...],
    rule: tuple[Any, ...],
    shape: Shape,
    scratch: tuple[Pointer, ...],
) -> float:
    """Compute ``term = p m w`` and the score's gradient; return that of the weight."""
    term, slant, drop, lane = scratch
    att, source, target, grad, record = nodes
    slope, weight, has_weight = settings
    heads, channels, fixed = shape
    leaky_dots(att, source, target, slope, term, heads, channels, fixed)
    for h in range(heads):
        term[h] = exp(term[h] - record[h])
    if rule[2] > 0:
        for h in range(heads):
            lane[h] = np.uint32(slot * heads + h)
        drop_factors(lane, heads, rule, drop)
    dots(grad, source, slant, heads, channels, fixed)
    factor = slope - slope + np.float32(1)
    if has_weight and entry >= 0:
        factor = weight[entry]
    to_weight = slope - slope
    for h in range(heads):
        slant[h] = term[h] * (drop[h] * slant[h] - record[heads + h])
        to_weight += slant[h]
        slant[h] = slant[h] * factor if factor != 0 else factor
        term[h] = term[h] * drop[h] * factor if factor != 0 else factor
    return to_weight


@jit(forceinline=True)
def _targets(
    counter: np.ndarray,
    graph: tuple[np.ndarray, ...],
    inputs: tuple[np.ndarray, ...],
    settings: tuple[Any, ...],
    rule: tuple[Any, ...],
    outputs: tuple[np.ndarray, ...],
    shape: Shape,
    acc: Pointer,
    scratch: tuple[Pointer, ...],
) -> None:
    """Sum the gradients of targets, ``att`` and weights over in-edges."""
    blocks, indptr, indices, edge_id = graph
    x, x_dst, att = data(inputs[0]), data(inputs[1]), data(inputs[2])
    weight, grad, out, lse = (
        data(inputs[3]),
        data(inputs[4]),
        data(inputs[5]),
        inputs[6],
    )
    grad_dst, grad_att, grad_weight, record = outputs
    slope, weight_grad = settings
    rest = (slope, weight, inputs[3].shape[0] > 0)
    heads, channels, fixed = shape
    width, itemsize, num_edges = heads * channels, inputs[0].itemsize, indices.shape[0]
    fill(scratch[2], heads, 1.0)
    slant = scratch[1]
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        att_sum = at(data(grad_att), block * width)
        for i in range(blocks[block], blocks[block + 1]):
            target, row = at(x_dst, i * width), at(grad, i * width)
            own = at(data(record), i * 2 * heads)
            dots(row, at(out, i * width), at(own, heads), heads, channels, fixed)
            for h in range(heads):
                own[h] = lse[i, h]
            fill(acc, width, slope - slope)
            for k in range(np.int64(indptr[i]), np.int64(indptr[i + 1])):
                if k + AHEAD < num_edges:
                    ahead = np.int64(indices[k + AHEAD])
                    request(at(x, ahead * width), width, itemsize)
                source, entry = at(x, np.int64(indices[k]) * width), edge_id[k]
                nodes = (att, source, target, row, own)
                change = _edge(k, entry, nodes, rest, rule, shape, scratch)
                if weight_grad and entry >= 0:
                    grad_weight[entry] = change
                add_slope(
                    acc, slant, att, source, target, slope, heads, channels, fixed
                )
                add_leaky(att_sum, slant, source, target, slope, heads, channels, fixed)
            target = at(data(grad_dst), i * width)
            for c in range(width):
                target[c] = acc[c]
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
    wide: tuple[Pointer, Pointer],
    scratch: tuple[Pointer, ...],
) -> None:
    """Sum the gradients of the sources over out-edges."""
    blocks, t_indptr, t_indices, t_perm, edge_id = graph
    x, x_dst, att = data(inputs[0]), data(inputs[1]), data(inputs[2])
    weight, grad, record = data(inputs[3]), data(inputs[4]), data(inputs[5])
    rest = (slope, weight, inputs[3].shape[0] > 0)
    heads, channels, fixed = shape
    width, itemsize = heads * channels, inputs[0].itemsize
    num_edges = t_indices.shape[0]
    fill(scratch[2], heads, 1.0)
    term, slant = scratch[0], scratch[1]
    acc, own = wide
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for j in range(blocks[block], blocks[block + 1]):
            row = at(x, j * width)
            for c in range(width):
                acc[c] = slope - slope
                own[c] = row[c]
            for k in range(np.int64(t_indptr[j]), np.int64(t_indptr[j + 1])):
                if k + AHEAD < num_edges:
                    ahead = np.int64(t_indices[k + AHEAD])
                    request(at(grad, ahead * width), width, itemsize)
                    request(at(x_dst, ahead * width), width, itemsize)
                    request(at(record, ahead * 2 * heads), 2 * heads, itemsize)
                i, slot = np.int64(t_indices[k]), t_perm[k]
                target, row = at(x_dst, i * width), at(grad, i * width)
                nodes = (att, own, target, row, at(record, i * 2 * heads))
                _edge(slot, edge_id[slot], nodes, rest, rule, shape, scratch)
                add_slope(acc, slant, att, own, target, slope, heads, channels, fixed)
                add_row(acc, term, row, heads, channels, fixed)
            row = at(data(grad_x), j * width)
            for c in range(width):
                row[c] = acc[c]
        block = take_block(counter)


@lru_cache
def targets_kernel(heads: int, channels: int) -> Callable[..., None]:
    """Return the backward loop over in-edges."""
    size, most = heads * channels or MAX_WIDTH, heads or MAX_HEADS

    @jit()
    def gatv2_targets(counter, graph, inputs, settings, rule, outputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        f = settings[0]
        shape = shape_of(inputs[0], fixed_shape(heads, channels))
        lanes = (stack(most, f), stack(most, f), stack(most, f))
        scratch = (*lanes, stack(most, rule[0]))
        acc = stack(size, f)
        _targets(counter, graph, inputs, settings, rule, outputs, shape, acc, scratch)

    return gatv2_targets


@lru_cache
def sources_kernel(heads: int, channels: int) -> Callable[..., None]:
    """Return the backward loop over out-edges."""
    size, most = heads * channels or MAX_WIDTH, heads or MAX_HEADS

    @jit()
    def gatv2_sources(counter, graph, inputs, slope, rule, grad_x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        f = slope
        shape = shape_of(inputs[0], fixed_shape(heads, channels))
        lanes = (stack(most, f), stack(most, f), stack(most, f))
        scratch = (*lanes, stack(most, rule[0]))
        wide = (stack(size, f), stack(size, f))
        _sources(counter, graph, inputs, slope, rule, grad_x, shape, wide, scratch)

    return gatv2_sources

"""Formulas of attention over the heads and channels of the edges of a row.

Each formula is written once and serves shapes known at compile time and all others;
see :mod:`gsparse.kernels.attention.grid`. In the docstrings ``k`` runs over a chunk of
edges, ``low`` to ``high - 1``, ``n`` is ``indices[k]``, and arrays ``[k, h]`` hold one
number per edge of the chunk and head. A stride of 0 means the same row for all edges.
"""

from typing import Any

from numba import types

from gsparse.kernels.attention.grid import Grid, Load, Sum, over_grid
from gsparse.kernels.scalar import FUSE

# ruff: noqa: ANN401 (values of llvmlite)


@over_grid
def add_row(grid: Grid, acc: Any, term: Any, row: Any) -> None:
    """Compute ``acc[h, c] += term[h] * row[h, c]``."""
    grid.add_row(acc, term, grid.row(row))


@over_grid
def dots(grid: Grid, out: Any, a: Any, b: Any) -> None:
    """Compute ``out[h] = sum_c a[h, c] * b[h, c]``."""
    grid.each_sum(_product(grid, a, b), lambda h, _, sums: grid.store(sums, out, h))


def _product(grid: Grid, a: Any, b: Any) -> Load:
    return lambda *block: grid.product(grid.load(a, *block), grid.load(b, *block))


@over_grid
def raise_top(
    grid: Grid, top: Any, src: Any, indices: Any, low: Any, high: Any
) -> None:
    """Compute ``top[h] = max(top[h], src[n, h])``."""

    def value(k: Any) -> Any:
        return grid.plus(src, grid.index(indices, k, 2), grid.heads)

    grid.over_edges(top, low, high, value, grid.larger)


@over_grid
def add_heads(grid: Grid, total: Any, term: Any, low: Any, high: Any) -> None:
    """Compute ``total[h] += sum_k term[k, h]``."""
    value = lambda k: grid.at(term, grid.lane(k, low))  # noqa: E731
    grid.over_edges(total, low, high, value, grid.builder.fadd)


@over_grid
def gat_scores(
    grid: Grid,
    score: Any,
    term: Any,
    own: Any,
    other: Any,
    stride: Any,
    shift: Any,
    shift_stride: Any,
    slope: Any,
    indices: Any,
    low: Any,
    high: Any,
) -> None:
    """Set ``score[k, h]`` to ``own[h] + other[n, h]`` and ``term`` to
    ``leaky(score) - shift[n, h]``.
    """
    with grid.loop(low, high) as k:
        lane, n = grid.lane(k, low), grid.index(indices, k, 8)
        row, less = grid.plus(other, n, stride), grid.plus(shift, n, shift_stride)

        def emit(*block: Any) -> None:
            u = grid.builder.fadd(grid.load(own, *block), grid.load(row, *block))
            shifted = grid.builder.fsub(grid.leaky(u, slope), grid.load(less, *block))
            grid.store(u, grid.at(score, lane), block[0])
            grid.store(shifted, grid.at(term, lane), block[0])

        grid.each_head(emit)


@over_grid
def gatv2_scores(
    grid: Grid,
    term: Any,
    own: Any,
    other: Any,
    att: Any,
    shift: Any,
    shift_stride: Any,
    slope: Any,
    indices: Any,
    low: Any,
    high: Any,
) -> None:
    """Set ``term[k, h]`` to
    ``sum_c att[h, c] * leaky(own[h, c] + other[n, h, c]) - shift[n, h]``.
    """
    with grid.loop(low, high) as k:
        n = grid.index(indices, k, 7)
        to, less = grid.at(term, grid.lane(k, low)), grid.plus(shift, n, shift_stride)
        hidden = _hidden(grid, own, grid.plus(other, n, grid.width))
        grid.each_sum(
            lambda *block: grid.product(
                grid.leaky(hidden(*block), slope), grid.load(att, *block)
            ),
            lambda h, count, sums: grid.store(
                grid.builder.fsub(sums, grid.load(less, h, count)), to, h
            ),
        )


def _hidden(grid: Grid, own: Any, other: Any) -> Load:
    return lambda *block: grid.builder.fadd(
        grid.load(own, *block), grid.load(other, *block)
    )


@over_grid
def add_rows(
    grid: Grid, acc: Any, term: Any, x: Any, indices: Any, low: Any, high: Any
) -> None:
    """Compute ``acc[h, c] += sum_k term[k, h] * x[n, h, c]``."""
    grid.add_rows(low, high, [(acc, term, grid.gathered(x, indices, 3))])


@over_grid
def add_rows_twice(
    grid: Grid,
    acc: Any,
    term: Any,
    acc2: Any,
    term2: Any,
    x: Any,
    indices: Any,
    low: Any,
    high: Any,
) -> None:
    """Do what :func:`add_rows` does for two sums of the same rows."""
    row = grid.gathered(x, indices, 5)
    grid.add_rows(low, high, [(acc, term, row), (acc2, term2, row)])


@over_grid
def add_hidden(
    grid: Grid,
    slopes: Any,
    sums: Any,
    slant: Any,
    own: Any,
    other: Any,
    slope: Any,
    indices: Any,
    low: Any,
    high: Any,
) -> None:
    """With ``u = own[h, c] + other[n, h, c]`` compute ``slopes[h, c] += sum_k
    slant[k, h] * leaky'(u)`` and, unless it is None, ``sums += slant * leaky(u)``.
    """

    def hidden(k: Any) -> Load:
        row = grid.plus(other, grid.index(indices, k, 6), grid.width)
        return _hidden(grid, own, row)

    def steep(k: Any) -> Load:
        def load(start: Any, size: int) -> Any:
            ones = grid.splat(grid.kind(1.0), size)
            lower = grid.splat(slope, size)
            above = grid.is_positive(hidden(k)(start, size))
            return grid.builder.select(above, ones, lower)

        return load

    def leaky(k: Any) -> Load:
        return lambda *block: grid.leaky(hidden(k)(*block), slope)

    wanted: list[Sum] = [(slopes, slant, steep)]
    if not isinstance(grid.types[1], types.NoneType):
        wanted.append((sums, slant, leaky))
    grid.add_rows(low, high, wanted)


@over_grid
def score_gradients(
    grid: Grid,
    slant: Any,
    term: Any,
    drop: Any,
    own: Any,
    other: Any,
    delta: Any,
    delta_stride: Any,
    indices: Any,
    low: Any,
    high: Any,
) -> None:
    """Set ``slant[k, h]`` to
    ``term[k, h] * (drop[k, h] * sum_c own[h, c] * other[n, h, c] - delta[n, h])``.
    """
    with grid.loop(low, high) as k:
        lane, n = grid.lane(k, low), grid.index(indices, k, 7)
        row, less = grid.plus(other, n, grid.width), grid.plus(delta, n, delta_stride)
        to, factor, kept = (grid.at(it, lane) for it in (slant, term, drop))

        def emit(h: Any, count: int, sums: Any) -> None:
            value = grid.builder.fmul(grid.load(kept, h, count), sums)
            value = grid.builder.fsub(value, grid.load(less, h, count))
            value = grid.builder.fmul(grid.load(factor, h, count), value)
            grid.store(value, to, h)

        grid.each_sum(_product(grid, own, row), emit)


@over_grid
def target_record(
    grid: Grid,
    record: Any,
    grad_dst: Any,
    grad: Any,
    out: Any,
    bias: Any,
    part: Any,
    part_sum: Any,
    dst: Any,
    lse: Any,
    slope: Any,
) -> None:
    """Set ``record[3, h]`` to the target's score, ``lse`` and ``delta = grad (out -
    bias)``, and ``grad_dst`` to ``(1 - slope) (grad part - delta part_sum)``.
    """
    builder, delta = grid.builder, grid.plus(record, 2, grid.heads)

    def product(*block: Any) -> Any:
        value = builder.fsub(grid.load(out, *block), grid.load(bias, *block))
        return grid.product(value, grid.load(grad, *block))

    def emit(h: Any, count: int, sums: Any) -> None:
        drift = builder.fmul(grid.load(delta, h, count), grid.load(part_sum, h, count))
        above = builder.fsub(sums, drift)
        lower = builder.fmul(above, grid.splat(slope, count))
        grid.store(builder.fsub(above, lower), grad_dst, h)
        grid.store(grid.load(dst, h, count), record, h)
        to = grid.plus(record, 1, grid.heads)
        grid.store(grid.load(lse, h, count), to, h)

    grid.each_sum(product, lambda h, _, sums: grid.store(sums, delta, h))
    grid.each_sum(_product(grid, grad, part), emit)


@over_grid
def softmax_ends(grid: Grid, inverse: Any, lse: Any, total: Any, top: Any) -> None:
    """Set ``inverse`` to ``1 / total`` and ``lse`` to ``top + log(total)``; to 0 and
    infinity for a node without edges.
    """

    def emit(h: Any, count: int) -> None:
        sums, builder = grid.load(total, h, count), grid.builder
        zeros, ones, most = (
            grid.splat(grid.kind(it), count) for it in (0.0, 1.0, float("inf"))
        )
        none = builder.fcmp_ordered("==", sums, zeros)
        part = builder.select(none, zeros, builder.fdiv(ones, sums))
        grid.store(part, inverse, h)
        if not isinstance(grid.types[1], types.NoneType):
            value = builder.fadd(grid.load(top, h, count), grid.log(sums))
            grid.store(builder.select(none, most, value), lse, h)

    grid.each_head(emit)


@over_grid
def scale_row(grid: Grid, out: Any, row: Any, factor: Any, more: Any) -> None:
    """Set ``out[h, c]`` to ``factor[h] * row[h, c]``, plus ``more[h, c]`` if given."""

    def emit(start: Any, size: int, spread: Any) -> None:
        value = grid.product(spread(factor), grid.load(row, start, size))
        if not isinstance(grid.types[3], types.NoneType):
            value = grid.builder.fadd(value, grid.load(more, start, size), flags=FUSE)
        grid.store(value, out, start)

    grid.each_channel(emit)

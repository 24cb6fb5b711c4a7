"""The inner loops of GATv2 attention; see :mod:`gsparse.kernels.attention.simd`."""

from typing import Any

from numba import types
from numba.extending import overload

from gsparse.kernels.threads import intrinsic
from gsparse.kernels.vector_code import (
    FUSE,
    FixedShape,
    blocks,
    emitter,
    itemsize,
    leaky,
    load,
    splat,
    spread,
    store,
    sum_channels,
)

# ruff: noqa: ANN401 (numba's typing and code-generation hooks)


def _hidden(builder: Any, a: Any, b: Any, start: int, size: int) -> Any:
    return builder.fadd(load(builder, a, start, size), load(builder, b, start, size))


@intrinsic
def _leaky_dots(
    typingctx: Any, att: Any, a: Any, b: Any, slope: Any, out: Any, fixed: Any
) -> Any:
    def emit(builder: Any, shape: FixedShape, *args: Any) -> None:
        att, a, b, slope, out = args

        def term(start: int, size: int) -> Any:
            hidden = _hidden(builder, a, b, start, size)
            value = leaky(builder, hidden, splat(builder, slope, size))
            return builder.fmul(value, load(builder, att, start, size), FUSE)

        sum_channels(builder, shape, out, term)

    return types.void(att, a, b, slope, out, fixed), emitter(emit)


@intrinsic
def _add_leaky(
    typingctx: Any, acc: Any, term: Any, a: Any, b: Any, slope: Any, fixed: Any
) -> Any:
    def emit(builder: Any, shape: FixedShape, *args: Any) -> None:
        acc, term, a, b, slope = args
        terms = load(builder, term, 0, shape.heads)
        for start, size in blocks(shape.heads * shape.channels, itemsize(acc)):
            hidden = _hidden(builder, a, b, start, size)
            value = leaky(builder, hidden, splat(builder, slope, size))
            factor = spread(builder, shape, terms, start, size)
            old = load(builder, acc, start, size)
            new = builder.fadd(old, builder.fmul(factor, value, FUSE), FUSE)
            store(builder, new, acc, start)

    return types.void(acc, term, a, b, slope, fixed), emitter(emit)


@intrinsic
def _add_slope(
    typingctx: Any,
    acc: Any,
    term: Any,
    att: Any,
    a: Any,
    b: Any,
    slope: Any,
    fixed: Any,
) -> Any:
    def emit(builder: Any, shape: FixedShape, *args: Any) -> None:
        acc, term, att, a, b, slope = args
        terms = load(builder, term, 0, shape.heads)
        for start, size in blocks(shape.heads * shape.channels, itemsize(acc)):
            hidden = _hidden(builder, a, b, start, size)
            above = builder.fcmp_ordered(">", hidden, hidden.type(None))
            value = load(builder, att, start, size)
            lower = builder.fmul(value, splat(builder, slope, size))
            value = builder.select(above, value, lower)
            factor = spread(builder, shape, terms, start, size)
            old = load(builder, acc, start, size)
            new = builder.fadd(old, builder.fmul(factor, value, FUSE), FUSE)
            store(builder, new, acc, start)

    return types.void(acc, term, att, a, b, slope, fixed), emitter(emit)


def leaky_dots(
    att: Any,
    a: Any,
    b: Any,
    slope: Any,
    out: Any,
    heads: int,
    channels: int,
    fixed: Any,
) -> None:
    """``out[h] = sum_c att[h, c] * leaky(a[h, c] + b[h, c])``."""


@overload(leaky_dots)
def _(att, a, b, slope, out, heads, channels, fixed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    if fixed.heads:
        return lambda att, a, b, slope, out, heads, channels, fixed: _leaky_dots(
            att, a, b, slope, out, fixed
        )

    def loop(att, a, b, slope, out, heads, channels, fixed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        for h in range(heads):
            total = slope - slope
            for c in range(h * channels, (h + 1) * channels):
                u = a[c] + b[c]
                total += att[c] * (u if u > 0 else u * slope)
            out[h] = total

    return loop


def add_leaky(
    acc: Any,
    term: Any,
    a: Any,
    b: Any,
    slope: Any,
    heads: int,
    channels: int,
    fixed: Any,
) -> None:
    """``acc[h, c] += term[h] * leaky(a[h, c] + b[h, c])``."""


@overload(add_leaky)
def _(acc, term, a, b, slope, heads, channels, fixed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    if fixed.heads:
        return lambda acc, term, a, b, slope, heads, channels, fixed: _add_leaky(
            acc, term, a, b, slope, fixed
        )

    def loop(acc, term, a, b, slope, heads, channels, fixed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        for h in range(heads):
            for c in range(h * channels, (h + 1) * channels):
                u = a[c] + b[c]
                acc[c] += term[h] * (u if u > 0 else u * slope)

    return loop


def add_slope(
    acc: Any,
    term: Any,
    att: Any,
    a: Any,
    b: Any,
    slope: Any,
    heads: int,
    channels: int,
    fixed: Any,
) -> None:
    """``acc[h, c] += term[h] * att[h, c] * leaky'(a[h, c] + b[h, c])``."""


@overload(add_slope)
def _(acc, term, att, a, b, slope, heads, channels, fixed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    if fixed.heads:
        return lambda acc, term, att, a, b, slope, heads, channels, fixed: _add_slope(
            acc, term, att, a, b, slope, fixed
        )

    def loop(acc, term, att, a, b, slope, heads, channels, fixed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        for h in range(heads):
            for c in range(h * channels, (h + 1) * channels):
                value = att[c] if a[c] + b[c] > 0 else att[c] * slope
                acc[c] += term[h] * value

    return loop

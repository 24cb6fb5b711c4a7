"""The inner loops of attention over heads and channels, as vector instructions.

Short loops of known length are unrolled before LLVM's vectorisers see them and come
out scalar; so for a shape known at compile time these functions emit the vector
operations themselves, and for any other shape they are plain loops.
"""

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


@intrinsic
def _add_row(typingctx: Any, acc: Any, term: Any, row: Any, fixed: Any) -> Any:
    def emit(builder: Any, shape: FixedShape, acc: Any, term: Any, row: Any) -> None:
        terms = load(builder, term, 0, shape.heads)
        for start, size in blocks(shape.heads * shape.channels, itemsize(acc)):
            factor = spread(builder, shape, terms, start, size)
            product = builder.fmul(factor, load(builder, row, start, size), FUSE)
            old = load(builder, acc, start, size)
            store(builder, builder.fadd(old, product, FUSE), acc, start)

    return types.void(acc, term, row, fixed), emitter(emit)


@intrinsic
def _dots(typingctx: Any, a: Any, b: Any, out: Any, fixed: Any) -> Any:
    def emit(builder: Any, shape: FixedShape, a: Any, b: Any, out: Any) -> None:
        def term(start: int, size: int) -> Any:
            left, right = load(builder, a, start, size), load(builder, b, start, size)
            return builder.fmul(left, right, FUSE)

        sum_channels(builder, shape, out, term)

    return types.void(a, b, out, fixed), emitter(emit)


@intrinsic
def _edge_scores(
    typingctx: Any,
    src: Any,
    dst: Any,
    shift: Any,
    slope: Any,
    score: Any,
    term: Any,
    fixed: Any,
) -> Any:
    def emit(builder: Any, shape: FixedShape, *args: Any) -> None:
        src, dst, shift, slope, score, term = args
        heads = shape.heads
        u = builder.fadd(load(builder, src, 0, heads), load(builder, dst, 0, heads))
        store(builder, u, score, 0)
        value = leaky(builder, u, splat(builder, slope, heads))
        shifted = builder.fsub(value, load(builder, shift, 0, heads))
        store(builder, shifted, term, 0)

    return types.void(src, dst, shift, slope, score, term, fixed), emitter(emit)


@intrinsic
def _raise_top(typingctx: Any, top: Any, src: Any, fixed: Any) -> Any:
    def emit(builder: Any, shape: FixedShape, top: Any, src: Any) -> None:
        old = load(builder, top, 0, shape.heads)
        new = load(builder, src, 0, shape.heads)
        higher = builder.fcmp_ordered(">", new, old)
        store(builder, builder.select(higher, new, old), top, 0)

    return types.void(top, src, fixed), emitter(emit)


@intrinsic
def _add_heads(typingctx: Any, total: Any, term: Any, fixed: Any) -> Any:
    def emit(builder: Any, shape: FixedShape, total: Any, term: Any) -> None:
        old = load(builder, total, 0, shape.heads)
        new = load(builder, term, 0, shape.heads)
        store(builder, builder.fadd(old, new), total, 0)

    return types.void(total, term, fixed), emitter(emit)


def add_row(
    acc: Any, term: Any, row: Any, heads: int, channels: int, fixed: Any
) -> None:
    """``acc[h, c] += term[h] * row[h, c]``."""


@overload(add_row)
def _(acc, term, row, heads, channels, fixed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    if fixed.heads:
        return lambda acc, term, row, heads, channels, fixed: _add_row(
            acc, term, row, fixed
        )

    def loop(acc, term, row, heads, channels, fixed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        for h in range(heads):
            for c in range(h * channels, (h + 1) * channels):
                acc[c] += term[h] * row[c]

    return loop


def dots(a: Any, b: Any, out: Any, heads: int, channels: int, fixed: Any) -> None:
    """``out[h] = sum_c a[h, c] * b[h, c]``."""


@overload(dots)
def _(a, b, out, heads, channels, fixed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    if fixed.heads:
        return lambda a, b, out, heads, channels, fixed: _dots(a, b, out, fixed)

    def loop(a, b, out, heads, channels, fixed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        for h in range(heads):
            total = a[h * channels] * b[h * channels]
            for c in range(h * channels + 1, (h + 1) * channels):
                total += a[c] * b[c]
            out[h] = total

    return loop


def edge_scores(
    src: Any,
    dst: Any,
    shift: Any,
    slope: Any,
    score: Any,
    term: Any,
    heads: int,
    fixed: Any,
) -> None:
    """``score = src + dst`` and ``term = leaky(score) - shift`` for each head."""


@overload(edge_scores)
def _(src, dst, shift, slope, score, term, heads, fixed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    if fixed.heads:
        return lambda src, dst, shift, slope, score, term, heads, fixed: _edge_scores(
            src, dst, shift, slope, score, term, fixed
        )

    def loop(src, dst, shift, slope, score, term, heads, fixed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        for h in range(heads):
            u = src[h] + dst[h]
            score[h] = u
            term[h] = (u if u > 0 else u * slope) - shift[h]

    return loop


def raise_top(top: Any, src: Any, heads: int, fixed: Any) -> None:
    """``top = max(top, src)`` for each head."""


@overload(raise_top)
def _(top, src, heads, fixed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    if fixed.heads:
        return lambda top, src, heads, fixed: _raise_top(top, src, fixed)

    def loop(top, src, heads, fixed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        for h in range(heads):
            top[h] = src[h] if src[h] > top[h] else top[h]

    return loop


def add_heads(total: Any, term: Any, heads: int, fixed: Any) -> None:
    """``total += term`` for each head."""


@overload(add_heads)
def _(total, term, heads, fixed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    if fixed.heads:
        return lambda total, term, heads, fixed: _add_heads(total, term, fixed)

    def loop(total, term, heads, fixed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        for h in range(heads):
            total[h] += term[h]

    return loop

"""The inner loops of attention over heads and channels, as vector instructions.

Short loops of known length are unrolled before LLVM's vectorisers see them and come
out scalar; so for a shape known at compile time these functions emit the vector
operations themselves, and for any other shape they are plain loops.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.extending import overload, register_model

from gsparse.kernels.threads import intrinsic

# ruff: noqa: ANN401 (numba's typing and code-generation hooks)

_BLOCK_BYTES = 32
_FUSE = ("contract",)
_SUM = ("contract", "reassoc", "nsz")


class FixedShape(types.Type):
    """Heads and channels carried by a type; (0, 0) means known only at run time."""

    def __init__(self, heads: int, channels: int) -> None:
        self.heads, self.channels = heads, channels
        super().__init__(f"FixedShape({heads}, {channels})")


register_model(FixedShape)(models.OpaqueModel)


@intrinsic(prefer_literal=True)
def fixed_shape(typingctx: Any, heads: Any, channels: Any) -> Any:
    """Two compile-time constants as a value that weighs nothing."""
    shape = FixedShape(heads.literal_value, channels.literal_value)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_dummy_value()

    return shape(heads, channels), codegen


def _vector(builder: Any, pointer: Any, start: int, size: int) -> Any:
    """Load ``pointer[start:start + size]`` as one vector."""
    kind = ir.VectorType(pointer.type.pointee, size)
    word = ir.Constant(ir.IntType(64), start)
    place = builder.bitcast(builder.gep(pointer, [word]), kind.as_pointer())
    return builder.load(place, align=_itemsize(pointer))


def _store(builder: Any, value: Any, pointer: Any, start: int) -> None:
    word = ir.Constant(ir.IntType(64), start)
    place = builder.gep(pointer, [word])
    place = builder.bitcast(place, value.type.as_pointer())
    builder.store(value, place, align=_itemsize(pointer))


def _itemsize(pointer: Any) -> int:
    return 8 if isinstance(pointer.type.pointee, ir.DoubleType) else 4


def _blocks(width: int, itemsize: int) -> list[tuple[int, int]]:
    """Cut a width in blocks of 32 bytes, the rest in powers of two."""
    cuts, start, size = [], 0, _BLOCK_BYTES // itemsize
    while start < width:
        while size > width - start:
            size //= 2
        cuts.append((start, size))
        start += size
    return cuts


def _pick(builder: Any, vector: Any, lanes: list[int]) -> Any:
    """The vector of these lanes of another."""
    mask = ir.Constant(
        ir.VectorType(ir.IntType(32), len(lanes)), [ir.IntType(32)(n) for n in lanes]
    )
    return builder.shuffle_vector(vector, ir.Constant(vector.type, None), mask)


def _splat(builder: Any, value: Any, size: int) -> Any:
    kind = ir.VectorType(value.type, size)
    single = builder.insert_element(
        ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0)
    )
    return _pick(builder, single, [0] * size)


def _emitter(emit: Callable[..., None]) -> Any:
    """An intrinsic ``f(*pointers_and_scalars, fixed)`` that emits ``emit``'s code."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        emit(builder, signature.args[-1], *args[:-1])
        return context.get_dummy_value()

    return codegen


@intrinsic
def _add_row(typingctx: Any, acc: Any, term: Any, row: Any, fixed: Any) -> Any:
    def emit(builder: Any, shape: FixedShape, acc: Any, term: Any, row: Any) -> None:
        terms = _vector(builder, term, 0, shape.heads)
        for start, size in _blocks(shape.heads * shape.channels, _itemsize(acc)):
            lanes = [c // shape.channels for c in range(start, start + size)]
            product = builder.fmul(
                _pick(builder, terms, lanes), _vector(builder, row, start, size), _FUSE
            )
            old = _vector(builder, acc, start, size)
            _store(builder, builder.fadd(old, product, _FUSE), acc, start)

    return types.void(acc, term, row, fixed), _emitter(emit)


@intrinsic
def _dots(typingctx: Any, a: Any, b: Any, out: Any, fixed: Any) -> Any:
    def emit(builder: Any, shape: FixedShape, a: Any, b: Any, out: Any) -> None:
        kind = a.type.pointee
        for h in range(shape.heads):
            sums: dict[int, Any] = {}
            for start, size in _blocks(shape.channels, _itemsize(a)):
                c = h * shape.channels + start
                product = builder.fmul(
                    _vector(builder, a, c, size), _vector(builder, b, c, size), _FUSE
                )
                old = sums.get(size)
                new = product if old is None else builder.fadd(old, product, _FUSE)
                sums[size] = new
            total = kind(0.0)
            for size, vector in sums.items():
                total = builder.fadd(total, _reduce(builder, vector, size), _SUM)
            builder.store(total, builder.gep(out, [ir.IntType(64)(h)]))

    return types.void(a, b, out, fixed), _emitter(emit)


def _reduce(builder: Any, vector: Any, size: int) -> Any:
    """Sum of the lanes, halving."""
    while size > 1:
        size //= 2
        low = _pick(builder, vector, list(range(size)))
        high = _pick(builder, vector, list(range(size, 2 * size)))
        vector = builder.fadd(low, high)
    return builder.extract_element(vector, ir.IntType(32)(0))


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
        u = builder.fadd(
            _vector(builder, src, 0, heads), _vector(builder, dst, 0, heads)
        )
        _store(builder, u, score, 0)
        above = builder.fcmp_ordered(">", u, ir.Constant(u.type, None))
        below = builder.fmul(u, _splat(builder, slope, heads))
        leaky = builder.select(above, u, below)
        shifted = builder.fsub(leaky, _vector(builder, shift, 0, heads))
        _store(builder, shifted, term, 0)

    return types.void(src, dst, shift, slope, score, term, fixed), _emitter(emit)


@intrinsic
def _raise_top(typingctx: Any, top: Any, src: Any, fixed: Any) -> Any:
    def emit(builder: Any, shape: FixedShape, top: Any, src: Any) -> None:
        old = _vector(builder, top, 0, shape.heads)
        new = _vector(builder, src, 0, shape.heads)
        higher = builder.fcmp_ordered(">", new, old)
        _store(builder, builder.select(higher, new, old), top, 0)

    return types.void(top, src, fixed), _emitter(emit)


@intrinsic
def _add_heads(typingctx: Any, total: Any, term: Any, fixed: Any) -> Any:
    def emit(builder: Any, shape: FixedShape, total: Any, term: Any) -> None:
        old = _vector(builder, total, 0, shape.heads)
        new = _vector(builder, term, 0, shape.heads)
        _store(builder, builder.fadd(old, new), total, 0)

    return types.void(total, term, fixed), _emitter(emit)


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

"""Emits vector instructions over heads and channels known at compile time."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.extending import register_model

from gsparse.kernels.threads import intrinsic

# ruff: noqa: ANN401 (numba's typing and code-generation hooks)

_BLOCK_BYTES = 32
FUSE = ("contract",)


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


def load(builder: Any, pointer: Any, start: int, size: int) -> Any:
    """Load ``pointer[start:start + size]`` as one vector."""
    kind = ir.VectorType(pointer.type.pointee, size)
    word = ir.Constant(ir.IntType(64), start)
    place = builder.bitcast(builder.gep(pointer, [word]), kind.as_pointer())
    return builder.load(place, align=itemsize(pointer))


def store(builder: Any, value: Any, pointer: Any, start: int) -> None:
    """Store a vector at ``pointer[start:]``."""
    word = ir.Constant(ir.IntType(64), start)
    place = builder.gep(pointer, [word])
    place = builder.bitcast(place, value.type.as_pointer())
    builder.store(value, place, align=itemsize(pointer))


def itemsize(pointer: Any) -> int:
    """Bytes of an element, from the type of a pointer."""
    return 8 if isinstance(pointer.type.pointee, ir.DoubleType) else 4


def blocks(width: int, itemsize: int) -> list[tuple[int, int]]:
    """Cut a width in blocks of 32 bytes, the rest in powers of two."""
    cuts, start, size = [], 0, _BLOCK_BYTES // itemsize
    while start < width:
        while size > width - start:
            size //= 2
        cuts.append((start, size))
        start += size
    return cuts


def pick(builder: Any, vector: Any, lanes: list[int]) -> Any:
    """The vector of these lanes of another."""
    mask = ir.Constant(
        ir.VectorType(ir.IntType(32), len(lanes)), [ir.IntType(32)(n) for n in lanes]
    )
    return builder.shuffle_vector(vector, ir.Constant(vector.type, None), mask)


def splat(builder: Any, value: Any, size: int) -> Any:
    """A vector of equal lanes."""
    kind = ir.VectorType(value.type, size)
    single = builder.insert_element(
        ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0)
    )
    return pick(builder, single, [0] * size)


def emitter(emit: Callable[..., None]) -> Any:
    """An intrinsic ``f(*pointers_and_scalars, fixed)`` that emits ``emit``'s code."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        emit(builder, signature.args[-1], *args[:-1])
        return context.get_dummy_value()

    return codegen


def reduce(builder: Any, vector: Any, size: int) -> Any:
    """Sum of the lanes, halving."""
    while size > 1:
        size //= 2
        low = pick(builder, vector, list(range(size)))
        high = pick(builder, vector, list(range(size, 2 * size)))
        vector = builder.fadd(low, high)
    return builder.extract_element(vector, ir.IntType(32)(0))


def leaky(builder: Any, value: Any, slope: Any) -> Any:
    """Leaky ReLU of a vector; ``slope`` a vector."""
    above = builder.fcmp_ordered(">", value, ir.Constant(value.type, None))
    return builder.select(above, value, builder.fmul(value, slope))


def sum_channels(
    builder: Any, shape: FixedShape, out: Any, term: Callable[[int, int], Any]
) -> None:
    """``out[h]`` = sum over the channels of a head of ``term(start, size)``."""
    kind = out.type.pointee
    for h in range(shape.heads):
        sums: dict[int, Any] = {}
        for start, size in blocks(shape.channels, itemsize(out)):
            new = term(h * shape.channels + start, size)
            old = sums.get(size)
            sums[size] = new if old is None else builder.fadd(old, new, FUSE)
        total = kind(0.0)
        for size, vector in sums.items():
            total = builder.fadd(total, reduce(builder, vector, size))
        builder.store(total, builder.gep(out, [ir.IntType(64)(h)]))


def spread(builder: Any, shape: FixedShape, heads: Any, start: int, size: int) -> Any:
    """Lanes ``start:start + size`` of a row, each holding the value of its head."""
    return pick(
        builder, heads, [c // shape.channels for c in range(start, start + size)]
    )

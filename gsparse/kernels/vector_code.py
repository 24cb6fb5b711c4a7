"""Emit vector instructions, as LLVM would not find them in short loops by itself.

Element types are passed explicitly: nothing here reads them from a pointer, because
llvmlite is about to remove typed pointers.
"""

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from gsparse.kernels.scalar import FUSE, emit_exp, emit_log, fused
from gsparse.kernels.threads import intrinsic

# ruff: noqa: ANN401 (numba's typing and code-generation hooks)

_BLOCK_BYTES = 32
LONG = ir.IntType(64)
_FLOATS = {32: ir.FloatType(), 64: ir.DoubleType()}


class Code:
    """Emits instructions for pointers to floating-point numbers of one type.

    Args:
        builder: Builder of llvmlite at the place of insertion.
        types: Numba types of the intrinsic's arguments. The first one is a pointer to
            the elements, float32 or float64.
    """

    def __init__(self, builder: Any, types: Any) -> None:
        self.builder, self.types = builder, types
        self.kind = _FLOATS[types[0].dtype.bitwidth]
        self.itemsize = types[0].dtype.bitwidth // 8

    def lanes(self, size: int) -> Any:
        """Return the type of a vector; that of a number for one lane."""
        return ir.VectorType(self.kind, size) if size > 1 else self.kind

    def at(self, pointer: Any, index: Any) -> Any:
        """Return a pointer to ``pointer[index]``; the index is a value or an int."""
        index = LONG(index) if isinstance(index, int) else index
        return self.builder.gep(pointer, [index], source_etype=self.kind)

    def item(self, pointer: Any, index: Any) -> Any:
        """Load ``pointer[index]``."""
        return self.builder.load(self.at(pointer, index), typ=self.kind)

    def load(self, pointer: Any, start: Any, size: int) -> Any:
        """Load ``pointer[start:start + size]``."""
        kind = self.lanes(size)
        place = self.builder.bitcast(self.at(pointer, start), kind.as_pointer())
        return self.builder.load(place, align=self.itemsize, typ=kind)

    def store(self, value: Any, pointer: Any, start: Any) -> None:
        """Store a vector or a number at ``pointer[start:]``."""
        place = self.at(pointer, start)
        place = self.builder.bitcast(place, value.type.as_pointer())
        self.builder.store(value, place, align=self.itemsize)

    def blocks(self, width: int) -> list[tuple[int, int]]:
        """Cut a width into blocks of 32 bytes and a rest in powers of two."""
        cuts, start, size = [], 0, _BLOCK_BYTES // self.itemsize
        while start < width:
            while size > width - start:
                size //= 2
            cuts.append((start, size))
            start += size
        return cuts

    def fused(self, total: Any, left: Any, right: Any) -> Any:
        """Return ``total + left * right``, which may be one fused instruction."""
        return fused(self.builder, total, left, right)

    def product(self, left: Any, right: Any) -> Any:
        """Return ``left * right``, which may be fused with an addition."""
        return self.builder.fmul(left, right, flags=FUSE)

    def larger(self, left: Any, right: Any) -> Any:
        """Return the larger of two, lane by lane."""
        higher = self.builder.fcmp_ordered(">", right, left)
        return self.builder.select(higher, right, left)

    def pick(self, vector: Any, lanes: list[int]) -> Any:
        """Return the vector of the given lanes of another."""
        return shuffle(self.builder, vector, ir.Constant(vector.type, None), lanes)

    def splat(self, value: Any, size: int) -> Any:
        """Return a vector of equal lanes."""
        if size == 1:
            return value
        empty = ir.Constant(ir.VectorType(self.kind, size), ir.Undefined)
        single = self.builder.insert_element(empty, value, ir.IntType(32)(0))
        return self.pick(single, [0] * size)

    def reduce(self, vector: Any) -> Any:
        """Return the sum of the lanes by repeated halving."""
        size = lanes_of(vector)
        if size == 1:
            return vector
        while size > 1:
            size //= 2
            low = self.pick(vector, list(range(size)))
            high = self.pick(vector, list(range(size, 2 * size)))
            vector = self.builder.fadd(low, high)
        return self.builder.extract_element(vector, ir.IntType(32)(0))

    def is_positive(self, vector: Any) -> Any:
        """Compare each lane with zero."""
        zeros = ir.Constant(vector.type, None)
        return self.builder.fcmp_ordered(">", vector, zeros)

    def exp(self, value: Any) -> Any:
        """Return the exponential of each lane."""
        return emit_exp(self.builder, value)

    def log(self, value: Any) -> Any:
        """Return the logarithm of each lane."""
        return emit_log(self.builder, value)

    def leaky(self, value: Any, slope: Any) -> Any:
        """Return the leaky ReLU of a vector; ``slope`` is a number."""
        lower = self.builder.fmul(value, self.splat(slope, lanes_of(value)))
        return self.builder.select(self.is_positive(value), value, lower)

    def each_block(
        self, columns: Any, widest: int, emit: Callable[[int, Any], None]
    ) -> None:
        """Cut the columns into blocks of the widest size and of smaller powers of 2."""
        builder = self.builder
        whole = builder.and_(columns, LONG(-widest))
        with cgutils.for_range_slice(builder, LONG(0), whole, LONG(widest)) as (c, _):
            emit(widest, c)
        width = widest // 2
        while width:
            bit = builder.and_(columns, LONG(width))
            with builder.if_then(builder.icmp_signed("!=", bit, LONG(0))):
                emit(width, builder.and_(columns, LONG(-2 * width)))
            width //= 2


def lanes_of(value: Any) -> int:
    """Return the number of lanes of a vector; 1 for a number."""
    return value.type.count if isinstance(value.type, ir.VectorType) else 1


def shuffle(builder: Any, first: Any, second: Any, lanes: list[int]) -> Any:
    """Return the given lanes of two vectors, numbered through both."""
    word = ir.IntType(32)
    kind = ir.VectorType(word, len(lanes))
    mask = ir.Constant(kind, [word(lane) for lane in lanes])
    return builder.shuffle_vector(first, second, mask)


def load_index(builder: Any, pointer: Any, slot: Any, dtype: Any) -> Any:
    """Load ``pointer[slot]`` from integers of a numba type, as a 64-bit integer."""
    kind = ir.IntType(dtype.bitwidth)
    place = builder.gep(pointer, [slot], source_etype=kind)
    index = builder.load(place, typ=kind)
    return builder.sext(index, LONG) if dtype.bitwidth < 64 else index


def emitted(emit: Callable[..., None]) -> Any:
    """Make an intrinsic of a function that emits its instructions.

    Args:
        emit: Called with a :class:`Code` and the arguments of the intrinsic.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        emit(Code(builder, signature.args), *args)
        return context.get_dummy_value()

    return void_intrinsic(emit, list(signature(emit).parameters)[1:], codegen)


def void_intrinsic(
    function: Callable[..., None], names: list[str], codegen: Callable[..., Any]
) -> Any:
    """Return an intrinsic without a result that accepts arguments of any types.

    Args:
        function: Gives the intrinsic its name and docstring.
        names: Names of its parameters.
        codegen: Emits the instructions, as numba calls it.
    """

    def definition(typingctx: Any, *args: Any) -> Any:
        return types.void(*args), codegen

    parameters = [
        Parameter(name, Parameter.POSITIONAL_OR_KEYWORD)
        for name in ("typingctx", *names)
    ]
    definition.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    definition.__name__, definition.__doc__ = function.__name__, function.__doc__
    return intrinsic(definition)

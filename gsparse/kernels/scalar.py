"""Building blocks of kernels: scratch memory, prefetch, exp, log, random bits."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import overload

from gsparse.kernels.threads import intrinsic, jit

# ruff: noqa: ANN401 (numba's typing and code-generation hooks are untyped)


def _exp_half(t: Any) -> Any:
    return np.exp(t * (math.log(2) / 2))


#: exp on [-ln 2 / 2, ln 2 / 2]: Chebyshev interpolant of degree 6, relative error 3e-9.
_EXP = np.polynomial.chebyshev.cheb2poly(
    np.polynomial.chebyshev.chebinterpolate(_exp_half, 6)
) / (math.log(2) / 2) ** np.arange(7)
_LOG2E = 1 / math.log(2)
_LN2_HIGH = 0.693359375  # 9 bits: its products with exponents are exact
_LN2_LOW = math.log(2) - _LN2_HIGH
_LOWEST, _HIGHEST = -87.0, 88.0
_ROOT_HALF = int(np.float32(math.sqrt(0.5)).view(np.int32))
_FLOAT = ir.FloatType()

#: Flag of multiplications and additions that may become one fused instruction.
FUSE = ("contract",)

Pointer = Any


@intrinsic(prefer_literal=True)
def stack(typingctx: Any, size: Any, like: Any) -> Any:
    """Return scratch memory on the stack for ``size`` elements of the type of ``like``.

    The size is a compile-time constant. The compiler knows that the memory overlaps
    nothing, so loops over it vectorise.
    """
    if not isinstance(size, types.IntegerLiteral):
        return None
    count, pointer = size.literal_value, types.CPointer(types.unliteral(like))

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_value_type(pointer.dtype)
        where = cgutils.alloca_once(builder, ir.ArrayType(kind, count))
        where.align = 64
        return builder.bitcast(where, kind.as_pointer())

    return pointer(size, like), codegen


@intrinsic
def data(typingctx: Any, array: Any) -> Any:
    """Return a pointer to the first element; None for None.

    The array must outlive the pointer, as an argument of the kernel does. Indexing a
    pointer counts no references and wraps no negative index.
    """
    missing = isinstance(array, types.NoneType)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if missing:
            return context.get_dummy_value()
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return (array if missing else types.CPointer(array.dtype))(array), codegen


@intrinsic
def at(typingctx: Any, pointer: Any, offset: Any) -> Any:
    """Return a pointer ``offset`` elements further on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_data_type(signature.args[0].dtype)
        return builder.gep(args[0], [args[1]], source_etype=kind)

    return pointer(pointer, types.intp), codegen


@intrinsic
def prefetch(typingctx: Any, pointer: Any) -> Any:
    """Prefetch the cache line that a pointer points into."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        name = "llvm.prefetch.p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        flags = [word(0), word(3), word(1)]  # read, keep in all levels, data
        builder.call(function, [builder.bitcast(args[0], byte), *flags])
        return context.get_dummy_value()

    return types.void(pointer), codegen


def emit_exp(builder: Any, value: Any) -> Any:
    """Emit the exponential of a float or a vector; see :func:`exp`."""
    kind = value.type
    if _element(kind) != _FLOAT:
        low = _smaller(builder, value, _splat(kind, 700.0))
        return _call(builder, "exp", low)
    number, integer = partial(_splat, kind), _like(kind, ir.IntType(32))
    low = number(_LOWEST)
    t = _smaller(builder, value, number(_HIGHEST))
    t = builder.select(builder.fcmp_ordered(">", t, low), t, low)
    n = _call(builder, "floor", fused(builder, number(0.5), t, number(_LOG2E)))
    r = fused(builder, t, n, number(-_LN2_HIGH))
    r = fused(builder, r, n, number(-_LN2_LOW))
    p = number(_EXP[6])
    for c in _EXP[5::-1]:
        p = fused(builder, number(c), p, r)
    power = builder.add(builder.fptosi(n, integer), _splat(integer, 127))
    two_n = builder.bitcast(builder.shl(power, _splat(integer, 23)), kind)
    found = builder.fmul(p, two_n)
    found = builder.select(builder.fcmp_ordered("<", value, low), number(0.0), found)
    return builder.select(builder.fcmp_unordered("uno", value, value), value, found)


def emit_log(builder: Any, value: Any) -> Any:
    """Emit the logarithm of a float or a vector; see :func:`log`."""
    kind = value.type
    if _element(kind) != _FLOAT:
        return _call(builder, "log", value)
    number, integer = partial(_splat, kind), _like(kind, ir.IntType(32))
    # value = m 2^n, m in [sqrt 1/2, sqrt 2); log m = 2 artanh((m - 1) / (m + 1))
    bits = builder.bitcast(value, integer)
    bits = builder.sub(bits, _splat(integer, _ROOT_HALF))
    n = builder.sitofp(builder.ashr(bits, _splat(integer, 23)), kind)
    bits = builder.and_(bits, _splat(integer, 0x7FFFFF))
    m = builder.bitcast(builder.add(bits, _splat(integer, _ROOT_HALF)), kind)
    one = number(1.0)
    s = builder.fdiv(builder.fsub(m, one), builder.fadd(m, one))
    z = builder.fmul(s, s)
    p = number(1 / 9)
    for k in (7, 5, 3):
        p = fused(builder, number(1 / k), p, z)
    p = builder.fadd(s, builder.fmul(builder.fmul(p, z), s))
    p = fused(builder, builder.fmul(n, number(_LN2_LOW)), p, number(2.0))
    return fused(builder, p, n, number(_LN2_HIGH))


def _element(kind: Any) -> Any:
    return kind.element if isinstance(kind, ir.VectorType) else kind


def _like(kind: Any, element: Any) -> Any:
    """Return a type with the lanes of ``kind`` and elements of another type."""
    vector = isinstance(kind, ir.VectorType)
    return ir.VectorType(element, kind.count) if vector else element


def _splat(kind: Any, number: float) -> Any:
    number = float(np.float32(number)) if _element(kind) == _FLOAT else number
    lanes = [number] * kind.count if isinstance(kind, ir.VectorType) else number
    return ir.Constant(kind, lanes)


def _smaller(builder: Any, left: Any, right: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", left, right), left, right)


def fused(builder: Any, total: Any, left: Any, right: Any) -> Any:
    """Return ``total + left * right``, which may be one fused instruction."""
    product = builder.fmul(left, right, flags=FUSE)
    return builder.fadd(total, product, flags=FUSE)


def _call(builder: Any, name: str, value: Any) -> Any:
    """Call an intrinsic of LLVM that takes and returns one value."""
    kind, bits = value.type, 32 if _element(value.type) == _FLOAT else 64
    lanes = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind]), f"llvm.{name}.{lanes}f{bits}"
    )
    return builder.call(function, [value])


def _derived(emit: Callable[[Any, Any], Any]) -> Any:
    """Return an intrinsic of one number from a function that emits it."""

    @intrinsic
    def function(typingctx: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return emit(builder, args[0])

        return value(value), codegen

    return function


_exp, _log = _derived(emit_exp), _derived(emit_log)


def exp(value: float) -> float:
    """Return the exponential; in float32 without a call, so that loops vectorise.

    Results in float32 have a relative error below 3e-7. They are 0 below -87 and
    exp(88) above 88, so they are always finite.
    """
    return math.exp(value)


@overload(exp, strict=False)
def _(value: Any) -> Any:
    return lambda value: _exp(value)


def log(value: float) -> float:
    """Return the logarithm of a positive normal number; in float32 without a call."""
    return math.log(value)


@overload(log, strict=False)
def _(value: Any) -> Any:
    return lambda value: _log(value)


@jit(forceinline=True)
def random_bits(index: np.uint32, key: np.uint32, key2: np.uint32) -> np.uint32:
    """Return 32 random bits of a counter: two keyed rounds of murmur3's finaliser."""
    z = np.uint32(index ^ key)
    z = np.uint32((z ^ (z >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    z = np.uint32((z ^ (z >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    z = np.uint32((z ^ (z >> np.uint32(16))) + key2)
    z = np.uint32((z ^ (z >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    z = np.uint32((z ^ (z >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(z ^ (z >> np.uint32(16)))


@jit()
def mix(z: np.uint64) -> np.uint64:
    """Return 64 random bits of a state: the finaliser of SplitMix64."""
    z += np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))

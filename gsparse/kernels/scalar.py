"""Building blocks of kernels: scratch memory, prefetch, exp, log, random bits."""

import math
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
_C0, _C1, _C2, _C3, _C4, _C5, _C6 = (np.float32(c) for c in _EXP)
_LOG2E = np.float32(1 / math.log(2))
_LN2_HIGH = np.float32(0.693359375)  # 9 bits: its products with exponents are exact
_LN2_LOW = np.float32(math.log(2) - 0.693359375)
_HALF, _LOWEST, _HIGHEST = np.float32(0.5), np.float32(-87.0), np.float32(88.0)
_ZERO, _ONE, _TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)
_ROOT_HALF = np.float32(math.sqrt(0.5)).view(np.int32)
_MANTISSA = np.int32(0x7FFFFF)
_L3, _L5, _L7, _L9 = (np.float32(1 / k) for k in (3, 5, 7, 9))


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


Pointer = Any


@intrinsic
def _float_of_bits(typingctx: Any, bits: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), codegen


def exp(value: float) -> float:
    """Return the exponential; in float32 without a call, so that loops vectorise.

    Results in float32 have a relative error below 3e-7. They are 0 below -87 and
    exp(88) above 88, so they are always finite.
    """
    return math.exp(value)


@overload(exp)
def _exp(value: Any) -> Any:
    if value != types.float32:

        def exp64(value: Any) -> Any:
            return math.exp(min(value, 700.0))

        return exp64

    def exp32(value: Any) -> Any:
        t = min(value, _HIGHEST)
        t = max(t, _LOWEST)
        n = np.floor(t * _LOG2E + _HALF)
        r = (t - n * _LN2_HIGH) - n * _LN2_LOW
        p = _C6 * r + _C5
        p = p * r + _C4
        p = p * r + _C3
        p = p * r + _C2
        p = p * r + _C1
        p = p * r + _C0
        two_n = _float_of_bits((np.int32(n) + np.int32(127)) << np.int32(23))
        return p * two_n if value >= _LOWEST else (_ZERO if value < _LOWEST else value)

    return exp32


@intrinsic
def _bits_of_float(typingctx: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), codegen


def log(value: float) -> float:
    """Return the logarithm of a positive normal number; in float32 without a call."""
    return math.log(value)


@overload(log)
def _log(value: Any) -> Any:
    if value != types.float32:

        def log64(value: Any) -> Any:
            return math.log(value)

        return log64

    def log32(value: Any) -> Any:
        # value = m 2^n, m in [sqrt 1/2, sqrt 2); log m = 2 artanh((m - 1) / (m + 1))
        bits = _bits_of_float(value) - _ROOT_HALF
        n = bits >> np.int32(23)
        m = _float_of_bits((bits & _MANTISSA) + _ROOT_HALF)
        s = (m - _ONE) / (m + _ONE)
        z = s * s
        p = (_L9 * z + _L7) * z + _L5
        p = (p * z + _L3) * z * s
        e = np.float32(n)
        return e * _LN2_HIGH + (e * _LN2_LOW + (p + s) * _TWO)

    return log32


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

"""Inner loops of GATv2 attention; see :mod:`gsparse.kernels.attention.simd`."""

from typing import Any

from gsparse.kernels.scalar import Pointer
from gsparse.kernels.vector_code import FUSE, Code, FixedShape, vectorised

# ruff: noqa: ANN401 (values of llvmlite)


def _hidden(code: Code, a: Any, b: Any, start: int, size: int) -> Any:
    return code.builder.fadd(code.load(a, start, size), code.load(b, start, size))


def _leaky_dots(code: Code, shape: FixedShape, *args: Any) -> None:
    att, a, b, slope, out = args

    def term(*block: int) -> Any:
        value = code.leaky(_hidden(code, a, b, *block), slope)
        return code.builder.fmul(value, code.load(att, *block), FUSE)

    code.sum_channels(shape, out, term)


@vectorised(_leaky_dots)
def leaky_dots(
    att: Pointer,
    a: Pointer,
    b: Pointer,
    slope: float,
    out: Pointer,
    heads: int,
    channels: int,
    fixed: Any,
) -> None:
    """Compute ``out[h] = sum_c att[h, c] * leaky(a[h, c] + b[h, c])``."""
    for h in range(heads):
        total = slope - slope
        for c in range(h * channels, (h + 1) * channels):
            u = a[c] + b[c]
            total += att[c] * (u if u > 0 else u * slope)
        out[h] = total


def _add_leaky(code: Code, shape: FixedShape, *args: Any) -> None:
    acc, term, a, b, slope = args
    code.add_channels(
        shape, acc, term, lambda *block: code.leaky(_hidden(code, a, b, *block), slope)
    )


@vectorised(_add_leaky)
def add_leaky(
    acc: Pointer,
    term: Pointer,
    a: Pointer,
    b: Pointer,
    slope: float,
    heads: int,
    channels: int,
    fixed: Any,
) -> None:
    """Compute ``acc[h, c] += term[h] * leaky(a[h, c] + b[h, c])``."""
    for h in range(heads):
        for c in range(h * channels, (h + 1) * channels):
            u = a[c] + b[c]
            acc[c] += term[h] * (u if u > 0 else u * slope)


def _add_slope(code: Code, shape: FixedShape, *args: Any) -> None:
    acc, term, att, a, b, slope = args

    def row(start: int, size: int) -> Any:
        above = code.is_positive(_hidden(code, a, b, start, size))
        value = code.load(att, start, size)
        lower = code.builder.fmul(value, code.splat(slope, size))
        return code.builder.select(above, value, lower)

    code.add_channels(shape, acc, term, row)


@vectorised(_add_slope)
def add_slope(
    acc: Pointer,
    term: Pointer,
    att: Pointer,
    a: Pointer,
    b: Pointer,
    slope: float,
    heads: int,
    channels: int,
    fixed: Any,
) -> None:
    """Compute ``acc[h, c] += term[h] * att[h, c] * leaky'(a[h, c] + b[h, c])``."""
    for h in range(heads):
        for c in range(h * channels, (h + 1) * channels):
            value = att[c] if a[c] + b[c] > 0 else att[c] * slope
            acc[c] += term[h] * value

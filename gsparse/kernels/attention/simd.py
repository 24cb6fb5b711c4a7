"""Inner loops of attention over heads and channels, as vector instructions.

Each loop is accompanied by the instructions that replace it for a shape known at
compile time; see :func:`~gsparse.kernels.vector_code.vectorised`.
"""

from typing import Any

from gsparse.kernels.scalar import Pointer
from gsparse.kernels.vector_code import FUSE, Code, FixedShape, vectorised

# ruff: noqa: ANN401 (values of llvmlite)


def _add_row(code: Code, shape: FixedShape, acc: Any, term: Any, row: Any) -> None:
    code.add_channels(shape, acc, term, lambda *block: code.load(row, *block))


@vectorised(_add_row)
def add_row(
    acc: Pointer, term: Pointer, row: Pointer, heads: int, channels: int, fixed: Any
) -> None:
    """Compute ``acc[h, c] += term[h] * row[h, c]``."""
    for h in range(heads):
        for c in range(h * channels, (h + 1) * channels):
            acc[c] += term[h] * row[c]


def _dots(code: Code, shape: FixedShape, a: Any, b: Any, out: Any) -> None:
    def term(*block: int) -> Any:
        return code.builder.fmul(code.load(a, *block), code.load(b, *block), FUSE)

    code.sum_channels(shape, out, term)


@vectorised(_dots)
def dots(
    a: Pointer, b: Pointer, out: Pointer, heads: int, channels: int, fixed: Any
) -> None:
    """Compute ``out[h] = sum_c a[h, c] * b[h, c]``."""
    for h in range(heads):
        total = a[h * channels] * b[h * channels]
        for c in range(h * channels + 1, (h + 1) * channels):
            total += a[c] * b[c]
        out[h] = total


def _edge_scores(code: Code, shape: FixedShape, *args: Any) -> None:
    src, dst, shift, slope, score, term = args
    u = code.builder.fadd(*(code.load(it, 0, shape.heads) for it in (src, dst)))
    code.store(u, score, 0)
    value, low = code.leaky(u, slope), code.load(shift, 0, shape.heads)
    code.store(code.builder.fsub(value, low), term, 0)


@vectorised(_edge_scores)
def edge_scores(
    src: Pointer,
    dst: Pointer,
    shift: Pointer,
    slope: float,
    score: Pointer,
    term: Pointer,
    heads: int,
    fixed: Any,
) -> None:
    """Set ``score = src + dst`` and ``term = leaky(score) - shift`` for each head."""
    for h in range(heads):
        u = src[h] + dst[h]
        score[h] = u
        term[h] = (u if u > 0 else u * slope) - shift[h]


def _raise_top(code: Code, shape: FixedShape, top: Any, src: Any) -> None:
    old, new = (code.load(it, 0, shape.heads) for it in (top, src))
    higher = code.builder.fcmp_ordered(">", new, old)
    code.store(code.builder.select(higher, new, old), top, 0)


@vectorised(_raise_top)
def raise_top(top: Pointer, src: Pointer, heads: int, fixed: Any) -> None:
    """Set ``top = max(top, src)`` for each head."""
    for h in range(heads):
        top[h] = src[h] if src[h] > top[h] else top[h]


def _add_heads(code: Code, shape: FixedShape, total: Any, term: Any) -> None:
    old, new = (code.load(it, 0, shape.heads) for it in (total, term))
    code.store(code.builder.fadd(old, new), total, 0)


@vectorised(_add_heads)
def add_heads(total: Pointer, term: Pointer, heads: int, fixed: Any) -> None:
    """Compute ``total += term`` for each head."""
    for h in range(heads):
        total[h] += term[h]

"""Instructions of sparse times dense for one row: sums stay in vector registers.

Left to LLVM, a loop of short constant length is unrolled before it is vectorised and
stays scalar, which is three times slower at 16 columns (measured).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from gsparse.kernels.vector_code import LONG, Code, load_index, void_intrinsic

# ruff: noqa: ANN401 (values of llvmlite)


class _Row(Code):
    """Emits loops over the slots of one row of a sparse matrix.

    Args:
        builder: Builder of llvmlite.
        types: Numba types of the intrinsic's arguments.
        args: Values, their places (or None), columns of the slots, the first slot and
            the one after the last, the dense matrix, and its row stride.
    """

    def __init__(self, builder: Any, types: Any, args: Any) -> None:
        super().__init__(builder, types)
        self.values, self.perm, self.indices, *ends, self.dense, self.stride = args
        self.low, self.high = ends

    @contextmanager
    def slots(self) -> Iterator[tuple[Any, Any]]:
        """Loop over place of the value and offset of the dense row of every slot."""
        builder, (_, perm, indices, *_) = self.builder, self.types
        with cgutils.for_range_slice(builder, self.low, self.high, LONG(1)) as (
            slot,
            _,
        ):
            place = slot
            if not isinstance(perm, types.NoneType):
                place = load_index(builder, self.perm, slot, perm.dtype)
            column = load_index(builder, self.indices, slot, indices.dtype)
            yield place, builder.mul(column, self.stride)

    def factor(self, place: Any, width: int) -> Any:
        """Return the value at a place in every lane."""
        return self.splat(self.item(self.values, place), width)

    def dense_block(self, row: Any, start: Any, width: int) -> Any:
        """Load columns of the dense row at an offset."""
        return self.load(self.at(self.dense, start), row, width)

    def zeros(self, width: int) -> Any:
        """Return a register set to zero."""
        empty = ir.Constant(self.lanes(width), None)
        return cgutils.alloca_once_value(self.builder, empty)

    def add_product(self, total: Any, left: Any, right: Any) -> None:
        """Add ``left * right`` to a register."""
        builder = self.builder
        builder.store(self.fused(builder.load(total), left, right), total)

    def add_inner(self, out: Any, place: Any, start: Any, product: Any) -> None:
        """Add the sum of a product's lanes to ``out[place]``, which starts at zero."""
        builder, target = self.builder, self.at(out, place)
        more = builder.icmp_signed(">", start, LONG(0))
        before = builder.load(target, typ=self.kind)
        before = builder.select(more, before, self.kind(0.0))
        builder.store(builder.fadd(before, self.reduce(product)), target)

    def weighted_sum(self, out: Any, width: int, starts: list[Any]) -> None:
        """Sum blocks of the dense rows, all of one width, in one walk."""
        totals = [self.zeros(width) for _ in starts]
        with self.slots() as (place, row):
            factor = self.factor(place, width)
            for total, start in zip(totals, starts, strict=True):
                self.add_product(total, factor, self.dense_block(row, start, width))
        for total, start in zip(totals, starts, strict=True):
            self.store(self.builder.load(total), out, start)


def _row_walk(emit: Callable[..., None]) -> Any:
    """Make an intrinsic of instructions for one row.

    Its arguments are those of :class:`_Row` and further pointers; the last one is the
    number of columns.
    """
    common = ["values", "perm", "indices", "low", "high", "dense", "stride"]
    names = [*common, *list(signature(emit).parameters)[1:]]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row = _Row(builder, signature.args, args[: len(common)])
        emit(row, *args[len(common) :])
        return context.get_dummy_value()

    return void_intrinsic(emit, names, codegen)


@_row_walk
def weighted_sum(row: _Row, out: Any, columns: Any) -> None:
    """Set ``out`` to ``sum_e values[e] * dense[indices[e]]``.

    Up to 63 columns beside the whole blocks of 64 take one walk: two vectors that
    overlap serve any width between theirs and the sum of both.
    """
    builder = row.builder
    whole, rest = builder.and_(columns, LONG(-64)), builder.and_(columns, LONG(63))
    with cgutils.for_range_slice(builder, LONG(0), whole, LONG(64)) as (c, _):
        row.weighted_sum(out, 64, [c])

    def emit(width: int) -> None:
        size, ends = LONG(width), builder.add(whole, rest)
        with builder.if_else(builder.icmp_signed("==", rest, size)) as (equal, other):
            with equal:
                row.weighted_sum(out, width, [whole])
            with other, builder.if_else(builder.icmp_signed(">", rest, size)) as cases:
                with cases[0]:
                    row.weighted_sum(out, width, [whole, builder.sub(ends, size)])
                with cases[1]:
                    if width > 1:
                        emit(width // 2)

    emit(32)


@_row_walk
def scattered_row(row: _Row, own: Any, columns: Any) -> None:
    """Add ``values[e] * own`` to ``dense[indices[e]]``.

    The own row stays in registers; what is added to stays in the cache.
    """

    def emit(width: int, start: Any) -> None:
        held = row.load(own, start, width)
        with row.slots() as (place, target):
            before = row.dense_block(target, start, width)
            total = row.fused(before, row.factor(place, width), held)
            row.store(total, row.at(row.dense, start), target)

    row.each_block(columns, 64, emit)


@_row_walk
def inner_products(row: _Row, own: Any, columns: Any) -> None:
    """Set ``values[e]`` to ``<own, dense[indices[e]]>``."""

    def emit(width: int, start: Any) -> None:
        held = row.load(own, start, width)
        with row.slots() as (place, other):
            block = row.dense_block(other, start, width)
            row.add_inner(row.values, place, start, row.builder.fmul(held, block))

    row.each_block(columns, 64, emit)


@_row_walk
def both_derivatives(row: _Row, own: Any, inner: Any, out: Any, columns: Any) -> None:
    """Set ``inner[e]`` to ``<own, dense[indices[e]]>``, and ``out`` to
    ``sum_e values[e] * dense[indices[e]]``.
    """

    def emit(width: int, start: Any) -> None:
        held, total = row.load(own, start, width), row.zeros(width)
        with row.slots() as (place, other):
            block = row.dense_block(other, start, width)
            row.add_product(total, row.factor(place, width), block)
            row.add_inner(inner, place, start, row.builder.fmul(held, block))
        row.store(row.builder.load(total), out, start)

    row.each_block(columns, 32, emit)

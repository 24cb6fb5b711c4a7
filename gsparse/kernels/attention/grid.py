"""Emit instructions over heads and channels from one formula for any shape.

LLVM unrolls short loops of known length before it vectorises, so they come out scalar.
For heads and channels known at compile time the vector instructions are therefore
emitted directly; for all others the same formula is emitted in loops over numbers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import overload, register_model

from gsparse.kernels.attention.head_sums import HeadSums
from gsparse.kernels.scalar import FUSE
from gsparse.kernels.threads import intrinsic
from gsparse.kernels.vector_code import LONG, load_index, void_intrinsic

# ruff: noqa: ANN401 (values of llvmlite, numba's typing and code-generation hooks)

#: Vector registers that hold sums over the edges at a time.
_REGISTERS = 16

#: Heads, channels, and a :class:`FixedShape`.
Shape = tuple[int, int, Any]

#: Loads ``count`` numbers of a row from number ``first`` on.
Load = Callable[[Any, int], Any]

#: Pointers to a sum and to the factors of its rows, and the row of a step.
Sum = tuple[Any, Any, Callable[[Any], Load]]


class FixedShape(types.Type):
    """Numba type that carries heads and channels; (0, 0) if known only at run time."""

    def __init__(self, heads: int, channels: int) -> None:
        self.heads, self.channels = heads, channels
        super().__init__(f"FixedShape({heads}, {channels})")


register_model(FixedShape)(models.OpaqueModel)


@intrinsic(prefer_literal=True)
def fixed_shape(typingctx: Any, heads: Any, channels: Any) -> Any:
    """Return two compile-time constants as a value without storage."""
    shape = FixedShape(heads.literal_value, channels.literal_value)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_dummy_value()

    return shape(heads, channels), codegen


def shape_of(x: Any, fixed: Any) -> Any:
    """Return the :data:`Shape` of an array ``[N, heads, channels]``."""


@overload(shape_of, strict=False)
def _shape_of(x: Any, fixed: Any) -> Any:
    heads, channels = fixed.heads, fixed.channels
    if heads:
        return lambda x, fixed: (heads, channels, fixed)
    return lambda x, fixed: (x.shape[1], x.shape[2], fixed)


class Grid(HeadSums):
    """Emits formulas for all heads, or all heads and channels, of a shape.

    Args:
        builder: Builder of llvmlite at the place of insertion.
        types: Numba types of the intrinsic's arguments.
        shape: Value of the intrinsic's last argument, a :data:`Shape`.
    """

    def __init__(self, builder: Any, types: Any, shape: Any) -> None:
        super().__init__(builder, types)
        fixed = types[-1][2]
        self.fixed = fixed.heads > 0
        values = cgutils.unpack_tuple(builder, shape)[:2]
        self.heads, self.channels = (
            (fixed.heads, fixed.channels) if self.fixed else values
        )

    def times(self, left: Any, right: Any) -> Any:
        """Return a product of integers: of numbers, or of values at run time."""
        if isinstance(left, int) and isinstance(right, int):
            return left * right
        left, right = (LONG(it) if isinstance(it, int) else it for it in (left, right))
        return self.builder.mul(left, right)

    def plus(self, pointer: Any, step: Any, size: Any) -> Any:
        """Return a pointer ``step * size`` elements further on."""
        return self.at(pointer, self.times(step, size))

    @property
    def width(self) -> Any:
        """Heads times channels."""
        return self.times(self.heads, self.channels)

    @contextmanager
    def loop(self, low: Any, high: Any) -> Iterator[Any]:
        """Loop from ``low`` to ``high - 1``."""
        low, high = (LONG(it) if isinstance(it, int) else it for it in (low, high))
        with cgutils.for_range_slice(self.builder, low, high, LONG(1)) as (step, _):
            yield step

    def index(self, pointer: Any, slot: Any, argument: int) -> Any:
        """Load an integer; ``argument`` is the number of the pointer's argument."""
        return load_index(self.builder, pointer, slot, self.types[argument].dtype)

    def each_head(self, emit: Callable[[Any, int], None]) -> None:
        """Call ``emit(first, count)`` for blocks of heads."""
        if self.fixed:
            for block in self.blocks(self.heads):
                emit(*block)
            return
        with self.loop(0, self.heads) as head:
            emit(head, 1)

    def each_channel(
        self, emit: Callable[[Any, int, Callable[[Any], Any]], None]
    ) -> None:
        """Call ``emit(first, count, spread)`` for blocks of channels of all heads.

        ``spread(pointer)`` loads one number per head, each into the channels of the
        head in this block.
        """
        if self.fixed:
            for start, size in self.blocks(self.width):
                emit(start, size, self._spread(start, size))
            return
        with self.loop(0, self.heads) as head:
            first = self.builder.mul(head, self.channels)
            with self.loop(0, self.channels) as channel:
                place = self.builder.add(first, channel)
                emit(place, 1, lambda pointer: self.item(pointer, head))

    def _spread(self, start: int, size: int) -> Callable[[Any], Any]:
        heads = [c // self.channels for c in range(start, start + size)]
        count = 1 << (heads[-1] - heads[0]).bit_length()
        if heads[0] == heads[-1]:
            return lambda pointer: self.splat(self.item(pointer, heads[0]), size)
        first = max(0, min(heads[0], self.heads - count))
        count = min(count, self.heads)
        lanes = [head - first for head in heads]
        return lambda pointer: self.pick(self.load(pointer, first, count), lanes)

    def gathered(self, x: Any, indices: Any, argument: int) -> Callable[[Any], Load]:
        """Return the rows ``x[indices[k]]``; ``argument`` is that of ``indices``."""
        return lambda step: self.row(
            self.plus(x, self.index(indices, step, argument), self.width)
        )

    def row(self, pointer: Any) -> Load:
        """Return the row at a pointer."""
        return lambda first, count: self.load(pointer, first, count)

    def over_edges(
        self, acc: Any, low: Any, high: Any, value: Callable[[Any], Any], join: Any
    ) -> None:
        """Set ``acc[h]`` to ``join(acc[h], value(k)[h])`` step by step."""
        builder = self.builder
        if not self.fixed:
            with self.loop(low, high) as step, self.loop(0, self.heads) as head:
                new = join(self.item(acc, head), self.item(value(step), head))
                self.store(new, acc, head)
            return
        for start, size in self.blocks(self.heads):
            held = cgutils.alloca_once_value(builder, self.load(acc, start, size))
            with self.loop(low, high) as step:
                new = self.load(value(step), start, size)
                builder.store(join(builder.load(held), new), held)
            self.store(builder.load(held), acc, start)

    def add_rows(self, low: Any, high: Any, sums: list[Sum]) -> None:
        """Add ``terms[k - low, h] * row(k)[h, c]`` for all steps to ``acc[h, c]``."""
        if not self.fixed:
            with self.loop(low, high) as step:
                lane = self.lane(step, low)
                for acc, terms, row in sums:
                    self.add_row(acc, self.at(terms, lane), row(step))
            return
        blocks, at_once = self.blocks(self.width), max(1, _REGISTERS // len(sums))
        for first in range(0, len(blocks), at_once):
            self._add_blocks(low, high, sums, blocks[first:][:at_once])

    def lane(self, step: Any, low: Any) -> Any:
        """Return the offset of the heads of a step that is counted from ``low``."""
        return self.times(self.builder.sub(step, low), self.heads)

    def add_row(self, acc: Any, term: Any, load: Load) -> None:
        """Add ``term[h] * row[h, c]`` to ``acc[h, c]``."""

        def add(start: Any, size: int, spread: Callable[[Any], Any]) -> None:
            old = self.load(acc, start, size)
            new = self.fused(old, spread(term), load(start, size))
            self.store(new, acc, start)

        self.each_channel(add)

    def _add_blocks(
        self, low: Any, high: Any, sums: list[Sum], blocks: list[tuple[int, int]]
    ) -> None:
        """Add some blocks of all rows in registers."""
        builder = self.builder
        places = [(acc, block) for block in blocks for acc, _, _ in sums]
        held = [
            cgutils.alloca_once_value(builder, self.load(acc, *block))
            for acc, block in places
        ]
        with self.loop(low, high) as step:
            lane, registers = self.lane(step, low), iter(held)
            rows = [(self.at(terms, lane), row(step)) for _, terms, row in sums]
            for block in blocks:
                spread = self._spread(*block)
                for term, load in rows:
                    register = next(registers)
                    old, new = builder.load(register), load(*block)
                    builder.store(self.fused(old, spread(term), new), register)
        for (acc, (start, _)), register in zip(places, held, strict=True):
            self.store(builder.load(register), acc, start)

    def each_sum(
        self, term: Callable[[Any, int], Any], emit: Callable[[Any, int, Any], None]
    ) -> None:
        """Sum ``term(first, count)`` over the channels of each head.

        Calls ``emit(first, count, sums)`` for blocks of heads.
        """
        if self.fixed:
            for start, size in self.blocks(self.heads):
                emit(start, size, self.sums(term, start, size))
            return
        builder = self.builder
        with self.loop(0, self.heads) as head:
            total = cgutils.alloca_once(builder, self.kind)
            builder.store(self.kind(0.0), total)
            first = builder.mul(head, self.channels)
            with self.loop(0, self.channels) as channel:
                value = term(builder.add(first, channel), 1)
                builder.store(
                    builder.fadd(builder.load(total), value, flags=FUSE), total
                )
            emit(head, 1, builder.load(total))


def over_grid(emit: Callable[..., None]) -> Any:
    """Make an intrinsic of a function that emits a formula over heads and channels.

    Args:
        emit: Called with a :class:`Grid` and the arguments of the intrinsic. The first
            one is a pointer to floating-point numbers.

    Returns:
        An intrinsic with the same arguments and the :data:`Shape` as the last one.
    """
    names = [*list(signature(emit).parameters)[1:], "shape"]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        emit(Grid(builder, signature.args, args[-1]), *args[:-1])
        return context.get_dummy_value()

    return void_intrinsic(emit, names, codegen)

"""Emit the sums of the channels of every head, as one vector of heads."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from gsparse.kernels.scalar import FUSE
from gsparse.kernels.vector_code import Code, shuffle

# ruff: noqa: ANN401 (values of llvmlite)


class HeadSums(Code):
    """Emits sums over the channels of a shape known at compile time.

    Eight heads of eight channels take 14 shuffles and 7 additions; one head after the
    other they would take 24 of each.
    """

    channels: Any

    def sums(self, term: Callable[[int, int], Any], first: int, count: int) -> Any:
        """Return a vector of the sums of ``count`` heads."""
        channels, widest = self.channels, self.blocks(1 << 10)[0][1]
        start = first * channels
        if count > 1 and channels <= 4:
            return self._strided_sums(
                [term(start + at, size) for at, size in self.blocks(count * channels)],
                count,
            )
        parts = [self._head_sums(term, head) for head in range(first, first + count)]
        if count > 1 and channels % widest == 0:
            return self._folded(parts)
        numbers = [self.reduce(it) for it in parts]
        if count == 1:
            return numbers[0]
        vector = ir.Constant(self.lanes(count), ir.Undefined)
        for lane, number in enumerate(numbers):
            vector = self.builder.insert_element(vector, number, ir.IntType(32)(lane))
        return vector

    def _head_sums(self, term: Callable[[int, int], Any], head: int) -> Any:
        """Return a vector whose lanes add up to the sum of a head."""
        sums: dict[int, Any] = {}
        for start, size in self.blocks(self.channels):
            new = term(head * self.channels + start, size)
            old = sums.get(size)
            sums[size] = new if old is None else self.builder.fadd(old, new, flags=FUSE)
        if len(sums) == 1:
            return next(iter(sums.values()))
        total = self.kind(0.0)
        for vector in sums.values():
            total = self.builder.fadd(total, self.reduce(vector))
        return total

    def _strided_sums(self, parts: list[Any], count: int) -> Any:
        """Sum runs of few channels: lane ``h`` of sum c is channel c of head h."""
        row = parts[0]
        for part in parts[1:]:
            row = self._joined(row, part)
        total = None
        for c in range(self.channels):
            lanes = [head * self.channels + c for head in range(count)]
            new = self.pick(row, lanes)
            total = new if total is None else self.builder.fadd(total, new, flags=FUSE)
        return total

    def _joined(self, left: Any, right: Any) -> Any:
        """Return the lanes of two vectors, or of a vector and a number, as one."""
        size = left.type.count
        if not isinstance(right.type, ir.VectorType):
            wide = self.pick(left, [*range(size), 0])
            return self.builder.insert_element(wide, right, ir.IntType(32)(size))
        more = right.type.count
        right = self.pick(right, [lane % more for lane in range(size)])
        return shuffle(self.builder, left, right, list(range(size + more)))

    def _folded(self, parts: list[Any]) -> Any:
        """Sum the lanes of each vector, all at once: add halves of pairs of vectors."""
        size, quarter = parts[0].type.count, 16 // self.itemsize
        found = [(part, [head] * size) for head, part in enumerate(parts)]
        while len(found) > 1:
            pairs = zip(found[::2], found[1::2], strict=True)
            found = [self._fold(left, right, quarter) for left, right in pairs]
        vector, heads = found[0]
        while heads.count(0) > 1:
            vector, heads = self._fold((vector, heads), None, quarter)
        return self.pick(vector, [heads.index(head) for head in range(len(parts))])

    def _fold(
        self, left: tuple[Any, list[int]], right: tuple[Any, list[int]] | None, q: int
    ) -> tuple[Any, list[int]]:
        """Add pairs of lanes of the same head, of one vector or two."""
        size = len(left[1])
        heads = left[1] + (right[1] if right else [])
        second = right[0] if right else ir.Constant(left[0].type, None)
        for step in (1, 2, 4):
            if step < q:  # within 16 bytes, which takes one instruction
                low = [
                    vector + part + lane
                    for part in range(0, size, q)
                    for vector in range(0, len(heads), size)
                    for lane in range(q)
                    if not lane & step
                ]
            else:
                low = [lane for lane in range(len(heads)) if not lane & step]
            high = [lane + step for lane in low]
            if max(high) < len(heads) and all(
                heads[a] == heads[b] for a, b in zip(low, high, strict=True)
            ):
                halves = [
                    shuffle(self.builder, left[0], second, it) for it in (low, high)
                ]
                return self.builder.fadd(*halves), [heads[a] for a in low]
        raise AssertionError(f"no two lanes of one head: {heads}")

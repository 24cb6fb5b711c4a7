"""The random numbers of :mod:`gsparse.edges.hashing` in SQL, equal in every bit.

Sums and products wrap at 64 bits there, and raise an error in the ANSI mode of Spark.
They are therefore computed in halves of 32 bits, none of which overflows.
"""

from typing import TYPE_CHECKING

from gsparse.edges.hashing import FACTORS, STEP, stream_start

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_LOW = f"{2**32 - 1}L"  # mask of the lower half


def with_uniform(
    table: "DataFrame", name: str, seed: int, stream: int = 0
) -> "DataFrame":
    """Append a column with the numbers of :func:`~gsparse.edges.pair_uniform`.

    Args:
        table: Table of pairs with the columns ``u`` and ``v``, bigint.
        name: Name of the new column.
        seed: Random seed.
        stream: Number of the stream.
    """
    hashing = _Hashing(table, f"{int(stream_start(seed, stream))}L")
    for end in ("u", "v"):
        hashing.add(end)
        hashing.mix()
    # Spark would copy the hash into each condition on the new column, and each step
    # into the next one, which doubles its length; it does not look into an explode.
    unit = f"(CAST(shiftrightunsigned(z, 11) AS DOUBLE) + 0.5D) * {2.0**-53!r}D"
    return hashing.table.selectExpr(*table.columns, f"explode(array({unit})) AS {name}")


class _Hashing:
    """Columns ``z``, the state, and ``t``, the lower half of a sum or product.

    Every step is a projection of its own: a state that is used twice in an expression
    would be computed twice.
    """

    def __init__(self, table: "DataFrame", start: str) -> None:
        self._columns = table.columns
        self.table = table.selectExpr(*self._columns, f"{start} AS z")

    def mix(self) -> None:
        """Apply SplitMix64's finaliser."""
        self.add(f"{STEP}L")
        self._xor_shift(30)
        self._multiply(FACTORS[0])
        self._xor_shift(27)
        self._multiply(FACTORS[1])
        self._xor_shift(31)

    def add(self, number: str) -> None:
        """Add a bigint."""
        self._select("z", f"(z & {_LOW}) + ({number} & {_LOW}) AS t")
        high = "shiftrightunsigned({}, 32)".format
        self._join(f"{high('z')} + {high(number)} + {high('t')}")

    def _multiply(self, factor: int) -> None:
        """Multiply by a constant.

        Both halves of the constant are in [-2^31, 2^31), so their products with a half
        of the state, in [0, 2^32), are within 64 bits.
        """
        low = _signed(factor)
        high = _signed((factor - low) >> 32)
        self._select("z", f"(z & {_LOW}) * {low}L AS t")
        self._join(
            f"shiftrightunsigned(t, 32) + ((z & {_LOW}) * {high}L & {_LOW}) + "
            f"(shiftrightunsigned(z, 32) * {low}L & {_LOW})"
        )

    def _xor_shift(self, bits: int) -> None:
        self._select(f"z ^ shiftrightunsigned(z, {bits}) AS z")

    def _join(self, high: str) -> None:
        """Set the state to the lower half of ``t`` and an upper half."""
        self._select(f"shiftleft({high}, 32) | (t & {_LOW}) AS z")

    def _select(self, *columns: str) -> None:
        self.table = self.table.selectExpr(*self._columns, *columns)


def _signed(number: int) -> int:
    """Return the number in [-2^31, 2^31) that is equal modulo 2^32."""
    return (number + 2**31) % 2**32 - 2**31

"""Short forms for tables and SQL expressions.

All expressions give the same result with and without the ANSI mode of Spark: nothing
overflows, and nothing is divided by zero.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def literal(value: float) -> str:
    """Return a number in SQL, equal in every bit.

    Example:
        >>> from gsparse.distributed.spark.sql import literal
        >>> literal(0.1), literal(-7)
        ('0.1D', '-7L')
    """
    return f"{value}L" if isinstance(value, int) else f"{float(value)!r}D"


def grouped(table: "DataFrame", keys: Sequence[str], *aggregates: str) -> "DataFrame":
    """Group a table by columns."""
    from pyspark.sql.functions import expr  # an optional extra

    return table.groupBy(*keys).agg(*map(expr, aggregates))

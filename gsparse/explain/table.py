"""Table of the importances of pairs with their uncertainty."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, repr=False, eq=False)
class Interactions:
    """Importances of pairs of units with their uncertainty.

    Example:
        >>> import torch
        >>> from gsparse.explain import Interactions
        >>> i, j = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2])
        >>> draws = torch.tensor([[1.0, 0.0, 5.0], [2.0, 0.0, 7.0]])
        >>> found = Interactions(i, j, draws, num_units=3, score="AEH")
        >>> found.pairs(2), found.mean
        ([(1, 2), (0, 1)], tensor([1.5000, 0.0000, 6.0000]))
        >>> found.units(1), found.rank(0, 1)
        (tensor([False,  True,  True]), 2)

    ``print`` shows the ten strongest pairs. The interval contains the central ``level``
    of the draws from the posterior.

    Args:
        i: Number of the first unit of each pair.
        j: Number of the second unit, larger than ``i``.
        draws: Importance of each pair in each draw.
        num_units: Number of all units, including those that are not candidates.
        score: Name of the importance: ``"AEH"``, ``"8-GEH"`` or ``"EAH"``.
        level: Fraction of the draws in the interval.
        names: Names of all units.

    Shapes:
        - **i, j:** :math:`(P,)`
        - **draws:** :math:`(S, P)`
    """

    i: Tensor
    j: Tensor
    draws: Tensor
    num_units: int
    score: str
    level: float = 0.9
    names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.i.shape != self.j.shape or self.draws.shape[1:] != self.i.shape:
            raise ValueError(
                "'draws' must have one column per pair "
                f"(got {list(self.draws.shape)} for {self.i.numel()} pairs)"
            )
        if not 0 < self.level < 1:
            raise ValueError(f"'level' must be in (0, 1) (got {self.level})")
        if self.names is not None and len(self.names) != self.num_units:
            raise ValueError(
                f"'names' must name all {self.num_units} units (got {len(self.names)})"
            )

    def __len__(self) -> int:
        return self.i.numel()

    @property
    def mean(self) -> Tensor:
        """Mean over the draws, ``[P]``."""
        return self.draws.mean(0)

    @property
    def sd(self) -> Tensor:
        """Standard deviation over the draws, ``[P]``; NaN for a single draw."""
        return self.draws.std(0)

    @property
    def low(self) -> Tensor:
        """Lower end of the interval, ``[P]``."""
        return self.quantile((1 - self.level) / 2)

    @property
    def high(self) -> Tensor:
        """Upper end of the interval, ``[P]``."""
        return self.quantile((1 + self.level) / 2)

    def quantile(self, q: float) -> Tensor:
        """Compute a quantile over the draws, ``[P]``."""
        place = q * (self.draws.size(0) - 1)
        ordered = self.draws.sort(0).values  # torch.quantile refuses large inputs
        below = math.floor(place)
        above = min(below + 1, self.draws.size(0) - 1)
        return ordered[below].lerp(ordered[above], place - below)

    def top(self, k: int) -> "Interactions":
        """Return the ``k`` pairs of largest mean in descending order."""
        order = self.mean.argsort(descending=True, stable=True)[:k]
        return replace(
            self, i=self.i[order], j=self.j[order], draws=self.draws[:, order]
        )

    def pairs(self, k: int) -> list[tuple[int, int]]:
        """Return the units of the ``k`` strongest pairs."""
        best = self.top(k)
        return list(zip(best.i.tolist(), best.j.tolist(), strict=True))

    def rank(self, i: int, j: int) -> int:
        """Return the rank of a pair, starting with 1 for the strongest."""
        i, j = min(i, j), max(i, j)
        place = ((self.i == i) & (self.j == j)).nonzero().view(-1)
        if place.numel() == 0:
            raise ValueError(
                f"'i' and 'j' must be a pair of the table (got {i}, {j}); add both "
                "units to 'candidates'"
            )
        order = self.mean.argsort(descending=True, stable=True)
        return int((order == place[0]).nonzero()) + 1

    def matrix(self) -> Tensor:
        """Return the mean importances as a symmetric matrix.

        The diagonal and the pairs that are not in the table are 0.

        Shapes:
            - **output:** :math:`(F, F)`
        """
        out = self.draws.new_zeros(self.num_units, self.num_units)
        out[self.i, self.j] = out[self.j, self.i] = self.mean
        return out

    def units(self, k: int) -> Tensor:
        """Return True for the units in one of the ``k`` strongest pairs.

        The result is suitable for the argument ``protect`` of pruners.

        Shapes:
            - **output:** :math:`(F,)`
        """
        best = self.top(k)
        out = torch.zeros(self.num_units, dtype=torch.bool, device=self.i.device)
        out[best.i] = out[best.j] = True
        return out

    def name(self, unit: int) -> str:
        """Return the name of a unit, or its number if there are no names."""
        return str(unit) if self.names is None else self.names[unit]

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary per pair; a standard deviation of one draw is None."""
        sd = self.sd.tolist() if self.draws.size(0) > 1 else [None] * len(self)
        columns = zip(
            self.i.tolist(),
            self.j.tolist(),
            self.mean.tolist(),
            sd,
            self.low.tolist(),
            self.high.tolist(),
            strict=True,
        )
        return [
            {
                "i": i,
                "j": j,
                "first": self.name(i),
                "second": self.name(j),
                "score": self.score,
                "mean": mean,
                "sd": spread,
                "low": low,
                "high": high,
            }
            for i, j, mean, spread, low, high in columns
        ]

    def save(self, path: Path | str) -> None:
        """Write the rows to a file.

        Args:
            path: Path that ends in ``.csv``, or in ``.jsonl`` for one JSON object per
                line.

        Raises:
            ValueError: If the suffix is another one.
        """
        path, rows = Path(path), self.rows()
        if path.suffix not in (".csv", ".jsonl"):
            raise ValueError(f"'path' must end in .csv or .jsonl (got {path.name!r})")
        with path.open("w", newline="", encoding="utf-8") as file:
            if path.suffix == ".jsonl":
                file.writelines(json.dumps(row) + "\n" for row in rows)
                return
            writer = csv.DictWriter(file, list(rows[0]) if rows else ["i", "j"])
            writer.writeheader()
            writer.writerows(rows)

    def __repr__(self) -> str:
        return (
            f"Interactions({self.score}, pairs={len(self)}, draws={self.draws.size(0)})"
        )

    def __str__(self) -> str:
        percent = f"{100 * self.level:g}%"
        lines = [
            f"{self.score} of {len(self):,} pairs, {self.draws.size(0)} draws",
            f"{'rank':>4}  {'first':20}  {'second':20}  {'score':>8}  {percent:>17}",
        ]
        for rank, row in enumerate(self.top(10).rows(), 1):
            first, second = (shorten(row[key]) for key in ("first", "second"))
            interval = f"{row['low']:.3g} to {row['high']:.3g}"
            interval = "-" if row["sd"] is None else interval
            lines.append(
                f"{rank:>4}  {first:20}  {second:20}  {row['mean']:>8.3g}"
                f"  {interval:>17}"
            )
        return "\n".join(lines)


def shorten(text: str, longest: int = 20) -> str:
    """Shorten a long name in the middle, because names often differ at their ends.

    Example:
        >>> from gsparse.explain.table import shorten
        >>> shorten("average temperature of day 7", longest=15)
        'average…f day 7'
    """
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}…{text[-half:]}"

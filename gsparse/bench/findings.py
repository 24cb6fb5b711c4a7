"""Claims of papers and our targets, compared with measurements."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, NamedTuple

from gsparse.bench import papers
from gsparse.bench.paired import paired_difference, standard_error


@dataclass(frozen=True)
class Finding:
    """One number of a paper, or one of our targets, and the measured number.

    Args:
        dataset: The graph or graphs.
        claim: The claim.
        wanted: The number of the paper, or our target.
        ours: The measured number.
        spread: The number after ±: the standard deviation over seeds, or half of a
            95 % interval if the claim says so.
        holds: Whether the measured number is good enough.
        source: ``"paper"``, or ``"target"`` if the paper claims no such number.
        unit: Written after the numbers.
    """

    dataset: str
    claim: str
    wanted: float
    ours: float
    holds: bool
    spread: float | None = None
    source: str = "paper"
    unit: str = ""

    @property
    def difference(self) -> float:
        """The measured number minus the wanted one."""
        return self.ours - self.wanted

    def as_record(self) -> dict[str, Any]:
        """Return a flat mapping, for ``--json``."""
        return asdict(self) | {"difference": self.difference}


target = partial(Finding, source="target")
"""A finding that is compared with one of our own targets."""


class Gap(NamedTuple):
    """A difference of scores in points, seed by seed."""

    mean: float
    half: float | None
    """Half of the 95 % interval; None for one seed."""
    error: float
    """Standard error of the mean; infinite for one seed."""


def gap(first: Mapping[int, float], second: Mapping[int, float]) -> Gap:
    """Return ``first - second`` over the seeds that both have."""
    mean, half = paired_difference(dict(first), dict(second))
    gaps = {seed: first[seed] - second[seed] for seed in first.keys() & second.keys()}
    return Gap(mean, None if half == float("inf") else half, standard_error(gaps))


def format_findings(findings: Sequence[Finding]) -> str:
    """Format one line per claim: wanted, measured, difference, verdict."""
    titles = ("graph", "claim", "wanted", "ours", "diff", "verdict")
    wide = max([12, *(1 + len(it.dataset) for it in findings)])
    row = f"{{:{wide}}}{{:{42 - wide}}}{{:>7}}{{:>13}}{{:>8}}  {{}}"
    lines = [row.format(*titles)]
    for it in findings:
        spread = "" if it.spread is None else f" ± {it.spread:.1f}"
        mark = "" if it.source == "paper" else "*"
        lines.append(
            row.format(
                it.dataset,
                it.claim,
                f"{it.wanted:.4g}{it.unit}{mark}",
                f"{it.ours:.1f}{it.unit}{spread}",
                f"{it.difference:+.1f}",
                "holds" if it.holds else "FAILS",
            )
        )
    if any(it.source != "paper" for it in findings):
        lines.append("* a target of ours; the paper's own number is not known")
    return "\n".join(lines)


def reproducible() -> list[str]:
    """Return the names that ``gsparse reproduce`` takes."""
    names = [found.name for found in iter_modules(papers.__path__)]
    return [name.replace("_", "-") for name in names]


def paper(name: str) -> Any:  # noqa: ANN401 (a module)
    """Return the module of a paper.

    Raises:
        ValueError: If the name is unknown; the message lists the known ones.
    """
    known = reproducible()
    if name not in known:
        raise ValueError(f"'name' must be one of {', '.join(known)} (got {name})")
    return import_module(f"gsparse.bench.papers.{name.replace('-', '_')}")

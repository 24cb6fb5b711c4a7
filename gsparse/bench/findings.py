"""Claims of papers and our targets, compared with measurements."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from gsparse.bench import papers
from gsparse.bench.verdicts import FEWEST, Verdict


@dataclass(frozen=True)
class Finding:
    """One number of a paper, or one of our targets, and the measured number.

    Args:
        dataset: The graph or graphs.
        claim: The claim.
        wanted: The number of the paper, or our target.
        ours: The measured number.
        verdict: See :mod:`gsparse.bench.verdicts`.
        half: Half of the 95 % interval of the mean difference, written after ±; None
            for exact numbers.
        source: ``"paper"``, or ``"target"`` if the paper claims no such number.
        unit: Written after the numbers.
    """

    dataset: str
    claim: str
    wanted: float
    ours: float
    verdict: Verdict
    half: float | None = None
    source: str = "paper"
    unit: str = ""

    @property
    def holds(self) -> bool:
        """Whether the claim holds."""
        return self.verdict == "holds"

    @property
    def difference(self) -> float:
        """The measured number minus the wanted one."""
        return self.ours - self.wanted

    @property
    def measured(self) -> str:
        """The measured number with its unit and interval, such as ``"0.7 ± 0.2"``."""
        digits = ".3g" if self.unit == "x" else ".1f"
        has_interval = self.half is not None and self.half != float("inf")
        half = f" ± {self.half:.1f}" if has_interval else ""
        return f"{self.ours:{digits}}{self.unit}{half}"

    def as_record(self) -> dict[str, Any]:
        """Return a flat mapping, for ``--json``; an infinite interval is None."""
        half = None if self.half == float("inf") else self.half
        return asdict(self) | {"half": half, "difference": self.difference}


target = partial(Finding, source="target")
"""A finding that is compared with one of our own targets."""


def exit_code(findings: Sequence[Finding], quick: bool) -> int:
    """Return 0 if all claims hold, and 1 otherwise.

    A quick run has few seeds on purpose; what it cannot decide is not counted.
    """
    accepted = ("holds", "too few seeds") if quick else ("holds",)
    return 0 if all(it.verdict in accepted for it in findings) else 1


def format_findings(findings: Sequence[Finding]) -> str:
    """Format one line per claim: wanted, measured, verdict."""
    titles = ("graph", "claim", "wanted", "ours", "verdict")
    wide = max([12, *(1 + len(it.dataset) for it in findings)])
    row = f"{{:{wide}}}{{:{43 - wide}}}{{:>7}}{{:>13}}  {{}}"
    lines = [row.format(*titles)]
    for it in findings:
        mark = "" if it.source == "paper" else "*"
        lines.append(
            row.format(
                it.dataset,
                it.claim,
                f"{it.wanted:.4g}{it.unit}{mark}",
                it.measured,
                "FAILS" if it.verdict == "fails" else it.verdict,
            )
        )
    return "\n".join([*lines, *_notes(findings)])


def _notes(findings: Sequence[Finding]) -> list[str]:
    """Return the lines below the table."""
    notes = []
    if any(it.half is not None for it in findings):
        notes.append("±: half of the 95 % interval of the mean difference, by seed")
    if any(it.source != "paper" for it in findings):
        notes.append("* a target of ours; the paper's own number is not known")
    few = sum(it.verdict == "too few seeds" for it in findings)
    if few:
        notes.append(
            f"{few} of {len(findings)} claims undecided: fewer than {FEWEST} seeds, or "
            "an interval too wide"
        )
    return notes


def reproducible() -> list[str]:
    """Return the names that ``gsparse reproduce`` takes."""
    names = [found.name for found in iter_modules(papers.__path__)]
    return [name.replace("_", "-") for name in names]


def listing() -> list[dict[str, Any]]:
    """Return name, claim, graphs and minutes of everything that can be reproduced."""
    found = []
    for name in reproducible():
        module = paper(name)
        quick, full = module.MINUTES
        record = {"name": name, "claim": module.CLAIM, "data": module.DATA}
        found.append({**record, "quick_minutes": quick, "full_minutes": full})
    return found


def format_listing(records: Sequence[dict[str, Any]]) -> str:
    """Return the list as text in 80 columns."""
    lines = ["name            quick     full  graphs"]
    for it in records:
        quick, full = it["quick_minutes"], it["full_minutes"]
        lines.append(f"{it['name']:15}{quick:4} min {full:4} min  {it['data']}")
        lines.append(f"  {it['claim']}")
    return "\n".join([*lines, "", "Minutes are those of one core."])


def paper(name: str) -> Any:  # noqa: ANN401 (a module)
    """Return the module of a paper.

    Raises:
        ValueError: If the name is unknown; the message lists the known ones.
    """
    known = reproducible()
    if name not in known:
        raise ValueError(f"'name' must be one of {', '.join(known)} (got {name})")
    return import_module(f"gsparse.bench.papers.{name.replace('-', '_')}")

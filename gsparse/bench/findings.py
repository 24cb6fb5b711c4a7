"""Claims of a paper beside what we found."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from gsparse.bench import papers


@dataclass(frozen=True)
class Finding:
    """One number of a paper, or a target of ours, and what we measured.

    Args:
        dataset: The graph, or several.
        claim: What is claimed.
        wanted: What the paper says, or our target, as a number.
        ours: What we found.
        spread: What stands behind ±: the standard deviation over seeds, or half of a
            95 % interval where the claim says so.
        holds: Whether ours is as good.
        source: ``"paper"``, or ``"target"`` for what is asked for here and not there.
        unit: Written behind the numbers.
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
        """Ours less what is wanted."""
        return self.ours - self.wanted

    def as_record(self) -> dict[str, Any]:
        """A flat mapping, for ``--json``."""
        return asdict(self) | {"difference": self.difference}


def format_findings(findings: Sequence[Finding]) -> str:
    """One line a claim: what is wanted, ours, the difference, the verdict."""
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
    """Names that ``gsparse reproduce`` takes."""
    names = [found.name for found in iter_modules(papers.__path__)]
    return [name.replace("_", "-") for name in names]


def paper(name: str) -> Any:  # noqa: ANN401 (a module)
    """The module of a paper.

    Raises:
        ValueError: There is no such name; lists those that are there.
    """
    known = reproducible()
    if name not in known:
        raise ValueError(f"'name' must be one of {', '.join(known)} (got {name})")
    return import_module(f"gsparse.bench.papers.{name.replace('-', '_')}")

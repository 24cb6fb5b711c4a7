"""Tables of claims and verdicts, as ``gsparse reproduce --full`` prints them."""

from collections import Counter
from functools import partial
from typing import get_args

from gsparse.bench.findings import Finding, listing, paper
from gsparse.bench.tables.documents import Blocks, Results
from gsparse.bench.tables.grid_table import markdown
from gsparse.bench.verdicts import Verdict

NAMES = (
    *("kedge-pubmed", "kedge-citation", "kedge-graphs", "kedge-labels", "kedge-depth"),
    *("prune-citation", "structured", "implicit", "incremental", "interactions"),
)

VERDICTS = get_args(Verdict)


def _claims(results: Results, name: str) -> str:
    titles = ("graph", "claim", "wanted", "ours", "verdict")
    return markdown(titles, map(_line, _findings(results, name)))


def _findings(results: Results, name: str) -> list[Finding]:
    found: list[Finding] = paper(name).findings(results.folder, quick=False)
    return found


def _line(it: Finding) -> list[str]:
    verdict = "**fails**" if it.verdict == "fails" else it.verdict
    return [it.dataset, it.claim, f"{it.wanted:.4g}{it.unit}", it.measured, verdict]


def _papers(results: Results) -> str:
    """Return what each command claims, what it costs, and how its claims went."""
    lines = []
    for record in listing():
        name = str(record["name"])
        quick, full = paper(name).MINUTES
        verdicts = ""
        if name in NAMES:
            found = Counter(it.verdict for it in _findings(results, name))
            verdicts = ", ".join(f"{found[it]} {it}" for it in VERDICTS if found[it])
        minutes = f"{quick} / {full}"
        lines.append([f"`{name}`", record["claim"], record["data"], minutes, verdicts])
    titles = ("name", "claim", "graphs", "minutes, quick / full", "verdicts")
    return markdown(titles, lines)


BLOCKS: Blocks = {
    **{f"claims-{name}": partial(_claims, name=name) for name in NAMES},
    "papers": _papers,
}

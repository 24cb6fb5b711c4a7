"""Tables of claims and verdicts, as ``gsparse reproduce --full`` prints them."""

from functools import partial

from gsparse.bench.findings import Finding, paper
from gsparse.bench.tables.documents import Blocks, Results
from gsparse.bench.tables.grid_table import markdown

NAMES = (
    *("kedge-pubmed", "kedge-citation", "kedge-graphs", "kedge-depth"),
    *("prune-citation", "structured", "implicit", "incremental", "interactions"),
)


def _claims(results: Results, name: str) -> str:
    found = paper(name).findings(results.folder, quick=False)
    titles = ("graph", "claim", "wanted", "ours", "verdict")
    return markdown(titles, map(_line, found))


def _line(it: Finding) -> list[str]:
    verdict = "**fails**" if it.verdict == "fails" else it.verdict
    return [it.dataset, it.claim, f"{it.wanted:.4g}{it.unit}", it.measured, verdict]


BLOCKS: Blocks = {f"claims-{name}": partial(_claims, name=name) for name in NAMES}

"""Pictures of a graph before and after the cut of a block's operating point."""

import io
from base64 import b64encode

from gsparse.bench.page.content import Section
from gsparse.bench.page.sentence import operating_point
from gsparse.bench.page.text import tag
from gsparse.data.cards import card, names
from gsparse.data.load import load
from gsparse.data.raw_files import find_raw
from gsparse.deploy import plot_cut
from gsparse.transforms.by_name import make_sparsifier, sparsifiers

NODES, EDGES = 300, 2000
"""Most nodes and edges that are drawn, so that a picture stays below 100 kB."""


def picture(section: Section) -> str:
    """Return the picture of a block as an element of the page.

    It is empty unless the data set is on this machine and a transform that needs no
    model computes the edges. The edges are those of seed 0.
    """
    best, name = operating_point(section), str(section.block.title["dataset"])
    if best is None or best.line.method not in sparsifiers() or not _is_here(name):
        return ""
    settings = {"sparsity": best.line.sparsity_target, "seed": 0}
    try:
        transform = make_sparsifier(best.line.method, **settings)
    except (TypeError, ValueError):  # it has no sparsity, or needs logits of a model
        return ""
    before = load(name)
    figure = plot_cut(
        before, transform(before), max_nodes=NODES, max_edges=EDGES, seed=0
    )
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80, metadata={"Software": None})
    source = f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
    about = f"{name} before and after {best.line.method} of seed 0"
    return tag("figure", tag("img", src=source, alt=about), class_="cut")


def _is_here(name: str) -> bool:
    """Return whether a data set can be read without a download."""
    if name not in names():
        return False
    found = card(name)
    return not found.files or find_raw(found) is not None

"""The page docs/compatibility.md, written from what the package does when it is run.

Write it anew by ``python -m tests.compatibility``.
"""

from collections.abc import Iterable
from pathlib import Path

from tests.compaction import compaction_options
from tests.nn import fast_layer_options, masked_conv_options

PAGE = Path(__file__).parent.parent / "docs" / "compatibility.md"

Row = tuple[str, str, str]

HEAD = """# Compatibility

What is served by a fast path, by PyG's own code, or refused by name. This page is
written by running every row (`python -m tests.compatibility`), and a test compares the
two. The options are read from the signatures of PyG's layers, so an option that a new
version of PyG adds fails a test until it is listed here.

An empty cell means that the layer does not have the option, or that PyG's layer itself
does not accept the call.

## Fast layers

Each layer is called with one option or in one form, all else as by default. *fast*: the
kernel runs, and output and gradients equal those of PyG's layer. *PyG*: PyG's code runs
with the same parameters. *refused*: a `ValueError` or `TypeError` says why, where PyG's
layer raises as well or the call has a meaning only here (`edge_weight`).
"""

MASKS = """
## Masks on edges

`edge_weights`, which all learned masks use. *equal*: with a mask of zeros and ones the
output equals that of PyG's layer on the graph without the edges, ones change nothing,
and the gradients are finite. *refused*: a `TypeError` or `ValueError` names the layer.
"""

COMPACT = """
## Compaction

`compact` and `channel_groups` on a model that has the layer or operation between two
linear layers. *followed*: units on both sides become smaller. *kept whole*: the result
is equal, and the channels that pass through stay. *refused*: an error names the step.
"""


def page() -> str:
    """Return the text of the page."""
    fast = _pivot(fast_layer_options.rows())
    masks = _pivot(
        (layer, option, outcome.replace("equals removal", "equal"))
        for layer, option, outcome in masked_conv_options.rows()
    )
    return "\n".join([HEAD, fast, MASKS, masks, COMPACT, _by_outcome()])


def _pivot(rows: Iterable[Row]) -> str:
    """A table with a line for each option and a column for each layer."""
    cells = {(option, layer): outcome for layer, option, outcome in rows}
    options = dict.fromkeys(option for option, _ in cells)
    layers = list(dict.fromkeys(layer for _, layer in cells))
    lines = [f"| option or call | {' | '.join(layers)} |", "|---" * (len(layers) + 1)]
    lines[1] += "|"
    for option in options:
        found = [cells.get((option, layer), "") for layer in layers]
        lines.append(f"| {_code(option)} | {' | '.join(found)} |")
    return "\n".join(lines) + "\n"


def _by_outcome() -> str:
    """A table with a line for each outcome."""
    rows = compaction_options.rows()
    lines = ["| outcome | layers and operations |", "|---|---|"]
    for outcome in dict.fromkeys(outcome for _, _, outcome in rows):
        names = [_code(name) for name, _, found in rows if found == outcome]
        lines.append(f"| {outcome} | {', '.join(names)} |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())

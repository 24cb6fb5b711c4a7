"""List methods and datasets as flat records."""

import inspect
import re
from typing import Any

from gsparse.bench.experiment.methods import methods
from gsparse.data import card, names
from gsparse.nn import FeatureMask
from gsparse.train.by_name import public_weight_methods
from gsparse.transforms import FeatureSelect

LINK = re.compile(r"`([^`]+?) <[^`]+?>`_+")
ROLE = re.compile(r":(\w+):`(~?)([^`]+)`")
SIGNS = {r"\theta": "θ", r"\hat{A}": "Â", r"\|": "‖", r"\,": ""}
"""Replacements of LaTeX on a screen."""
BRACES = re.compile(r"([_^])\{([^{}]*)\}")
"""An index or exponent of LaTeX in braces."""


def method_records() -> list[dict[str, Any]]:
    """Return every method and pruner with the first sentence of its docstring."""
    features = {"FeatureSelect": FeatureSelect, "FeatureMask": FeatureMask}
    groups = (
        ("edges", methods()),
        ("weights", public_weight_methods()),
        ("features", features),
    )
    return [
        {
            "name": name,
            "removes": removed,
            "what": _first_sentence(inspect.getdoc(cls) or ""),
        }
        for removed, found in groups
        for name, cls in found.items()
    ]


def dataset_records() -> list[dict[str, Any]]:
    """Return every dataset with the sizes, split, metric and licence of its card."""
    return [
        {
            "name": found.name,
            "nodes": found.num_nodes,
            "edges": found.num_edges,
            "features": found.num_features,
            "classes": found.num_classes,
            "split": found.default_split,
            "metric": found.metric,
            "licence": found.licence,
        }
        for found in map(card, names())
    ]


def _first_sentence(doc: str) -> str:
    """Return the first sentence without addresses of links and markup."""
    text = LINK.sub(r"\1", " ".join(doc.split("\n\n")[0].split()))
    text = ROLE.sub(lambda it: it[3].rpartition(".")[2] if it[2] else it[3], text)
    for latex, sign in SIGNS.items():
        text = text.replace(latex, sign)
    text = BRACES.sub(r"\1\2", text)
    head, _, _ = text.replace("``", "").partition(". ")
    return head.rstrip(".") + "."

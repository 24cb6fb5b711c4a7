"""Cards: descriptions of the data sets, read from TOML files."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from gsparse.data.folders.header import NAME as HEADER

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_INSTALLED = Path(__file__).parent / "cards"
_CHECKOUT = Path(__file__).parents[2] / "datasets"


@dataclass(frozen=True)
class Variant:
    """One version of the raw files of a data set and the size of its graph.

    A size of ``None`` was not published and is not checked. An empty SHA-256 means that
    no copy of the file was available.
    """

    name: str
    num_nodes: int
    num_features: int
    num_classes: int
    num_edges: int | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""


@dataclass(frozen=True)
class Card:
    """Description of a data set, read from its file in ``datasets/``.

    ``num_edges`` counts directed entries (columns of ``edge_index``). The first of the
    ``variants`` is the one that the PyG class downloads. ``raw`` is the folder of the
    raw files relative to a data root; ``root`` is the folder given to the PyG class.
    """

    name: str
    description: str
    kind: str
    variants: tuple[Variant, ...]
    splits: tuple[str, ...]
    default_split: str
    metric: str
    licence: str
    source: str
    reference: str
    pyg_class: str = ""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    root: str = ""
    raw: str = ""
    url: str = ""
    megabytes: float | None = None
    undirected: bool | None = None
    both_directions: bool = True
    unpickles: bool = False
    normalize_features: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the raw files in the folder ``raw``."""
        return tuple(self.variants[0].sha256)

    @property
    def num_nodes(self) -> int:
        return self.variants[0].num_nodes

    @property
    def num_edges(self) -> int | None:
        return self.variants[0].num_edges

    @property
    def num_features(self) -> int:
        return self.variants[0].num_features

    @property
    def num_classes(self) -> int:
        return self.variants[0].num_classes


def cards_folder() -> Path:
    """Return the folder of the cards in the installed package or in the checkout."""
    return _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT


def read_card(path: Path) -> Card:
    """Read a card from a TOML file.

    Raises:
        ValueError: If a key is missing, unknown or malformed.
    """
    with path.open("rb") as file:
        table = tomllib.load(file)
    try:
        counts = table.pop("counts")
        first = Variant("published", **counts, sha256=table.pop("sha256", {}))
        others = [
            Variant(**{**counts, **variant}) for variant in table.pop("variants", [])
        ]
        for key in ("splits", "aliases"):
            table[key] = tuple(table.get(key, ()))
        return Card(variants=(first, *others), **table)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path.name} is not a card ({error})") from error


def _key(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


@lru_cache
def _all_cards() -> dict[str, Card]:
    cards = {}
    for path in sorted(cards_folder().glob("*.toml")):
        entry = read_card(path)
        for name in (entry.name, *entry.aliases):
            if _key(name) in cards:
                raise ValueError(f"{path.name} repeats the name {name!r}")
            cards[_key(name)] = entry
    return cards


def names() -> list[str]:
    """Return the names of all data sets that have a card.

    Example:
        >>> "PubMed" in names()
        True
    """
    return sorted({entry.name for entry in _all_cards().values()}, key=str.casefold)


def card(name: str) -> Card:
    """Return the card of a data set.

    Case, hyphens and spaces in the name are ignored.

    Raises:
        ValueError: If the name is unknown. The message lists similar names.

    Example:
        >>> card("pubmed").num_edges
        88648
    """
    cards = _all_cards()
    if _key(name) in cards:
        return cards[_key(name)]
    near = [cards[key].name for key in get_close_matches(_key(name), cards, n=3)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {names()}"
    if (Path(name) / HEADER).exists():
        hint = f"{name} is a graph folder: save open_graph(folder).data() to a .pt file"
    raise ValueError(f"'name' must be a known data set (got {name!r}); {hint}")

"""A page for every method, from its docstring and its rows, and the lists of them."""

import inspect
import re
import textwrap
from collections.abc import Callable
from functools import partial
from typing import Any

from gsparse.bench.experiment.methods import methods
from gsparse.bench.tables.documents import Blocks, Results
from gsparse.bench.tables.grid_table import markdown
from gsparse.bench.tables.published.method_results import result
from gsparse.nn import FeatureMask
from gsparse.nn.by_name import edge_wrappers
from gsparse.prune import Criterion
from gsparse.train.by_name import lotteries, public_weight_methods
from gsparse.transforms import FeatureSelect
from gsparse.transforms.by_name import sparsifiers

HEADS = ("When to use it", "When not to use it", "Cost")
"""Bold beginnings of the paragraphs that every docstring of a method has."""

SECTION = re.compile(r"^(\w+):$")
ABOUT_PAPER = (
    "Difference from",
    "Differences from",
    "In contrast to",
    "As in the paper",
)
BOLD = re.compile(r"\*\*([^*]+)\.\*\*\s+")
LINK = re.compile(r"`([^`<]+?)\s+<([^`>]+)>`_+")
MATH = re.compile(r":math:`([^`]+)`")
ROLE = re.compile(r":\w+:`~?([^`]+)`")


def page(results: Results, name: str) -> str:
    """Return the page of a method as MyST Markdown.

    Args:
        results: The rows.
        name: A name that ``gsparse methods`` lists.

    Raises:
        ValueError: If its docstring lacks one of :data:`HEADS` or an example.
    """
    cls = every_method()[name]
    summary, body, sections = split_docstring(inspect.getdoc(cls) or "")
    missing = [it for it in HEADS if it not in sections]
    if missing or "Example" not in sections:
        raise ValueError(f"the docstring of {name} must have {missing or 'an example'}")
    room = cls.__module__.split(".")[1]
    papers = [f"- [{text}]({link})" for text, link in _links(summary)]
    origin = "\n".join(papers) or "The method is not from a paper."
    parts = [
        f"# {name}",
        _restructured(f".. currentmodule:: gsparse.{room}\n\n{summary}"),
        "## How it works\n\n" + _restructured(body) if body else "",
        *(f"## {head}\n\n{_restructured(sections[head])}" for head in HEADS),
        f"## Measured\n\n{result(results, name)}",
        f"## Example\n\n{_restructured(sections['Example'])}",
        f"All arguments: [gsparse.{room}.{name}](../api/{room}.{name}.rst).",
        f"## Paper\n\n{origin}",
        _restructured(sections["Paper"]) if "Paper" in sections else "",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def split_docstring(doc: str) -> tuple[str, str, dict[str, str]]:
    r"""Split the docstring of a method.

    Text between its sections, such as "The other arguments are", belongs to the section
    above it, unless that is an example.

    Returns:
        The first paragraph, the text about how it works, and further parts by name:
        those of :data:`HEADS`, ``"Paper"`` for differences from it, and the sections.

    Example:
        >>> text = "Cuts.\n\nIt is so.\n\n**Cost.** None.\n\nArgs:\n    a: It."
        >>> split_docstring(text)
        ('Cuts.', 'It is so.', {'Cost': 'None.', 'Args': 'a: It.'})
    """
    summary, _, rest = doc.partition("\n\n")
    parts: dict[str, list[str]] = {}
    section = ""
    for block in rest.split("\n\n"):
        head, _, inner = block.partition("\n")
        if found := SECTION.match(head):
            section, block = found[1], inner
        elif not block.startswith(" ") and section == "Example":
            section = ""
        if section:
            parts.setdefault(section, []).append(textwrap.dedent(block))
        elif (bold := BOLD.match(block)) and bold[1] in HEADS:
            parts.setdefault(bold[1], []).append(block[bold.end() :])
        else:
            name = "Paper" if block.startswith(ABOUT_PAPER) else "Body"
            parts.setdefault(name, []).append(block)
    joined = {name: "\n\n".join(texts) for name, texts in parts.items()}
    return summary, joined.pop("Body", ""), joined


def every_method() -> dict[str, Any]:
    """Return the classes of all methods that ``gsparse methods`` lists, by name."""
    return {name: cls for found in GROUPS.values() for name, cls in found().items()}


def _restructured(text: str) -> str:
    return f"```{{eval-rst}}\n{text}\n```"


def _links(text: str) -> list[tuple[str, str]]:
    """Return text and address of the links of a docstring."""
    return [(" ".join(text.split()), link) for text, link in LINK.findall(text)]


def _as_markdown(text: str) -> str:
    """Return a sentence of a docstring as Markdown for the cell of a table."""
    text = LINK.sub(r"[\1](\2)", " ".join(text.split()))
    text = MATH.sub(lambda it: f"${_without_bars(it[1])}$", text)
    text = ROLE.sub(lambda it: f"`{it[1].rpartition('.')[2]}`", text)
    return text.replace("``", "`")


def _without_bars(formula: str) -> str:
    """Replace bars of a formula, which would end the cell of a table."""
    return formula.replace(r"\|", r"\Vert ").replace("|", r"\vert ")


def _first_sentence(text: str) -> str:
    return re.split(r"\. (?=[A-Z`])", text, maxsplit=1)[0].rstrip(".") + "."


def _listed(results: Results, found: Callable[[], dict[str, Any]]) -> str:
    """Return a table of methods with one sentence each on the method and its cost."""
    lines = []
    for name, cls in found().items():
        summary, _, sections = split_docstring(inspect.getdoc(cls) or "")
        texts = [
            _first_sentence(_as_markdown(it)) for it in (summary, sections["Cost"])
        ]
        lines.append([f"`{name}`", *texts])
    return markdown(("name", "what it does", "cost"), lines)


def _searches() -> dict[str, Any]:
    return lotteries("edges")


def _criteria() -> dict[str, Any]:
    return {k: v for k, v in public_weight_methods().items() if _rates(v)}


def _pruners() -> dict[str, Any]:
    return {k: v for k, v in public_weight_methods().items() if not _rates(v)}


def _rates(cls: Any) -> bool:  # noqa: ANN401 (a class of any family)
    return issubclass(cls, Criterion)


def _features() -> dict[str, Any]:
    return {it.__name__: it for it in (FeatureSelect, FeatureMask)}


GROUPS: dict[str, Callable[[], dict[str, Any]]] = {
    "sparsifiers": sparsifiers,
    "wrappers": edge_wrappers,
    "searches": _searches,
    "criteria": _criteria,
    "pruners": _pruners,
    "features": _features,
}
"""Methods by what they are; together all of ``gsparse methods``."""

assert {*methods()} < {*every_method()}

BLOCKS: Blocks = {
    f"methods-{name}": partial(_listed, found=found) for name, found in GROUPS.items()
}

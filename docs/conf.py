"""Settings of the documentation site; ``make docs`` builds it."""

import re
import sys
from importlib import import_module
from inspect import getdoc, ismodule, isroutine
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from gsparse import __version__  # noqa: E402 (of this checkout)
from gsparse.bench.tables.documents import Results  # noqa: E402
from gsparse.bench.tables.published.method_pages import (  # noqa: E402
    every_method,
    page,
)

project, author, release = "gsparse", "The gsparse developers", __version__
copyright = "the gsparse developers"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "myst-nb", ".rst": "restructuredtext"}
exclude_patterns = ["results"]
html_static_path: list[str] = []

nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_output_stderr = "remove"  # warnings of torch
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
napoleon_custom_sections = [("Shapes", "params_style")]
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_typehints = "none"  # docstrings say what arguments are
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"gsparse {release}"

ROOMS = {
    "transforms": "sparsifiers",
    "nn": "masks and layers",
    "train": "training",
    "prune": "weight pruners",
    "compaction": "smaller layers",
    "linalg": "resistances and solvers",
    "kernels": "compiled kernels",
    "edges": "edges and budgets",
    "data": "data sets and graphs",
    "explain": "interactions",
    "deploy": "files and reports",
    "distributed": "several machines",
    "bench": "benchmarks",
}


def write_reference(folder: Path) -> None:
    """Write a page for every public name, from the ``__all__`` of each room.

    The pages of names are not in the table of contents, which every page repeats: with
    them a build takes three times as long. The page of their room lists them.
    """
    pages = {}
    for room, what in ROOMS.items():
        module = import_module(f"gsparse.{room}")
        names = "\n".join(
            f"- :doc:`{it} <{room}.{it}>`{_about(getattr(module, it))}"
            for it in module.__all__
        )
        text = f".. automodule:: gsparse.{room}\n\n"
        text += f".. currentmodule:: gsparse.{room}\n\n{names}\n"
        pages[f"{room}.rst"] = _titled(f"gsparse.{room}: {what}", text)
        for name in module.__all__:
            text = f"In :doc:`{room}`.\n\n.. currentmodule:: gsparse.{room}\n\n"
            text += _kind(getattr(module, name)).format(name)
            pages[f"{room}.{name}.rst"] = ":orphan:\n\n" + _titled(name, text)
    _write(folder, pages)


def _about(found: object) -> str:
    """Return the first sentence about a class or function, after a colon."""
    if not isinstance(found, type) and not isroutine(found):
        return ""
    first = " ".join((getdoc(found) or "").split("\n\n")[0].split())
    sentence = re.split(r"\. (?=[A-Z:`])", first, maxsplit=1)[0].rstrip(".")
    return f": {sentence.replace('>`_', '>`__')}." if sentence else ""


def write_methods(folder: Path) -> None:
    """Write a page for every method, with its measured result."""
    results = Results(HERE / "results")
    _write(folder, {f"{name}.md": page(results, name) for name in every_method()})


def _write(folder: Path, pages: dict[str, str]) -> None:
    """Write pages that have changed, and delete those that are no more."""
    folder.mkdir(exist_ok=True)
    for old in {it.name for it in folder.iterdir()} - {*pages}:
        (folder / old).unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:  # else it is built again
            path.write_text(text)


def _titled(title: str, text: str) -> str:
    return f"{title}\n{'=' * len(title)}\n\n{text}"


def _kind(found: object) -> str:
    if ismodule(found):
        return f".. automodule:: {found.__name__}\n   :members:\n"
    if isinstance(found, type):
        return ".. autoclass:: {}\n   :members:\n"
    return ".. autofunction:: {}\n" if isroutine(found) else ".. data:: {}\n"


def prepare(_app: object, name: str, source: list[str]) -> None:
    """Keep means and deviations on one line, and link the methods to their pages."""
    source[0] = source[0].replace(" ± ", "\u00a0±\u00a0")
    if name == "methods":
        known = "|".join(every_method())
        linked = re.sub(
            rf"^\| (`({known})`) \|", r"| [\1](methods/\2.md) |", source[0], flags=re.M
        )
        contents = "```{toctree}\n:hidden:\n:glob:\n\nmethods/*\n```"
        source[0] = f"{linked}\n\n{contents}\n"


def setup(app) -> None:  # noqa: ANN001 (of Sphinx)
    """Link methods, and write formulas as MathML, which needs no script."""
    from docutils.nodes import SkipNode
    from docutils.utils.math.latex2mathml import tex2mathml

    def formula(writer, node) -> None:  # noqa: ANN001 (of docutils)
        is_block = node.tagname == "math_block"
        text = tex2mathml(node.astext(), as_block=is_block)
        scrolled = f'<div style="overflow-x: auto">{text}</div>'  # on narrow screens
        writer.body.append(scrolled if is_block else text)
        raise SkipNode

    app.connect("source-read", prepare)
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))


html_math_renderer = "mathml"
write_reference(HERE / "api")
write_methods(HERE / "methods")

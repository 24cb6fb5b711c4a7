"""Settings of the documentation site; ``make docs`` builds it."""

import sys
from importlib import import_module
from inspect import ismodule, isroutine
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from gsparse import __version__  # noqa: E402 (of this checkout)

project, author, release = "gsparse", "The gsparse developers", __version__
copyright = "the gsparse developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["results"]
html_static_path: list[str] = []

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
    """Write a page for every public name, from the ``__all__`` of each room."""
    folder.mkdir(exist_ok=True)
    pages = {}
    for room, what in ROOMS.items():
        module = import_module(f"gsparse.{room}")
        names = "\n".join(f"   {room}.{name}" for name in module.__all__)
        text = f".. automodule:: gsparse.{room}\n\n.. toctree::\n\n{names}\n"
        pages[f"{room}.rst"] = _titled(f"gsparse.{room}: {what}", text)
        for name in module.__all__:
            text = f".. currentmodule:: gsparse.{room}\n\n"
            text += _kind(getattr(module, name)).format(name)
            pages[f"{room}.{name}.rst"] = _titled(name, text)
    for old in {it.name for it in folder.glob("*.rst")} - {*pages}:
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


write_reference(HERE / "api")

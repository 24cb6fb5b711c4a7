"""Allowed imports between the rooms."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROWS = [
    ["edges", "kernels"],
    ["linalg", "data"],
    ["transforms", "metrics"],
    ["nn"],
    ["prune", "explain"],
    ["compaction"],
    ["train"],
    ["deploy"],
    ["distributed"],
    ["bench"],
    ["cli"],
    ["__main__"],
]
LEVEL = {room: level for level, row in enumerate(ROWS) for room in row}
ALSO_FORBIDDEN = {"data": {"kernels"}}  # numba stays out of the loaders
ONLY_IN = {
    "numba": {"kernels"},
    "triton": {"kernels"},
    "scipy": {"bench", "data", "linalg", "metrics", "nn", "transforms"},
    "sklearn": {"explain"},
    "networkit": {"bench"},
    "pyamg": {"bench"},
    "pyspark": {"distributed"},
    "typer": {"cli"},
}
MODULES = sorted((ROOT / "gsparse").rglob("*.py"))


def room_of(path):
    first = path.relative_to(ROOT / "gsparse").parts[0]
    return first.removesuffix(".py")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def breach(path, module):
    """Why a module may not be imported here, or None."""
    room, parts = room_of(path), module.split(".")
    if parts[0] in ONLY_IN and room not in ONLY_IN[parts[0]]:
        return f"{parts[0]} belongs in {sorted(ONLY_IN[parts[0]])}"
    if parts[0] != "gsparse" or len(parts) == 1 or parts[1] == room:
        return None
    if parts[1] in ALSO_FORBIDDEN.get(room, ()) or LEVEL[parts[1]] >= LEVEL[room]:
        return f"{room} is not above {parts[1]}"
    return None


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    if path == ROOT / "gsparse" / "__init__.py":
        return  # the front door names what every room offers, and loads nothing
    reasons = {m: breach(path, m) for m in imported(path)}
    assert not {m: reason for m, reason in reasons.items() if reason}


def test_an_arrow_upwards_is_seen():
    path = ROOT / "gsparse" / "edges" / "pairs.py"
    assert breach(path, "gsparse.linalg") == "edges is not above linalg"
    assert breach(path, "gsparse.kernels.graph") == "edges is not above kernels"
    assert breach(path, "numba") == "numba belongs in ['kernels']"
    assert breach(ROOT / "gsparse" / "nn" / "x.py", "gsparse.edges") is None

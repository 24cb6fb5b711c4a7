"""The documentation site has a page for every public name."""

import doctest
import runpy
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_every_public_name_has_a_page(tmp_path):
    conf = runpy.run_path(str(ROOT / "docs" / "conf.py"))
    rooms = {it.parent.name for it in (ROOT / "gsparse").glob("*/__init__.py")}
    assert {*conf["ROOMS"]} == rooms - {"cli"}
    (tmp_path / "nn.Gone.rst").write_text("of a name that is no more")
    conf["write_reference"](tmp_path)
    names = {f"{r}.{n}" for r in conf["ROOMS"] for n in _public(r)}
    assert {it.stem for it in tmp_path.iterdir()} == {*conf["ROOMS"], *names}
    page = (tmp_path / "nn.KEdge.rst").read_text()
    assert ".. currentmodule:: gsparse.nn" in page
    assert ".. autoclass:: KEdge" in page


def test_every_page_is_in_the_contents():
    text = (ROOT / "docs" / "index.md").read_text()
    pages = {it.stem for it in (ROOT / "docs").glob("*.md")} - {"index"}
    assert pages <= {*text.split()}


@pytest.mark.parametrize(
    ("page", "least", "left"),
    [
        ("start", 20, set()),
        ("own_graph", 10, {"friends.csv"}),
        ("ship", 30, {"cut.png", "shipped", "thin-graphs"}),
    ],
)
def test_guides_run_as_they_are_printed(tmp_path, monkeypatch, page, least, left):
    pytest.importorskip("safetensors")
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    path = str(ROOT / "docs" / f"{page}.md")
    options = {"module_relative": False, "optionflags": doctest.ELLIPSIS}
    failed, count = doctest.testfile(path, **options)
    assert not failed
    assert count > least
    assert {it.name for it in tmp_path.iterdir()} == left


def _public(room):
    return import_module(f"gsparse.{room}").__all__

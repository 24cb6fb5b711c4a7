"""The documentation site has a page for every public name."""

import doctest
import re
import runpy
from importlib import import_module
from pathlib import Path

import pytest

from gsparse.bench.catalogue import method_records

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


def test_every_method_has_a_page_with_its_paper_and_result(tmp_path):
    conf = runpy.run_path(str(ROOT / "docs" / "conf.py"))
    (tmp_path / "Gone.md").write_text("of a method that is no more")
    conf["write_methods"](tmp_path)
    names = {it["name"] for it in method_records()}
    assert {it.stem for it in tmp_path.iterdir()} == names
    own, unmeasured = set(), set()
    for name in names:
        _, *parts = re.split(r"^## ", (tmp_path / f"{name}.md").read_text(), flags=re.M)
        found = dict(part.split("\n", 1) for part in parts)
        titles = ["When to use it", "When not to use it", "Cost", "Measured"]
        assert [it for it in found if it != "How it works"] == [
            *titles,
            "Example",
            "Paper",
        ]
        assert all(found[it].strip(" \n`{}evalrst-") for it in found)
        assert ">>> " in found["Example"]
        if "](http" not in found["Paper"]:
            assert "The method is not from a paper." in found["Paper"]
            own.add(name)
        if " ± " not in found["Measured"]:
            assert "There is no measured result" in found["Measured"]
            unmeasured.add(name)
        else:
            assert "--out docs/results" in found["Measured"]
    assert own == {
        *("EdgeExchange", "FeatureCosine", "FeatureSelect", "PredictionAgreement"),
        *("RandomEdge", "RandomWeight"),
    }
    features = {"FeatureSelect", "FeatureMask"}
    assert unmeasured == {"KNeighbor", "LocalDegree", "LAMP", *features}


def test_the_list_of_methods_links_their_pages():
    conf = runpy.run_path(str(ROOT / "docs" / "conf.py"))
    text = (ROOT / "docs" / "methods.md").read_text()
    source = [text]
    conf["prepare"](None, "start", source)
    assert source == [text]
    conf["prepare"](None, "methods", source)
    linked = re.findall(r"\| \[`(\w+)`\]\(methods/(\w+)\.md\) \|", source[0])
    assert sorted(linked) == sorted((it["name"],) * 2 for it in method_records())
    assert "methods/*" in source[0]


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


def test_the_notebook_runs_and_shows_what_it_says(monkeypatch):
    pytest.importorskip("safetensors")
    pytest.importorskip("matplotlib").use("Agg")
    monkeypatch.setenv("GSPARSE_OFFLINE", "1")
    text = (ROOT / "docs" / "digits.md").read_text()
    cells = re.findall(r"^```\{code-cell\} python\n(.*?)^```", text, re.M | re.S)
    assert len(cells) == text.count("{code-cell}") > 5
    names = {}
    for cell in cells:
        exec(cell, names)
    chosen = names["chosen"]
    assert all(a > b for a, b in zip(chosen["searched"], chosen["random"], strict=True))
    assert names["thin"].num_edges == names["cut"].num_edges
    assert names["small"].convs[0].heads == 2
    assert names["same"]


def _public(room):
    return import_module(f"gsparse.{room}").__all__

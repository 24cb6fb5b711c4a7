"""The page of rows: sentences, plots and tables, with hostile strings in the rows."""

import base64
import csv
import io
import re
import shutil
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from gsparse.bench.page.content import sections
from gsparse.bench.page.document import page, write_page
from gsparse.bench.page.plots import cost_plot, sparsity_plot
from gsparse.bench.page.sentence import operating_point, sentence
from gsparse.bench.page.style import SCRIPT
from gsparse.bench.page.text import cell
from gsparse.bench.tables.rows import KEYS

BASE = dict.fromkeys(KEYS, "x") | {
    "dataset": "digits",
    "split": "random",
    "model": "gat",
    "num_layers": 2,
    "hidden": 8,
    "metric": "accuracy",
    "device": "cpu",
    "teacher": "none",
    "command": "gsparse bench",
    "val_score": 0.9,
}

HOSTILE = (
    "<script>alert(1)</script>",
    "\"' onload=alert(1) x='\"",
    "javascript:alert(1)",
    "</script></style></title></svg><img src=x onerror=alert(1)>",
    "=cmd()|'/C calc'!A0",
    "\x00\x1b&lt;\ud800",
)


def runs(method, sparsity, scores, **changes):
    """One row a score; the configuration is what is given here."""
    name = f"{method} {sparsity} {sorted(changes.items())}"
    given = {"method": method, "sparsity": sparsity, "config_hash": name} | changes
    return [
        BASE | given | {"seed": seed, "test_score": score}
        for seed, score in enumerate(scores)
    ]


def example(**changes):
    """Dense, two cuts of a method, random edges and an MLP, three seeds each."""
    dense = [0.80, 0.82, 0.84]
    less = [0.799, 0.819, 0.8395]
    return [
        *runs("Dense", 0.0, dense, train_epoch_seconds=0.2, **changes),
        *runs("KEdge", 0.5, dense, train_epoch_seconds=0.1, **changes),
        *runs("KEdge", 0.8, less, val_score=0.896, train_epoch_seconds=0.05, **changes),
        *runs("KEdge", 0.9, dense, val_score=0.894, **changes),
        *runs("RandomEdge", 0.8, [0.60, 0.62, 0.65], val_score=0.7, **changes),
        *runs("MLP", 1.0, [0.5, 0.5, 0.56], **changes | {"model": "mlp"}),
    ]


class Reader(HTMLParser):
    """All elements of a page with their attributes, and the text of scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.texts, self.inside = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.inside.append(tag)

    def handle_endtag(self, tag):
        assert self.inside.pop() == tag

    def handle_data(self, data):
        where = self.scripts if self.inside[-1:] == ["script"] else self.texts
        where.append(data)


def test_operating_point_is_chosen_by_validation_alone():
    (section,) = sections(example())
    best = operating_point(section)
    assert (best.line.method, best.line.sparsity_target) == ("KEdge", 0.8)
    assert operating_point(section, most_lost=0.7).line.sparsity_target == 0.9
    assert operating_point(section, most_lost=0.3).line.sparsity_target == 0.5


def test_sentence_names_seeds_interval_and_controls():
    (section,) = sections(example())
    assert sentence(section) == (
        "KEdge removes 80 % of the edges: test 81.9 ± 2.0 % (3 seeds), -0.08 [-0.16, "
        "-0.01] points to Dense; the 95 % interval excludes a loss of more than 0.5 "
        "points; better than random edges (RandomEdge 62.3 ± 2.5 %, +19.58 [+18.22, "
        "+20.95] points); an MLP without edges has 52.0 ± 3.5 % (-30.00 [-34.97, "
        "-25.03] points to Dense)."
    )


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([0.799, 0.819, 0.8395], "random edges do as well (RandomEdge 81.9"),
        ([0.81, 0.83, 0.85], "random edges do as well (RandomEdge 83.0"),
        ([0.70, 0.82, 0.90], "too few seeds to tell it from random edges"),
        ([0.60, 0.62, 0.65], "better than random edges"),
    ],
)
def test_random_edges_are_judged_by_the_interval(scores, words):
    rows = [row for row in example() if row["method"] != "RandomEdge"]
    rows += runs("RandomEdge", 0.8, scores, val_score=0.7)
    assert words in sentence(sections(rows)[0])


def test_random_edges_may_be_the_operating_point():
    rows = runs("Dense", 0.0, [0.8, 0.9]) + runs("RandomEdge", 0.8, [0.8, 0.9])
    assert "random edges do as well as any method" in sentence(sections(rows)[0])


def test_sentence_without_dense_operating_point_or_controls():
    of = lambda rows: sentence(sections(rows)[0])  # noqa: E731
    assert of(runs("KEdge", 0.5, [0.8])) == (
        "There is no dense model to compare with; no MLP was run."
    )
    lossy = runs("Dense", 0.0, [0.8]) + runs("KEdge", 0.5, [0.5], val_score=0.5)
    assert of(lossy).startswith("No line is within 0.5 points of Dense on validation")
    alone = runs("Dense", 0.0, [0.8]) + runs("KEdge", 0.5, [0.79])
    assert "too few seeds for an interval; no random edges were run" in of(alone)
    untested = runs("Dense", 0.0, [None]) + runs("KEdge", 0.5, [None])
    assert "not tested, with no seed in common with Dense" in of(untested)


def test_plots_show_every_run_and_the_controls():
    (section,) = sections(example())
    plot = sparsity_plot(section)
    assert plot.count("<circle") == 4 * 3
    for name in ("KEdge", "RandomEdge", "MLP, no edges", "Dense ± std"):
        assert f">{name}</text>" in plot
    assert "<circle" not in sparsity_plot(section, dots=False)
    cost = cost_plot(section, lambda line: line.train_epoch_seconds, "seconds")
    assert "RandomEdge" not in cost  # no epoch of it is recorded
    assert cost_plot(section, lambda line: line.train_peak_bytes, "bytes") == ""


def hostile_rows(text):
    keys = ("dataset", "split", "model", "command", "versions", "cpu", "metric")
    rows = example(**dict.fromkeys(keys, text))
    rows += runs(text, 0.5, [0.8, 0.8, 0.8], **dict.fromkeys(keys, text))
    return [row | {"commit": text, "allocator": text} for row in rows]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_string_of_a_row_becomes_markup(text):
    found = page(hostile_rows(text))
    reader = Reader(found)
    assert reader.scripts == [SCRIPT]
    assert reader.inside == []
    names = {name for name, _ in reader.elements}
    assert names.isdisjoint({"img", "iframe", "object", "link", "base", "form"})
    for name, attributes in reader.elements:
        assert not [key for key in attributes if key.startswith("on")]
        assert not {"src", "style", "srcset", "xlink:href"} & attributes.keys()
        assert attributes.get("href", "#block-").startswith(
            ("#block-", "data:text/csv;")
        )
        assert name != "meta" or attributes.get("http-equiv") in (
            None,
            "Content-Security-Policy",
        )
    shown = text.replace("\x00", "?").replace("\x1b", "?").replace("\ud800", "?")
    assert shown in "".join(reader.texts)


def test_csv_holds_every_run_and_no_formula():
    rows = example() + runs("=1+1", 0.5, [0.8], pruner="@x", dataset=" -2", split="a,b")
    links = [it["href"] for name, it in Reader(page(rows)).elements if "href" in it]
    content = unquote(links[-1].partition(",")[2])
    records = list(csv.DictReader(io.StringIO(content)))
    assert len(records) == len(rows)
    last = records[-1]
    assert (last["method"], last["pruner"], last["dataset"]) == ("'=1+1", "'@x", "' -2")
    assert (last["split"], last["test_score"]) == ("a,b", "0.8")
    assert cell("\uff1d1") == "'\uff1d1"
    assert cell("\ufeff=1") == "'\ufeff=1"


def test_page_is_deterministic_and_written_whole(tmp_path):
    path = tmp_path / "new" / "report.html"
    write_page(example(), path)
    first = path.read_bytes()
    write_page(example(), path)
    assert path.read_bytes() == first
    assert [it.name for it in path.parent.iterdir()] == ["report.html"]
    with pytest.raises(ValueError, match="needs rows of trained models \\(got none"):
        write_page([], path)
    assert path.read_bytes() == first


def test_page_loads_nothing_and_shows_commands_once():
    found = page(example())
    assert not re.search(r"https?://|@import|url\(", found)
    assert found.count("gsparse bench</code>") == 1


def test_page_of_thousands_of_rows_stays_below_a_megabyte():
    rows = []
    for sparsity in range(1, 100):
        scores = [0.8 + seed / 1000 for seed in range(40)]
        rows += runs("KEdge", sparsity / 100, scores, train_epoch_seconds=1 / 3)
    assert len(page(rows).encode()) < 1_000_000


def test_pictures_are_of_graphs_that_are_here():
    method = {"dataset": "digits", "split": "standard"}
    rows = [
        *runs("Dense", 0.0, [0.8, 0.82], **method),
        *runs("RandomEdge", 0.5, [0.8, 0.82], **method),
    ]
    found = page(rows, pictures=True)
    (image,) = re.findall(
        r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)"', found
    )
    assert base64.b64decode(image[0])[:4] == b"\x89PNG"
    assert image[1] == "digits before and after RandomEdge of seed 0"
    assert len(found.encode()) < 1_000_000
    assert found == page(rows, pictures=True)
    assert "<img" not in page(rows)
    elsewhere = [row | {"dataset": "<b>"} for row in rows]
    learned = [
        row | {"method": "KEdge"} if row["method"] == "RandomEdge" else row
        for row in rows
    ]
    for others in (elsewhere, learned):
        assert "<img" not in page(others, pictures=True)


@pytest.fixture
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is missing")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(names)} is installed")
    with api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=path)
        yield found
        found.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_page_in_chromium(tmp_path, browser, width):
    path = tmp_path / "report.html"
    write_page(example(dataset="d" * 200, command="c" * 900), path)
    tab = browser.new_page()
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(path.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    cells = tab.locator("tbody tr:not([hidden]) td:first-child")
    tab.get_by_role("button", name="method").click()
    assert cells.all_text_contents()[:2] == ["Dense", "KEdge"]
    tab.get_by_role("button", name="method").click()
    assert cells.all_text_contents()[0] == "RandomEdge"
    tab.get_by_label("Filter lines").fill("kedge")
    assert cells.all_text_contents()[:3] == ["KEdge"] * 3
    assert tab.pdf()[:5] == b"%PDF-"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_run_nothing_in_chromium(tmp_path, browser, text):
    path, said = tmp_path / "report.html", []
    write_page(hostile_rows(text), path)
    tab = browser.new_page()
    tab.on("dialog", lambda it: (said.append(it.message), it.dismiss()))
    tab.on("console", lambda it: said.append(it.text))
    tab.on("pageerror", lambda it: said.append(str(it)))
    tab.on("request", lambda it: said.append(it.url))
    tab.goto(path.as_uri())
    for element in tab.locator("a, button, td").all()[:40]:
        element.hover(force=True, timeout=2000)
    assert said == [path.as_uri()]
    assert tab.locator("script").count() == 1  # the page's own

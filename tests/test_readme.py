"""The tables of methods list every method, and the README stays short."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

from gsparse import nn, transforms
from gsparse.bench.tables.published.method_pages import every_method
from gsparse.train.by_name import public_weight_methods

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_table_lists_every_public_class():
    page = (ROOT / "docs" / "methods.md").read_text()
    cells = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, flags=re.MULTILINE)
    listed = re.findall(r"\w+", " ".join(cells))
    public = [
        name
        for room in (transforms, nn)
        for name in room.__all__
        if inspect.isclass(getattr(room, name))
    ]
    assert sorted(listed) == sorted({*public, *every_method()})


def test_it_fits_two_hundred_lines():
    assert len(README.splitlines()) <= 200


def test_the_table_of_pruners_lists_every_one():
    page = (ROOT / "docs" / "prune.md").read_text()
    cells = re.findall(r"^\| (`[^|]+`) \|", page, flags=re.MULTILINE)
    listed = re.findall(r"`(?:gsparse\.train\.)?(\w+)`", " ".join(cells))
    assert sorted(listed) == sorted(public_weight_methods())


EXTRAS = (
    *("typer", "rich", "matplotlib", "sklearn", "safetensors", "torch_scatter"),
    "lightning",
)
BASE = f"""
import doctest, sys
sys.modules |= dict.fromkeys({EXTRAS!r})
test = doctest.DocTestParser().get_doctest(sys.stdin.read(), {{}}, "README", None, 0)
sys.exit(doctest.DocTestRunner().run(test).failed)
"""


def test_snippets_need_no_extra():
    text = README[: README.index("## Which method")]
    assert text.count(">>>") > 20
    command = [sys.executable, "-c", BASE]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout

"""The tables of methods list every method, and the README stays short."""

import inspect
import re
from pathlib import Path

from gsparse import nn, transforms
from gsparse.train import EdgeExchange
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
    assert sorted(listed) == sorted([*public, EdgeExchange.__name__])


def test_it_fits_two_hundred_lines():
    assert len(README.splitlines()) <= 200


def test_the_table_of_pruners_lists_every_one():
    page = (ROOT / "docs" / "prune.md").read_text()
    cells = re.findall(r"^\| (`[^|]+`) \|", page, flags=re.MULTILINE)
    listed = re.findall(r"`(?:gsparse\.train\.)?(\w+)`", " ".join(cells))
    assert sorted(listed) == sorted(public_weight_methods())

"""The README's table of methods is the list of methods."""

import inspect
import re
from pathlib import Path

from gsparse import nn, transforms
from gsparse.prune import by_name

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_table_lists_every_public_class():
    listed = re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE)
    public = [
        name
        for room in (transforms, nn)
        for name in room.__all__
        if inspect.isclass(getattr(room, name))
    ]
    assert sorted(listed) == sorted(public)


def test_it_fits_two_hundred_lines():
    assert len(README.splitlines()) <= 200


def test_the_table_of_pruners_lists_every_one():
    page = (Path(__file__).parent.parent / "docs" / "prune.md").read_text()
    cells = re.findall(r"^\| (`[^|]+`) \|", page, flags=re.MULTILINE)
    listed = re.findall(r"`(?:gsparse\.train\.)?(\w+)`", " ".join(cells))
    assert sorted(listed) == sorted([*by_name.methods(), "WeightLottery"])

"""The README's table of methods is the list of methods."""

import inspect
import re
from pathlib import Path

from gsparse import nn, transforms

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

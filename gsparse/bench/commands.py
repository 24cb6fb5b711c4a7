"""Commands that make the published rows, and the runs that each asks for."""

import inspect
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from types import NoneType
from typing import Any, get_args, get_origin

from gsparse.bench.contests.__main__ import parse_arguments
from gsparse.bench.contests.contest import find_contest
from gsparse.bench.experiment.grid import Task
from gsparse.bench.experiment.request import requested_tasks
from gsparse.bench.findings import paper

CONTESTS = "gsparse.bench.contests"
NO_MATTER = ("jobs", "threads", "out", "data-root")
"""Options of ``gsparse bench`` that change no row."""


@dataclass(frozen=True)
class Command:
    """A command that makes rows of a published table.

    Args:
        text: The command without ``--out``, which all commands share.
        about: One line of description.
    """

    text: str
    about: str = ""

    @cached_property
    def words(self) -> list[str]:
        """The words, without the environment in front of them."""
        found = shlex.split(self.text)
        while "=" in found[0]:
            found.pop(0)
        return found

    @cached_property
    def table(self) -> str:
        """Name of the table that the rows belong to."""
        kind, name = self._kind
        if kind == "bench":
            return str(_options(self.words[2:])["table"])
        if kind == "reproduce":
            return str(paper(name).TABLE)
        return find_contest(name).table or name

    @cached_property
    def tasks(self) -> list[Task]:
        """The runs that it asks for; none for commands that measure."""
        kind, name = self._kind
        if kind == "bench":
            return requested_tasks(**_options(self.words[2:]))
        if kind == "reproduce":
            return list(paper(name).runs(quick=False))
        return []

    @cached_property
    def graphs(self) -> tuple[str, ...]:
        """Graphs of a command that measures; empty for others."""
        kind, name = self._kind
        if kind == "contest":
            given = parse_arguments(self.words[3:]).graphs
            return tuple(given or find_contest(name).graphs)
        return ()

    @cached_property
    def _kind(self) -> tuple[str, str]:
        match self.words:
            case ["gsparse", "bench", *_]:
                return "bench", ""
            case ["gsparse", "reproduce", name, "--full"]:
                return "reproduce", name
            case ["python", "-m", module, name, *_] if module == CONTESTS:
                return "contest", name
        raise ValueError(f"a command must make a whole table (got {self.text})")


def _options(words: list[str]) -> dict[str, Any]:
    """Return the options of ``gsparse bench`` as arguments of the request.

    Raises:
        ValueError: If there is no such option.
    """
    known = inspect.signature(requested_tasks).parameters
    found: dict[str, Any] = {}
    for name, value in _pairs(words):
        if name in NO_MATTER:
            continue
        key = name.replace("-", "_")
        if key not in known:
            raise ValueError(f"'{name}' must be an option of gsparse bench")
        kind = known[key].annotation
        if kind is bool:
            found[key] = True
        elif int in get_args(kind) and NoneType in get_args(kind):
            found[key] = int(value)
        elif get_origin(kind) is not None and kind != str | None:
            found.setdefault(key, []).append(value)
        else:
            found[key] = value
    return found


def _pairs(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield names of options and their values; flags have an empty value."""
    for i, word in enumerate(words):
        if word.startswith("--"):
            after = words[i + 1] if i + 1 < len(words) else ""
            yield word[2:], "" if after.startswith("--") else after

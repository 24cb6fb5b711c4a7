"""The command ``python -m gsparse.bench.contests``."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import torch

from gsparse.bench.contests import __all__ as names
from gsparse.bench.contests.allocators import run_with_each
from gsparse.bench.contests.compare import compare
from gsparse.bench.contests.contest import Contest, Problem, find_contest
from gsparse.bench.contests.table import format_rows
from gsparse.bench.tables.measurement import append_rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a contest, print its tables, and append its rows to a file.

    Returns:
        0; wrong arguments end the process with one line and exit code 2.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        sys.stdout.writelines(f"{n:20} {find_contest(n).about}\n" for n in names)
        return 0
    threads = torch.get_num_threads()
    try:
        if options.allocators:
            return run_with_each(options.allocators, _without_allocators(arguments))
        contest = find_contest(options.contest or "")
        for number in options.threads or [threads]:
            torch.set_num_threads(number)
            _run(contest, options)
    except (ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        parser.error(str(error).split("\n")[0])
    finally:
        torch.set_num_threads(threads)
    return 0


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments of the command."""
    return _parser().parse_args(arguments)


def _run(contest: Contest, options: argparse.Namespace) -> None:
    quick = options.quick
    graphs = options.graphs or (contest.quick_graphs if quick else contest.graphs)
    sizes = options.sizes or (quick and contest.quick_sizes) or contest.sizes
    given = {
        key: value
        for key in ("repeats", "limit", "quick", "memory", "device", "root", "only")
        if (value := getattr(options, key)) is not None
    }
    usual = {"repeats": 1 if quick else contest.repeats, "limit": contest.limit}
    for graph in graphs:
        rows = []
        for size in sizes:
            found = compare(contest, Problem(graph, size, **usual | given))
            _say(f"{graph} {size}".strip() + f", {torch.get_num_threads()} threads")
            _say(format_rows(contest, found) + "\n")
            append_rows(options.out, found)
            rows += found
        if contest.summary is not None and (text := contest.summary(rows)):
            _say(text + "\n")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "python -m gsparse.bench.contests", description=__doc__, allow_abbrev=False
    )
    add = parser.add_argument
    add("contest", nargs="?", help="name of the contest")
    add("--list", action="store_true", help="list the contests and exit")
    add("--graphs", type=_names, help="names, separated by commas")
    add("--sizes", type=_names, help="second setting of the contest, such as shapes")
    add("--contenders", dest="only", type=_names, help="methods; all if not given")
    add("--repeats", type=int, help="timed turns of each contender")
    add("--limit", type=float, help="seconds after which a contender has no more turns")
    add("--threads", type=_numbers, help="numbers of threads, separated by commas")
    add("--allocators", type=_names, help="of default, kept and jemalloc, with commas")
    add("--device", default="cpu", help="device of the tensors")
    add("--quick", action="store_true", help="small graph, one turn, coarse settings")
    add("--memory", action="store_true", help="measure peaks in fresh processes")
    add("--root", help="folder of the data sets")
    add("--out", type=Path, help="file to append one JSON line a row to")
    return parser


def _without_allocators(arguments: Sequence[str]) -> list[str]:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--allocators")
    return parser.parse_known_args(arguments)[1]


def _names(text: str) -> tuple[str, ...]:
    """Split at commas that are not part of a name or number: "ring, 1,000 nodes"."""
    return tuple(re.split(r",(?! |000\b)", text))


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())

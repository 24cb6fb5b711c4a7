"""Peak memory of a contender, measured in a fresh process."""

import re
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import torch

from gsparse.bench.contests.contest import Problem, find_contest
from gsparse.bench.experiment.fresh_process import ask
from gsparse.bench.tables.rows import Row
from gsparse.deploy.peak_memory import peak, reset_peak


def peak_row(name: str, problem: Problem, index: int, fields: Iterable[str]) -> Row:
    """Measure the rise of the memory in each timed call of a contender.

    The process builds the contenders of the problem, compiles by running all of them on
    the toy graph of the contest (or else by a first call), gives freed memory back, and
    calls the contender once. Structures built from the graph in this call are included.
    A contender that compiles for its graph is called three times before, since its
    first calls would show the memory of the compiler.

    Args:
        name: Name of the contest.
        problem: The problem.
        index: Position of the contender.
        fields: Fields of its timed calls, such as ``train_step_seconds``.

    Returns:
        One field for each call, such as ``train_peak_bytes``. A field is None if the
        process failed, and ``outcome`` says why.
    """
    request = {"name": name, "problem": asdict(problem), "index": index}
    found: Row = {}
    for field in fields:
        key = re.sub("(step_|epoch_)?seconds", "peak_bytes", field)
        try:
            found[key] = ask(_rise, request | {"field": field}, "no peak bytes")
        except RuntimeError as error:
            found |= {key: None, "outcome": str(error)}
    return found


def _rise(request: dict[str, Any]) -> int:
    contest, problem = find_contest(request["name"]), Problem(**request["problem"])
    contender = contest.entries(problem)[request["index"]]
    run = contender.runs[request["field"]]
    toys = [toy for c in contest.on_toy(problem) for toy in c.runs.values()]
    for warm_up in [run] * 3 if contender.compiles else toys or [run]:
        warm_up(0)
    device = torch.device(problem.device)
    before = reset_peak(device)
    output = run(0)
    rise = peak(device) - before
    del output
    return rise

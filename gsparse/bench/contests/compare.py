"""Contenders take turns in one process, and each leaves a row."""

from statistics import median
from time import perf_counter, process_time

import torch

from gsparse.bench.contests.contest import Contender, Contest, Problem
from gsparse.bench.contests.peak_memory import peak_row
from gsparse.bench.tables.measurement import measurement
from gsparse.bench.tables.rows import Row

RAN = "ran"
"""Outcome of a contender that had all its turns."""


def compare(contest: Contest, problem: Problem) -> list[Row]:
    """Let all contenders take turns on one problem.

    Who begins changes from turn to turn. A contender that fails, gives up, or exceeds
    the limit has no further turn, and its row says why.

    Returns:
        One row for each contender (and turn, where the contest asks for it), with
        median, minimum and maximum of the seconds. Fields of a contender that did not
        finish a turn are None.
    """
    entrants = [_Entrant(c, problem) for c in contest.entries(problem)]
    for contender in contest.on_toy(problem):
        if not contender.compiles:
            _Entrant(contender, problem).take_turn(0)
    for turn in range(-contest.warm_up, problem.repeats):
        for entrant in entrants[:: -1 if turn % 2 else 1]:
            entrant.take_turn(turn)
    results = [
        entrant.turns if contest.each_turn else summarise(contest, entrant.turns)
        for entrant in entrants
    ]
    unknown = dict.fromkeys(key for found in results for turn in found for key in turn)
    rows = []
    for i, (entrant, found) in enumerate(zip(entrants, results, strict=True)):
        more = {"outcome": entrant.outcome, "is_peer": entrant.contender.is_peer}
        more |= {"repeats": len(entrant.turns)}
        if problem.memory and (not contest.probed or entrant.method in contest.probed):
            more |= peak_row(contest.name, problem, i, entrant.contender.runs)
        for seed, values in enumerate(found or [unknown]):
            row = measurement(
                contest.table or contest.name,
                problem.graph,
                entrant.method,
                entrant.contender.settings
                | ({"seed": seed} if contest.each_turn else {}),
                device=problem.device,
                **more | values | entrant.contender.facts,
            )
            rows.append(row)
    return contest.finish(rows) if contest.finish else rows


def summarise(contest: Contest, turns: list[Row]) -> list[Row]:
    """Reduce the turns of a contender to one row; to none if it had no turn."""
    found: Row = {}
    for key in turns[0] if turns else ():
        values = [turn[key] for turn in turns]
        average = median if "seconds" in key else contest.average
        if isinstance(values[0], str):
            found[key] = values[-1]
            continue
        found[key] = contest.combine.get(key, average)(values)
        if "seconds" in key and "cpu" not in key:
            found |= {f"{key}_min": min(values), f"{key}_max": max(values)}
    return [found] if turns else []


class _Entrant:
    """A contender in a contest: the turns it had, and why there are no more."""

    def __init__(self, contender: Contender, problem: Problem) -> None:
        self.contender, self.problem = contender, problem
        self.method, self.turns, self.outcome = contender.method, list[Row](), RAN

    def take_turn(self, turn: int) -> None:
        """Run once, unless something ended the turns; those below 0 do not count."""
        most, limit = self.contender.max_turns, self.problem.limit
        if self.outcome != RAN or (most is not None and turn >= most):
            return
        try:
            found, seconds = self._timed(max(turn, 0))
        except TimeoutError as error:
            self.outcome = f"gave up after {limit:g} s: {error}"
        except MemoryError as error:
            self.outcome = f"out of memory: {error}".rstrip(": ")
        except Exception as error:  # the others go on
            self.outcome = f"{type(error).__name__}: {error}".split("\n")[0]
        else:
            if seconds > limit:
                self.outcome = f"slower than {limit:g} s"
            if turn >= 0 or seconds > limit:
                self.turns.append(found)

    def _timed(self, seed: int) -> tuple[Row, float]:
        """Return the fields of one turn, and its seconds without the check."""
        found: Row = {}
        total = 0.0
        for key, run in self.contender.runs.items():
            self._wait()
            start, cpu_start = perf_counter(), process_time()
            output = run(seed)
            self._wait()
            found[key] = perf_counter() - start
            found[key.replace("seconds", "cpu_seconds")] = process_time() - cpu_start
            total += found[key]
        if self.contender.check is not None:
            found |= self.contender.check(output)
        return found, total

    def _wait(self) -> None:
        """Wait for kernels on the GPU."""
        if self.problem.device.startswith("cuda"):
            torch.cuda.synchronize(self.problem.device)

"""Predict time, memory and traffic of the steps on a graph folder."""

import math
from typing import NamedTuple

from gsparse.data.folders.byte_sizes import format_bytes
from gsparse.linalg.stream import expected_columns
from gsparse.transforms.by_name import sparsifier_class, sparsifiers
from gsparse.transforms.out_of_core import bytes_of_nodes

#: Measured nanoseconds of an edge in each step, on one core, with graphs of 1e6 to 1e8
#: edges of mean degree 40 (``gsparse.bench.contests large``).
CONVERT, SCORE, WRITE, RANK = 430.0, 40.0, 40.0, 650.0
SETUP, PRODUCT, SQUARES, ADD = 45.0, 19.0, 60.0, 20.0
#: Products with the graph to solve eight columns, on well-connected graphs.
PRODUCTS = 16
#: Seconds of a step that do not depend on the graph.
FIXED = 0.015
#: Bytes of the program and its libraries, and of a block of edges.
PROGRAM, BLOCK = 550_000_000, 150_000_000


class Step(NamedTuple):
    """Predicted cost of a step.

    Attributes:
        name: Name of the step.
        seconds: Seconds, if its machines work at once.
        memory: Bytes of memory of each machine.
        disk: Bytes of files beside the graph.
        traffic: Bytes that each machine reads from the shared disk.
        machines: Number of machines that work.
    """

    name: str
    seconds: float
    memory: int
    disk: int
    traffic: int
    machines: int = 1


def predict_steps(
    num_nodes: int,
    num_pairs: int,
    method: str,
    *,
    weighted: bool = False,
    machines: int = 1,
) -> list[Step]:
    """Predict the steps from an edge list to a sparsified graph folder.

    The constants are those of one core and of a disk that reads faster than the core
    computes. Times of other machines differ by their speed; a disk of 200 MB/s, for
    example, reads an edge in 20 ns.

    Example:
        >>> from gsparse.deploy import predict_steps
        >>> steps = predict_steps(5_000_000, 100_000_000, "EffectiveResistance")
        >>> [step.name for step in steps]
        ['convert', 'pieces', 'columns', 'cut']

    Args:
        num_nodes: Number of nodes.
        num_pairs: Number of undirected edges.
        method: Class name of a sparsifier for graph folders.
        weighted: Whether the edges have weights.
        machines: Number of machines, which share the columns of
            ``EffectiveResistance``.

    Raises:
        ValueError: If a number is not positive, or the method is unknown or needs the
            whole graph in memory.
    """
    for name, value in (
        ("num_nodes", num_nodes),
        ("num_pairs", num_pairs),
        ("machines", machines),
    ):
        if value < 1:
            raise ValueError(f"{name!r} must be at least 1 (got {value})")
    cls = sparsifier_class(method)
    if cls.folder_work is None:
        able = [name for name, it in sparsifiers().items() if it.folder_work]
        raise ValueError(
            f"{method} needs the whole graph in memory; a graph folder takes "
            f"{', '.join(sorted(able))}"
        )
    entry = 8 if weighted else 4
    read = entry * num_pairs
    memory = PROGRAM + BLOCK + bytes_of_nodes(cls, num_nodes)

    def step(
        name: str,
        edge: float,
        passes: int,
        disk: int,
        memory: int = memory,
        at: int = 1,
    ) -> Step:
        seconds = FIXED + 1e-9 * edge * num_pairs
        return Step(name, seconds, memory, disk, passes * read, at)

    steps = [step("convert", CONVERT, 1, 2 * (4 + entry) * num_pairs, PROGRAM + BLOCK)]
    if cls.folder_work == "columns":
        batches = expected_columns(2 * num_pairs / num_nodes) // 8
        at, rounds = min(machines, batches), math.ceil(batches / machines)
        each = PRODUCTS * PRODUCT + SQUARES
        file = 8 * num_pairs * (batches + 1)
        steps.append(step("pieces", SETUP, 3, 0))
        steps.append(
            step("columns", rounds * each, rounds * (PRODUCTS + 2), file, at=at)
        )
        steps.append(step("cut", batches * ADD + 3 * SCORE + WRITE, 4, file))
    elif cls.folder_work == "ranks":
        steps.append(step("rank", RANK, 2, 32 * num_pairs))
        steps.append(step("cut", 2 * SCORE + WRITE, 3, 32 * num_pairs))
    else:
        passes = cls.folder_passes
        steps.append(step("cut", passes * SCORE + WRITE, passes + 2, 0))
    return steps


def first_limit(steps: list[Step], memory: int) -> str | None:
    """Return the sentence that says what does not fit first; None if all fits.

    Args:
        steps: Steps of :func:`predict_steps`.
        memory: Bytes of memory of each machine.
    """
    for step in steps:
        if step.memory > memory:
            needed = step.memory - PROGRAM - BLOCK
            return (
                f"step {step.name!r} does not fit: its nodes take "
                f"{needed / 1e9:.3g} GB on every machine, which has "
                f"{memory / 1e9:.3g} GB"
            )
    return None


def describe(steps: list[Step], limit: str | None) -> str:
    """Return the steps as a table of at most 80 columns.

    Args:
        steps: Steps of :func:`predict_steps`.
        limit: Sentence of :func:`first_limit`.
    """
    lines = [
        f"{'step':10}{'machines':>9}{'time':>10}{'memory':>10}{'files':>10}{'read':>10}"
    ]
    for step in steps:
        sizes = (step.memory, step.disk, step.traffic)
        shown = "".join(f"{format_bytes(size):>10}" for size in sizes)
        lines.append(
            f"{step.name:10}{step.machines:>9}{_duration(step.seconds):>10}{shown}"
        )
    total = sum(step.seconds for step in steps)
    lines.append(f"{'all':10}{'':9}{_duration(total):>10}")
    return "\n".join([*lines, *([limit] if limit else [])])


def _duration(seconds: float) -> str:
    """Return a time as text, for example ``"2.1 min"``."""
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.1f} s"

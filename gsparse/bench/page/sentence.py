"""The sentence about a block: how much can be removed, and what the controls say."""

import math

from gsparse.bench.page.content import CONTROL, Entry, Section, paired
from gsparse.bench.tables.table import mean_and_deviation
from gsparse.bench.verdicts import FEWEST, Gap

MOST_LOST = 0.5
"""Points of validation that an operating point may lose."""


def operating_point(section: Section, most_lost: float = MOST_LOST) -> Entry | None:
    """Return the largest sparsity whose mean validation score is close to Dense.

    Of equal sparsities, the one with the best validation score. Test scores play no
    part.

    Args:
        section: A block with a dense model.
        most_lost: Points of validation that may be lost.

    Returns:
        None without a dense model, or if every line loses more.
    """
    if section.dense is None:
        return None
    least = section.dense.line.val_mean - most_lost / 100 - 1e-9  # rounding of means
    close = [
        it
        for it in section.entries
        if not it.is_baseline
        and section.removed(it.line) > 0
        and it.line.val_mean >= least
    ]
    key = lambda it: (round(section.removed(it.line), 6), it.line.val_mean)  # noqa: E731
    return max(close, key=key, default=None)


def sentence(section: Section) -> str:
    """Return the sentence about a block, in plain text."""
    best = operating_point(section)
    if section.dense is None:
        return f"There is no dense model to compare with{_mlp(section)}."
    if best is None:
        start = f"No line is within {MOST_LOST} points of Dense on validation"
        return f"{start} ({_score(section.dense)} on the test nodes){_mlp(section)}."
    parts = [f"{best.line.name} removes {_amount(best)}", _test(best)]
    return (
        ": ".join(parts)
        + _interval(best.to_dense)
        + _random(section, best)
        + (_mlp(section) + ".")
    )


def _amount(entry: Entry) -> str:
    line = entry.line
    parts = [f"{100 * line.sparsity:.0f} % of the edges"] if line.sparsity else []
    if line.pruner is not None:
        parts.append(f"{100 * (line.weight_sparsity or 0):.3g} % of the weights")
    return " and ".join(parts)


def _seeds(entry: Entry) -> str:
    count = len(entry.points)
    return f"{count} seed{'' if count == 1 else 's'}"


def _score(entry: Entry) -> str:
    mean = entry.line.test_mean
    if mean is None:
        return "not tested"
    return f"{mean_and_deviation(mean, entry.line.test_std)} %"


def _test(entry: Entry) -> str:
    if entry.line.test_mean is None:
        return "not tested"
    return f"test {_score(entry)} ({_seeds(entry)})"


def signed(found: Gap) -> str:
    """Return a difference in points with its 95 % interval.

    Example:
        >>> signed(Gap(mean=-0.25, half=0.5, pairs=5))
        '-0.25 [-0.75, +0.25]'
    """
    if not math.isfinite(found.half):
        return _points(found.mean)
    return f"{_points(found.mean)} [{_points(found.low)}, {_points(found.high)}]"


def _points(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}"  # no negative zero


def _interval(found: Gap | None) -> str:
    """Return whether the interval excludes a loss of more than the points allowed."""
    if found is None:
        return ", with no seed in common with Dense"
    text = f", {signed(found)} points to Dense"
    if found.pairs < FEWEST:
        return f"{text}, too few seeds for an interval"
    verdict = found.at_least(-MOST_LOST)
    words = {
        "holds": f"excludes a loss of more than {MOST_LOST} points",
        "fails": f"lies wholly below a loss of {MOST_LOST} points",
    }.get(verdict, f"does not exclude a loss of more than {MOST_LOST} points")
    return f"{text}; the 95 % interval {words}"


def control_of(section: Section, entry: Entry) -> Entry | None:
    """Return the random edges at the same target, trained alike where there are such.

    Of several, the one with the best validation score. Distilled weights are never
    compared with others if that can be avoided.
    """
    line = entry.line
    found = [
        it
        for it in section.entries
        if it.line.method == CONTROL
        and it.line.sparsity_target == line.sparsity_target
        and it.line.pruner == line.pruner
        and (line.pruner is None or it.line.weight_sparsity == line.weight_sparsity)
    ]
    is_distilled = line.teacher == "weights"
    found = [it for it in found if (it.line.teacher == "weights") == is_distilled] or (
        found
    )
    alike = [it for it in found if it.line.training == line.training]
    return max(alike or found, key=lambda it: it.line.val_mean, default=None)


def _random(section: Section, best: Entry) -> str:
    """Return how random edges compare with the operating point."""
    if best.line.method == CONTROL:
        return "; random edges do as well as any method here"
    if not best.line.sparsity:  # weights alone
        return ""
    control = control_of(section, best)
    found = None if control is None else paired(best, control)
    if control is None or found is None:
        return "; no random edges were run at this sparsity"
    text = f"{control.line.name} {_score(control)}, {signed(found)} points"
    verdict = found.above()
    if verdict == "holds":
        return f"; better than random edges ({text})"
    if verdict in ("level", "fails"):
        return f"; random edges do as well ({text})"
    return f"; too few seeds to tell it from random edges ({text})"


def _mlp(section: Section) -> str:
    if section.mlp is None:
        return "; no MLP was run"
    text = f"; an MLP without edges has {_score(section.mlp)}"
    found = section.mlp.to_dense
    return text if found is None else f"{text} ({signed(found)} points to Dense)"

"""Find the largest sparsity with which a learned mask keeps enough predictions."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace

from gsparse.nn.learned_mask import LearnedMask
from gsparse.train.fit_config import FitConfig
from gsparse.train.history import History

ROUNDS = 8
"""Most sparsities at which a mask is fitted."""

CLOSE = 0.01
"""The search ends when the edges left are known up to this factor of all edges."""

FIRST, SHORTER = 0.5, 3
"""First guess in place of a sparsity of 0; later fits have a third of the epochs."""


def fit_to_keep(
    mask: LearnedMask,
    keep: float,
    kept: Callable[[], float],
    fit_gates: Callable[[FitConfig], History],
    config: FitConfig,
) -> History:
    """Fit a mask at rising sparsities until it keeps just enough predictions.

    A mask that keeps enough is fitted further at a larger sparsity, which closes more
    gates; closed ones would hardly open again, so after a failure the search goes on
    from the last mask that succeeded, at a sparsity between. In the end the sparsity is
    the largest at which the ranks of that mask keep enough.

    Args:
        mask: A mask with a budget; its sparsity is the first guess, and is set.
        keep: Fraction of the predictions to keep.
        kept: Returns the fraction that the mask keeps at its sparsity.
        fit_gates: Fits the mask at its sparsity.
        config: Settings of the first fit; later ones have a third of its epochs.

    Returns:
        The history of the last fit that kept enough, with the times of all.

    Raises:
        ValueError: If the share is not in (0, 1], the mask has no budget, or not even
            all edges keep so many predictions.
    """
    asked = check_keep(mask, keep)
    mask.sparsity = 0.0
    most = kept()
    mask.sparsity = asked
    if most < keep:
        raise ValueError(
            f"'keep' must be at most {most:.4g}, which the graph with all edges keeps "
            f"(got {keep}); check 'logits'"
        )
    try:
        return _search(mask, keep, kept, fit_gates, config, most)
    except BaseException:  # an interrupted search leaves the sparsity as it was
        mask.sparsity = asked
        raise


def check_keep(mask: LearnedMask, keep: float) -> float:
    """Return the sparsity of a mask; refuse a share that cannot be searched for."""
    if mask.sparsity is None:
        raise ValueError(
            "'keep' needs a mask with a budget, which 'penalty' does not give (got "
            f"{type(mask).__name__} with penalty={mask.factor}); make it with sparsity="
        )
    check_share(keep)
    return mask.sparsity


def check_share(keep: float) -> None:
    """Raise an error unless a share is in (0, 1]."""
    if isinstance(keep, bool) or not isinstance(keep, int | float):
        raise TypeError(f"'keep' must be a number in (0, 1] (got {keep!r})")
    if not 0 < keep <= 1:
        raise ValueError(f"'keep' must be in (0, 1] (got {keep})")


def _search(
    mask: LearnedMask,
    keep: float,
    kept: Callable[[], float],
    fit_gates: Callable[[FitConfig], History],
    config: FitConfig,
    most: float,
) -> History:
    low, state, lost_low = 0.0, copy.deepcopy(mask.state_dict()), 1 - most
    high, lost_high = 1.0, None
    trial, settings, found = mask.sparsity or FIRST, config, History()
    train_seconds: list[float] = []
    eval_seconds: list[float] = []
    for _ in range(ROUNDS):
        mask.sparsity = trial
        history = fit_gates(settings)
        train_seconds += history.train_seconds
        eval_seconds += history.eval_seconds
        lost = 1 - kept()
        if lost <= 1 - keep:
            low, lost_low, found = trial, lost, history
            state = copy.deepcopy(mask.state_dict())
            epochs = max(config.epochs // SHORTER, config.validate_every)
            settings = replace(config, epochs=epochs)
        else:
            high, lost_high = trial, lost
            mask.load_state_dict(state)
        if high - low <= CLOSE:
            break
        trial = _between(low, high, lost_low, lost_high, 1 - keep)
    mask.load_state_dict(state)
    mask.sparsity = _largest(mask, low, keep, kept)
    found.train_seconds, found.eval_seconds = train_seconds, eval_seconds
    return found


def _between(
    low: float, high: float, lost_low: float, lost_high: float | None, may: float
) -> float:
    """Return the next sparsity: halfway, or where the logarithm of the share of lost
    predictions would be right if it were linear.
    """
    if lost_high is None or low == 0.0:
        return (low + high) / 2
    least = 1e-4  # a share of 0 has no logarithm
    start, end = math.log(lost_low + least), math.log(lost_high + least)
    share = (math.log(may + least) - start) / (end - start) if end > start else 0.5
    return low + (high - low) * min(max(share, 0.2), 0.8)


def _largest(
    mask: LearnedMask, low: float, keep: float, kept: Callable[[], float]
) -> float:
    """Return the largest sparsity whose best ranked edges keep enough, by bisection."""
    high = 1.0
    for _ in range(14):
        mask.sparsity = (low + high) / 2
        low, high = (mask.sparsity, high) if kept() >= keep else (low, mask.sparsity)
    return low

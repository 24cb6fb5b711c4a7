"""Projection of probabilities onto a budget of their sum."""

import math

import torch
from torch import Tensor

#: How far below the budget the sum may end, as a fraction of it.
SLACK = 1e-12
#: Maximum number of Newton steps and of all steps; bisection alone needs about 60.
NUM_NEWTON, NUM_STEPS = 20, 200


@torch.no_grad()
def project_to_budget(z: Tensor, total: float) -> Tensor:
    r"""Return the nearest point of :math:`\{0 \le s_i \le 1, \sum_i s_i \le K\}`.

    It is :math:`s_i = \min(1, \max(0, z_i - v))` with the smallest :math:`v \ge 0` for
    which the sum is at most :math:`K`. That sum is piecewise linear and falls with
    :math:`v`. Newton's method goes to the zero of one piece after another and is exact
    once it is on the right piece, usually in three or four passes. A bracket whose
    upper end is always feasible safeguards it, and bisection takes over if needed. The
    arithmetic is in float64.

    Args:
        z: Any values. A float32 result is rounded at the end, which can leave the sum
            above the budget by the rounding error.
        total: The budget :math:`K`.

    Returns:
        A new tensor like ``z``, with a sum in float64 of at most ``total``.

    Raises:
        ValueError: If the budget is negative or a value is not finite.

    Shapes:
        - **z**, **output:** any

    Example:
        >>> import torch
        >>> from gsparse.prune.learned.projection import project_to_budget
        >>> project_to_budget(torch.tensor([1.5, 0.75, 0.25, -2.0]), total=1.5)
        tensor([1.0000, 0.5000, 0.0000, 0.0000])
    """
    if not 0 <= total < math.inf:
        raise ValueError(f"'total' must be at least 0 and finite (got {total})")
    wide = z.double()
    if not math.isfinite(wide.sum()):
        bad = int((~wide.isfinite()).sum())
        raise ValueError(f"'z' must be finite (got {bad} values that are not)")
    s = wide.clamp(0, 1)
    excess = float(s.sum()) - total
    if excess <= 0:
        return s.to(z.dtype)
    low, high, v = 0.0, float(wide.max()), 0.0  # at high, the sum is 0
    for step in range(NUM_STEPS):
        free = int(s.frac().count_nonzero())
        jump = v + (excess + SLACK / 2 * total) / free if free else math.inf
        inside = step < NUM_NEWTON and low < jump < high
        v = jump if inside else (low + high) / 2
        if not low < v < high:  # no number between them
            break
        excess = float(torch.sub(wide, v, out=s).clamp_(0, 1).sum()) - total
        if excess > 0:
            low = v
        else:
            high = v
            if excess >= -SLACK * total:
                break
    if excess > 0:  # the last v was not feasible
        torch.sub(wide, high, out=s).clamp_(0, 1)
    return s.to(z.dtype)

"""Dual variable, penalty and number of the updates of ADMM."""

from torch import Tensor


def updated_dual(weight: Tensor, u: Tensor, z: Tensor, ratio: float) -> Tensor:
    r"""Return the scaled dual after an update.

    With :math:`Z = \Pi(W + U)` it becomes :math:`U + W - Z`. It stands for the
    multiplier :math:`\rho U`, which must not jump when :math:`\rho` does, and is
    therefore multiplied by the ratio :math:`\rho_{old} / \rho_{new}`.

    Example:
        >>> import torch
        >>> from gsparse.prune.learned.admm_steps import updated_dual
        >>> w, u = torch.tensor([3.0, 1.0]), torch.tensor([0.0, 0.5])
        >>> updated_dual(w, u, torch.tensor([3.0, 0.0]), ratio=0.5)
        tensor([0.0000, 0.7500])
    """
    return (u + weight - z) * ratio


def penalty_at(rho: tuple[float, float], update: int, num_updates: int) -> float:
    r"""Return :math:`\rho_k` before update k, counted from 0: a geometric ramp.

    Example:
        >>> from gsparse.prune.learned.admm_steps import penalty_at
        >>> [round(penalty_at((0.01, 10.0), k, 4), 4) for k in range(4)]
        [0.01, 0.1, 1.0, 10.0]
    """
    first, last = rho
    part = min(update / (num_updates - 1), 1.0) if num_updates > 1 else 0.0
    return first * (last / first) ** part


def fitting_updates(num_steps: int) -> tuple[int, int]:
    """Return the number of updates, and the steps between two, that take at most two
    thirds of the steps of a phase.

    Example:
        >>> from gsparse.prune.learned.admm_steps import fitting_updates
        >>> fitting_updates(1000), fitting_updates(90), fitting_updates(6)
        ((10, 20), (10, 6), (2, 2))
    """
    num_updates = min(10, max(1, num_steps // 3))
    return num_updates, max(1, min(20, 2 * num_steps // 3 // num_updates))

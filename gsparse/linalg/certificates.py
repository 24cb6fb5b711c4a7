"""What must hold for leverages, and costs little to check."""

import numpy as np
import torch
from torch import Tensor

from gsparse.linalg.laplacian import Laplacian

#: Slow directions whose sweep cuts are checked.
SWEPT = 4
#: Foster's sum may be off by so many of its standard deviations, and by this share.
DEVIATIONS, SHARE = 4.0, 0.01


class CertificateError(RuntimeError):
    """Estimated resistances that contradict a theorem."""


def check_foster(foster: float, error: float) -> None:
    """Foster's theorem: the leverages w R sum to nodes minus components.

    Args:
        foster: The sum over its true value.
        error: Relative error of the leverages, in the root mean square.

    Raises:
        CertificateError: If the sum is further off than the error allows.
    """
    if not abs(foster - 1) <= DEVIATIONS * error + SHARE:
        raise CertificateError(
            "the leverages must sum to the number of nodes minus that of components "
            f"(got {foster:.3f} times as much); use method='exact' or 'tree'"
        )


def check_cuts(
    L: Laplacian, leverage: Tensor, std: Tensor, directions: Tensor
) -> float:
    """Every spanning tree crosses every cut, so the leverages over it sum to 1 or more.

    Swept are the cuts that part each component by the order of its nodes in a slow
    direction: where there is a bottleneck, one of them is it.

    Args:
        L: The graph.
        leverage: Leverage of each pair.
        std: Standard deviation of each.
        directions: One column per direction, of which the first few are used.

    Returns:
        The smallest sum over a cut (1 where there is none to check).

    Raises:
        CertificateError: If a sum stays below 1 by more than three standard deviations.

    Shapes:
        - **leverage**, **std:** :math:`(M,)`
        - **directions:** :math:`(N, k)`
    """
    ptr, indices, _ = L.rows
    row = np.repeat(np.arange(L.num_nodes, dtype=indices.dtype), np.diff(ptr))
    upper = indices > row
    row, col = row[upper], indices[upper]
    component, smallest = L.component.numpy(), 1.0
    values = np.stack([leverage.numpy(), std.numpy()])
    for direction in directions[:, :SWEPT].T.numpy():
        order = np.lexsort((direction, component))
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        ends = np.minimum(place[row], place[col]), np.maximum(place[row], place[col])
        over, spread = (_crossing(*ends, value, len(order)) for value in values)
        inside = component[order][:-1] == component[order][1:]
        over, spread = over[:-1][inside], spread[:-1][inside]
        if not len(over):
            continue
        smallest = min(smallest, float(over.min()))
        worst = int((over + 3 * spread).argmin())
        if over[worst] + 3 * spread[worst] < 1 - SHARE:
            raise CertificateError(
                "the leverages over a cut that connects two parts must sum to 1 or more "
                f"(got {over[worst]:.3f} +- {spread[worst]:.3f}); use method='exact' or "
                "'tree'"
            )
    return smallest


def _crossing(
    low: np.ndarray, high: np.ndarray, value: np.ndarray, num_nodes: int
) -> np.ndarray:
    """Sum of the values of the pairs that cross the cut after each place."""
    begin = np.bincount(low, weights=value, minlength=num_nodes)
    return np.cumsum(begin - np.bincount(high, weights=value, minlength=num_nodes))


def to_leverage(weight: Tensor | None, value: Tensor) -> Tensor:
    """``w R``, pairs of weight 0 left out, in the order of the Laplacian's pairs."""
    if weight is None:
        return value
    keep = weight > 0
    return (weight[keep] * value[keep]).to(torch.float64)

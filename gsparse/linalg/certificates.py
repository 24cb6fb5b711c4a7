"""Check estimated leverages against theorems that are cheap to test."""

import math

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.resistance.pair_csr import pair_csr
from gsparse.kernels.resistance.wilson import empty_forest, grow_forest
from gsparse.linalg.laplacian import Laplacian
from gsparse.linalg.trees import make_walk

#: Number of slow directions whose sweep cuts are checked.
SWEPT = 4
#: Number of spanning trees to draw, and the largest graph (in pairs) to draw them on.
TREES, PAIRS = 8, 2_000_000
#: Maximum number of random walk steps per node and tree.
STEPS = 50
#: Smallest leverage that is compared with the trees.
LARGE = 0.05
#: Allowed deviation of Foster's sum: standard deviations, plus a relative error.
DEVIATIONS, SHARE = 4.0, 0.01


class CertificateError(RuntimeError):
    """Estimated resistances that contradict a theorem."""


def check_foster(foster: float, error: float) -> None:
    """Check Foster's theorem: the leverages w R sum to nodes minus components.

    Args:
        foster: Sum of the leverages divided by its true value.
        error: Root mean square of the relative error of the leverages.

    Raises:
        CertificateError: If the sum deviates by more than the error allows.
    """
    if not abs(foster - 1) <= DEVIATIONS * error + SHARE:
        raise CertificateError(
            "the leverages must sum to the number of nodes minus the number of "
            f"components (got {foster:.3f} times as much); use method='exact' or 'tree'"
        )


def check_cuts(
    L: Laplacian, leverage: Tensor, std: Tensor, directions: Tensor
) -> float:
    """Check that the leverages of the pairs across each sweep cut sum to at least 1.

    Every spanning tree crosses every cut, so this holds for all cuts. The cuts that
    are checked split each component by the order of its nodes in a slow direction. If
    the graph has a bottleneck, one of them is close to it.

    Args:
        L: Laplacian of the graph.
        leverage: Leverage of each pair.
        std: Standard deviation of each leverage.
        directions: Slow directions as columns; the first four are used.

    Returns:
        The smallest sum across a cut, or infinity if there is no cut.

    Raises:
        CertificateError: If a sum is below 1 by more than three standard deviations.

    Shapes:
        - **leverage**, **std:** :math:`(M,)`
        - **directions:** :math:`(N, k)`
    """
    row, col, _ = _upper_pairs(L)
    component, smallest = L.component.numpy(), math.inf
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
                "the leverages across a cut of a connected component must sum to at "
                f"least 1 (got {over[worst]:.3f} +- {spread[worst]:.3f}); use "
                "method='exact' or 'tree'"
            )
    return smallest


def check_trees(L: Laplacian, leverage: Tensor, std: Tensor, seed: int) -> float | None:
    r"""Compare large leverages with the edge frequencies of random spanning trees.

    A random tree contains an edge with probability w R. The number of edges of a set
    that it contains has a variance of at most :math:`\sum p (1 - p)`, because the edges
    of a random tree are negatively associated.

    Args:
        L: Laplacian of the graph.
        leverage: Leverage of each pair.
        std: Standard deviation of each leverage.
        seed: Random seed.

    Returns:
        Difference between the edges drawn and expected, in standard deviations.
        ``None`` if the graph is too large or the walks take too long.

    Raises:
        CertificateError: If the difference exceeds five standard deviations.

    Shapes:
        - **leverage**, **std:** :math:`(M,)`
    """
    large = (leverage >= LARGE) & (leverage < 1 - 1e-9)
    if L.num_pairs > PAIRS or not large.any():
        return None
    row, col, weight = _upper_pairs(L)
    lists = pair_csr(row, col, L.num_nodes)
    walk, forest = make_walk(*lists, weight), empty_forest(L.num_nodes)
    counted = np.zeros(L.num_pairs)
    for tree in range(TREES):
        stream = np.uint64((seed * TREES + tree) % 2**64)
        if grow_forest(walk, forest, stream, STEPS * L.num_nodes) < 0:
            return None
        inner = forest.parent >= 0
        counted += np.bincount(
            walk.pair[forest.parent_slot[inner]], minlength=L.num_pairs
        )
    p = leverage[large]
    more = float((torch.from_numpy(counted)[large] / TREES - p).sum())
    spread = math.hypot(math.sqrt((p * (1 - p)).sum() / TREES), float(std[large].sum()))
    if abs(more) > 5 * spread + SHARE:
        raise CertificateError(
            "the leverages must sum to the number of edges in a random spanning tree "
            f"(got {float(p.sum()):.1f} over the {int(large.sum())} edges of large "
            f"leverage, and trees with {float(p.sum()) + more:.1f} of them); use "
            "method='exact' or 'tree'"
        )
    return more / spread


def _upper_pairs(L: Laplacian) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the smaller end, the larger end and the weight of each pair.

    The weights are empty if all are 1.
    """
    ptr, indices, values = L.rows
    row = np.repeat(np.arange(L.num_nodes, dtype=indices.dtype), np.diff(ptr))
    upper = indices > row
    return row[upper], indices[upper], values[upper] if len(values) else values


def _crossing(
    low: np.ndarray, high: np.ndarray, value: np.ndarray, num_nodes: int
) -> np.ndarray:
    """Sum the values of the pairs that cross the cut after each position."""
    begin = np.bincount(low, weights=value, minlength=num_nodes)
    return np.cumsum(begin - np.bincount(high, weights=value, minlength=num_nodes))


def to_leverage(weight: Tensor | None, value: Tensor) -> Tensor:
    """Return the leverages ``w R`` of all pairs with a positive weight."""
    if weight is None:
        return value
    keep = weight > 0
    return (weight[keep] * value[keep]).to(torch.float64)

"""What must hold for leverages, and costs little to check."""

import math

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.resistance.pair_csr import pair_csr
from gsparse.kernels.resistance.wilson import empty_forest, grow_forest
from gsparse.linalg.laplacian import Laplacian
from gsparse.linalg.trees import make_walk

#: Slow directions whose sweep cuts are checked.
SWEPT = 4
#: Spanning trees that are drawn, on graphs of at most so many pairs,
TREES, PAIRS = 8, 2_000_000
#: each in at most so many steps a node: behind bottlenecks walks take too long.
STEPS = 50
#: Leverages from this one on are compared with the trees.
LARGE = 0.05
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
        The smallest sum over a cut; infinite where there is none to check.

    Raises:
        CertificateError: If a sum stays below 1 by more than three standard deviations.

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
                "the leverages over a cut between two joined parts must sum to 1 or "
                f"more (got {over[worst]:.3f} +- {spread[worst]:.3f}); use "
                "method='exact' or 'tree'"
            )
    return smallest


def check_trees(L: Laplacian, leverage: Tensor, std: Tensor, seed: int) -> float | None:
    r"""Large leverages against how often random spanning trees take their edges.

    A tree takes an edge with probability w R, and of a set of edges it takes a number
    whose variance is at most :math:`\sum p (1 - p)`, because the edges of a random tree
    are negatively associated.

    Args:
        L: The graph.
        leverage: Leverage of each pair.
        std: Standard deviation of each.
        seed: Number of the random stream.

    Returns:
        Edges that the trees took too many, in standard deviations; ``None`` where
        walks take too long or the graph is large, and nothing was checked.

    Raises:
        CertificateError: If the trees differ by more than five standard deviations.

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
            f"random spanning trees must take as many of the {int(large.sum())} edges "
            f"of large leverage as their leverages say ({float(p.sum()):.1f}, got "
            f"{float(p.sum()) + more:.1f}); use method='exact' or 'tree'"
        )
    return more / spread


def _upper_pairs(L: Laplacian) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smaller and larger end and weight (empty for ones) of each pair, in order."""
    ptr, indices, values = L.rows
    row = np.repeat(np.arange(L.num_nodes, dtype=indices.dtype), np.diff(ptr))
    upper = indices > row
    return row[upper], indices[upper], values[upper] if len(values) else values


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

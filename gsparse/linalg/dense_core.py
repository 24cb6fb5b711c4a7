"""Resistances between all pairs of a dense network."""

import torch
from torch import Tensor

from gsparse.kernels.resistance.dense_mesh import eliminate_panel, extend_panel

#: Nodes per panel; larger panels do more work outside matrix products.
FORWARD, BACKWARD = 64, 128
#: Rows per product when only the upper triangle is needed.
STRIP = 512


def dense_resistance_(A: Tensor) -> Tensor:
    r"""Compute the resistances between all pairs of a dense network in place.

    The nodes are eliminated one by one by the star-mesh transformation
    (:math:`c_a c_b / \sum c` between the neighbours) and added back in reverse order
    by the recursion of :func:`gsparse.kernels.resistance.extension.extend`. This is
    equivalent to a Cholesky factorisation and inversion of the Laplacian and costs
    :math:`k^3` multiply-adds, nearly all in matrix products. No step subtracts
    conductances, so small resistances keep their relative accuracy even if the weights
    differ by many orders of magnitude. Values between components are meaningless.

    Args:
        A: Conductances in float64; only the strict upper triangle is read.

    Returns:
        The same tensor, overwritten by the symmetric matrix of resistances.

    Shapes:
        - **A**, **output:** :math:`(k, k)`
    """
    size = A.shape[0]
    total = torch.zeros(size, dtype=A.dtype)
    _eliminate(A, total, 0, size)
    for end in range(size, 0, -BACKWARD):
        begin = max(0, end - BACKWARD)
        Y = A[begin:end, end:] @ A[end:, end:]
        extend_panel(A.numpy(), Y.numpy(), total.numpy(), begin, end)
    return A


def _eliminate(A: Tensor, total: Tensor, begin: int, end: int) -> None:
    """Eliminate the nodes ``begin`` to ``end`` after all earlier nodes."""
    if end - begin <= FORWARD:
        eliminate_panel(A.numpy(), total.numpy(), begin, end)
        return
    middle = (begin + end + 1) // 2
    _eliminate(A, total, begin, middle)
    for top in range(middle, end, STRIP):
        bottom = min(top + STRIP, end)
        left = A[begin:middle, top:bottom] * total[begin:middle, None]
        A[top:bottom, top:].addmm_(left.T, A[begin:middle, top:])
    _eliminate(A, total, middle, end)

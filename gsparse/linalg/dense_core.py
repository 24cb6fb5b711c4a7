"""All resistances of a dense network, by blocked star-mesh transformations."""

import torch
from torch import Tensor

from gsparse.kernels.resistance.dense_mesh import eliminate_panel, extend_panel

#: Nodes eliminated at once; larger panels do more work outside matrix products.
FORWARD, BACKWARD = 64, 128
#: Rows of one product when only an upper triangle is wanted.
STRIP = 512


def dense_resistance_(A: Tensor) -> Tensor:
    r"""Resistance between all pairs of a dense network, in place.

    Nodes are eliminated one after another by the star-mesh transformation
    (:math:`c_a c_b / \sum c` between the neighbours) and hung back in reverse order
    by the recursion of :func:`gsparse.kernels.resistance.extension.extend`. This is a
    Cholesky factorisation and inversion of the Laplacian, :math:`k^3` multiply-adds
    nearly all in matrix products, but no step subtracts conductances, so small
    resistances keep their relative accuracy next to weights many orders of magnitude
    away. Between components the result is finite and meaningless.

    Args:
        A: Conductances, float64, of which only the strict upper triangle is read.

    Returns:
        The same tensor, now symmetric with zero diagonal: the resistances.

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
    """Eliminate ``begin .. end``, whose rows hold the meshes of all earlier nodes."""
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

"""Find the eigenvectors of small eigenvalues of a Laplacian, caused by bottlenecks."""

import math
from typing import NamedTuple

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from gsparse.kernels.resistance.laplacian import (
    ROWS,
    add_product,
    block_gram,
    random_start,
)
from gsparse.kernels.threads import run_blocks
from gsparse.linalg.iteration import Goal, Operator, PCGState, iterate, norm
from gsparse.linalg.pcg import component_sums

#: The Chebyshev filter keeps eigenvalues of D^{-1} L above this value bounded.
DAMPED = 0.3
#: Factor by which each step amplifies an eigenvalue of 0.1.
GROWTH = 1.96
#: Relative error of the solver in a step of inverse iteration.
ROUGH = 0.1
#: Directions with a smaller relative norm are dropped as rounding errors.
TINY = 1e-12


class SlowDirections(NamedTuple):
    r"""Approximate eigenvectors of :math:`(L, D)` with small eigenvalues.

    Attributes:
        vectors: :math:`V` with :math:`V^T L V = I` and mean zero ``[N, k]``.
        currents: :math:`L V` ``[N, k]``.
        values: Ritz values in ascending order ``[k]``, upper bounds of eigenvalues.
    """

    vectors: Tensor
    currents: Tensor
    values: Tensor

    def remove_(self, X: Tensor, LX: Tensor) -> None:
        """Project potentials and their currents onto the complement, in place."""
        C = gram(self.currents, X).neg_()
        add_product_(self.vectors, C, X)
        add_product_(self.currents, C, LX)


def probe(L: Operator, num_directions: int, seed: int) -> SlowDirections:
    r"""Find slow directions by a Chebyshev filter on random vectors.

    The filter bounds the components of eigenvalues of :math:`D^{-1} L` above
    :data:`DAMPED` and amplifies those below 0.1 until they dominate. If the smallest
    Ritz value is above ``DAMPED``, then with overwhelming probability no eigenvalue is
    below 0.1, and by Cheeger's inequality no cut has a conductance below 0.05.

    Two starts are compared: random signs and uniform numbers. With random signs alone,
    two nodes that are connected strongly to each other and weakly to all others would
    cancel for one seed in 256.

    Costs 20 to 40 products with ``L``.
    """
    found, other = (_filtered(L, num_directions, seed, kind) for kind in (False, True))
    if not found.values.numel() or not other.values.numel():
        return found
    return other if other.values[0] < found.values[0] / 2 else found


def _filtered(
    L: Operator, num_directions: int, seed: int, uniform: bool
) -> SlowDirections:
    X = _white(L, num_directions, seed, uniform)
    steps = math.ceil(math.log(30 * math.sqrt(max(L.num_nodes, 2))) / math.log(GROWTH))
    inverse = torch.where(L.diagonal > 0, 1 / L.diagonal, 0.0)[:, None]
    middle, half = (2 + DAMPED) / 2, (2 - DAMPED) / 2
    before, X = X, (inverse * L.matmul(X) - middle * X) / half
    for _ in range(steps - 1):
        product = L.matmul(X).mul_(inverse).sub_(X, alpha=middle)
        before, X = X, product.mul_(2 / half).sub_(before)
    return _ritz(L, X)


def refine(
    state: PCGState, found: SlowDirections, num_directions: int, seed: int
) -> SlowDirections:
    """Add random directions up to ``num_directions`` and run one inverse iteration."""
    L, V = state.operator, found.vectors * found.values.sqrt()
    if V.size(1) < num_directions:
        V = torch.cat([V, _white(L, num_directions - V.size(1), seed)], dim=1)
    B = _centre(L, V) * L.diagonal[:, None]
    size = norm(B, state.precondition(B))
    goal = Goal(torch.full_like(size, ROUGH), 0.0, size, torch.zeros_like(size))
    return _ritz(L, iterate(state, B, goal, 30).x)


def gram(X: Tensor, Y: Tensor) -> Tensor:
    """Return ``X^T Y``, identical for any number of threads."""
    blocks = -(-X.size(0) // ROWS)
    partial = np.zeros((blocks, X.size(1), Y.size(1)))
    work = X.numel() * Y.size(1)
    run_blocks(block_gram, work, X.numpy(), Y.numpy(), partial)
    return torch.from_numpy(partial.sum(axis=0))


def add_product_(X: Tensor, C: Tensor, out: Tensor) -> None:
    """Add ``X C`` to ``out``, identical for any number of threads."""
    run_blocks(add_product, X.numel() * C.size(1), X.numpy(), C.numpy(), out.numpy())


def _white(
    L: Operator, num_directions: int, seed: int, uniform: bool = False
) -> Tensor:
    """Draw random vectors in which all eigenvectors have the same expected weight."""
    scale = torch.where(L.diagonal > 0, L.diagonal.rsqrt(), 0.0).numpy()
    out = torch.empty(L.num_nodes, num_directions, dtype=torch.float64)
    start = np.uint64(seed % 2**64)
    run_blocks(random_start, out.numel(), start, scale, uniform, out.numpy())
    return _centre(L, out)


def _centre(L: Operator, X: Tensor) -> Tensor:
    """Subtract the degree-weighted mean of every component."""
    total = component_sums(L, L.diagonal[:, None])
    mean = component_sums(L, X * L.diagonal[:, None]) / total.clamp_(min=1e-300)
    return X - mean[L.component.long()]


def _ritz(L: Operator, X: Tensor) -> SlowDirections:
    """Compute the Ritz vectors in the span of ``X``."""
    X = _centre(L, X)
    LX, DX = L.matmul(X), X * L.diagonal[:, None]
    G, H = gram(X, LX).numpy(), gram(X, DX).numpy()
    size = np.sqrt(np.maximum(H.diagonal(), 1e-300))
    masses, Q = scipy.linalg.eigh(H / size[:, None] / size)
    kept = masses > TINY * max(masses.max(initial=0.0), 1e-300)
    T = Q[:, kept] / np.sqrt(masses[kept]) / size[:, None]
    values, Q = scipy.linalg.eigh(T.T @ G @ T)
    values, Q = values[values > 1e-15], Q[:, values > 1e-15]
    C = torch.from_numpy(np.ascontiguousarray(T @ Q / np.sqrt(values)))
    vectors = torch.zeros(L.num_nodes, C.size(1), dtype=torch.float64)
    add_product_(X, C, vectors)
    currents = L.matmul(vectors)
    return SlowDirections(vectors, currents, torch.from_numpy(values))

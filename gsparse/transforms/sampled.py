"""What sparsifiers share that sample edges by importance and reweight them."""

from math import isfinite, log

import torch
from torch import Tensor

from gsparse.edges import (
    Pairs,
    check_sparsity,
    draw_seed,
    priority_sample,
    sample_with_replacement,
)
from gsparse.linalg.forest import spanning_forest
from gsparse.transforms.base import EdgeSparsifier, Selection


def num_draws(num_nodes: int, epsilon: float) -> int:
    r"""FastGAT's number of draws, :math:`q = 0.16\, N \ln N / \epsilon^2`.

    Example:
        >>> from gsparse.transforms.sampled import num_draws
        >>> num_draws(num_nodes=19717, epsilon=0.5)  # PubMed has 44324 edges
        124791
    """
    return round(0.16 * num_nodes * log(max(num_nodes, 1)) / epsilon**2)


class SampledSparsifier(EdgeSparsifier):
    r"""Samples pairs by importance, either to an exact size or as the papers do.

    ``sparsity`` uses priority sampling: exact size, nested, unbiased.
    ``epsilon`` draws :func:`num_draws` pairs with replacement, unbiased too, and the
    size is what it is.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        epsilon: Spectral tolerance, positive; the alternative to ``sparsity``.
        reweight: Multiply the weights of what survives so that every edge keeps its
            expected weight. Without it the old weights stay.
        connected: Keep a maximum spanning forest by importance for sure, so that no
            component falls apart.
        seed: Number of the random stream; ``None`` draws a new one per call.
    """

    needs = ("seed",)
    reweights = True

    def __init__(
        self,
        sparsity: float | None = None,
        epsilon: float | None = None,
        reweight: bool = True,
        connected: bool = False,
        seed: int | None = None,
    ) -> None:
        if (sparsity is None) == (epsilon is None):
            raise ValueError(
                "give exactly one of 'sparsity' and 'epsilon' "
                f"(got sparsity={sparsity}, epsilon={epsilon})"
            )
        if sparsity is not None:
            check_sparsity(sparsity)
        elif not (epsilon is not None and epsilon > 0 and isfinite(epsilon)):
            raise ValueError(f"'epsilon' must be positive and finite (got {epsilon})")
        self.sparsity = sparsity  # type: ignore[assignment]
        self.epsilon = epsilon
        self.reweight = reweight
        self.connected = connected
        self.seed = seed

    def select(
        self, importance: Tensor, pairs: Pairs, weight: Tensor | None
    ) -> Selection:
        seed = draw_seed(self.seed)
        sure = None
        if self.connected:
            sure = spanning_forest(pairs.row, pairs.col, importance, pairs.num_nodes)
        if self.epsilon is None:
            keep, factor = priority_sample(importance, self.sparsity, pairs, seed, sure)
        else:
            q = num_draws(pairs.num_nodes, self.epsilon)
            keep, factor = sample_with_replacement(importance, q, seed, sure)
        return Selection(keep, factor if self.reweight else None)

    def _settings(self) -> str:
        size = "epsilon" if self.sparsity is None else "sparsity"
        return (
            f"{size}={getattr(self, size)}, reweight={self.reweight}, "
            f"connected={self.connected}, seed={self.seed}"
        )

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self._settings()})"


def degree(pairs: Pairs, weight: Tensor | None) -> Tensor:
    """Weighted degree of every node, self-loops left out, ``[N]`` in float64."""
    ends = torch.cat([pairs.row, pairs.col])
    both = None if weight is None else torch.cat([weight, weight])
    return torch.bincount(ends, both, minlength=pairs.num_nodes).double()

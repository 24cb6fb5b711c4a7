"""Effective resistances by random spanning trees."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.resistance.forest_estimate import forest_means, forest_sums
from gsparse.kernels.resistance.ordering import minimum_degree
from gsparse.kernels.resistance.pair_csr import pair_csr
from gsparse.kernels.resistance.wilson import Walk, alias_tables, component_roots
from gsparse.kernels.threads import run_blocks
from gsparse.linalg.elimination import (
    Elimination,
    Network,
    mark_disconnected_,
    peel,
)

#: Maximum ratio of the weights. Beyond it, few trees contain the rare edges that
#: matter: at 1e3 the true error was up to 1.4 times the estimate, at 1e4 2.3 times.
WIDE = 1e3
#: Number of batches; the variance is estimated between them.
BATCHES = 8
#: Memory for the sums of concurrent batches, in bytes.
SLOT_BYTES = 2**29


class WalkBudgetError(RuntimeError):
    """Raised when random walks on a network take too long."""


class TreeEstimate(NamedTuple):
    """Estimated resistances with their variances."""

    resistance: Tensor  # [M] float64
    variance: Tensor  # [M] float64, unbiased; 0 if the resistance is exact
    num_trees: int


def tree_resistance(
    row: Tensor,
    col: Tensor,
    weight: Tensor | None,
    num_nodes: int,
    *,
    num_trees: int,
    seed: int,
    tolerance: float | None = None,
    max_degree: int = 8,
    max_steps: int | None = None,
) -> TreeEstimate:
    r"""Estimate effective resistances without bias by random spanning trees.

    Example:
        A triangle is eliminated exactly; each edge has a resistance of two thirds.

        >>> import torch
        >>> from gsparse.linalg.trees import tree_resistance
        >>> row, col = torch.tensor([[0, 0, 1], [1, 2, 2]])
        >>> tree_resistance(row, col, None, 3, num_trees=2, seed=60103).resistance
        tensor([0.6667, 0.6667, 0.6667], dtype=torch.float64)

    A random spanning tree, drawn by Wilson's algorithm with probability proportional to
    the product of its weights, contains a pair with probability
    :math:`w_{uv} R_{uv}`. `Counting
    <https://www.ijcai.org/Proceedings/16/Papers/521.pdf>`_ how often needs many trees,
    because one tree gives only one bit per pair. Three exact steps reduce the variance:

    * Hanging trees are removed, and nodes up to degree ``max_degree`` are eliminated by
      star-mesh transformations. Trees are drawn on the remaining core. The resistances
      of the eliminated nodes, which are the large ones, are a linear function of those
      of the core.
    * Instead of the parent of :math:`u` in the tree, its conditional probability given
      all other parents is used (Rao-Blackwell). The parent is :math:`v` with
      probability :math:`w_{uv} / (d_u - W_u)`, where :math:`W_u` is the weight from
      :math:`u` to its descendants, unless :math:`v` is one of them. One tree then
      estimates every pair,

      .. math::
          \hat R_{uv} = \frac{[v \text{ not below } u]}{d_u - W_u}
                      + \frac{[u \text{ not below } v]}{d_v - W_v},

      at a cost of about :math:`N \sqrt{d}` operations, because most subtrees are small.
    * The estimates of each tree satisfy Foster's identity: the sum of
      :math:`w \hat R` is :math:`N` minus the number of components.

    Compared with counting, the variance is smaller by a factor of 50 (PubMed) to
    several thousand (average degree 90). Use it for unweighted graphs that are too
    large for :func:`exact_resistance`; it is most accurate on dense graphs. Do not use
    it if the weights differ by many orders of magnitude or if large clusters are behind
    bottlenecks: the walks take too long and an error is raised.

    Args:
        row: Smaller end point of each pair, sorted by (row, col), without duplicates.
        col: Larger end points.
        weight: Non-negative conductances, or None if all are 1. The resistance of a
            pair of weight zero is infinite if no other path connects its end points.
        num_nodes: Number of nodes.
        num_trees: Number of trees, at least two. The error falls with its square root.
        seed: Random seed. Each tree has its own stream, so the result depends neither
            on the number of threads nor on the machine.
        tolerance: Stop early when the estimated root mean square of the relative error
            is at most this value.
        max_degree: Nodes up to this degree are eliminated exactly; 0 disables this.
        max_steps: Maximum number of steps per tree. The default is 100 per node plus 10
            per pair plus one million.

    Returns:
        Estimates with their variances, on the device of ``row``.

    Shapes:
        - **row**, **col**, **weight**, **resistance**, **variance:** :math:`(M,)`

    Raises:
        ValueError: If ``num_trees`` is below two, or the largest positive weight is
            more than a thousand times the smallest and not all nodes are eliminated.
        WalkBudgetError: If a tree takes more than ``max_steps`` steps.
    """
    if num_trees < 2:
        raise ValueError(f"'num_trees' must be at least 2 (got {num_trees})")
    net = peel(row, col, weight, num_nodes)
    estimator = _Estimator(net, max_degree)
    spread = weight_spread(weight)
    if spread > WIDE and len(estimator.walk.pair):  # otherwise all nodes are eliminated
        raise ValueError(
            f"random spanning trees need weights within a factor of {WIDE:g} (got "
            f"{spread:.2g}), because few trees contain rare edges; use method='exact' "
            "or 'jl'"
        )
    if max_steps is None:
        max_steps = 100 * net.num_nodes + 10 * len(row) + 1_000_000
    mean, variance, drawn = estimator.run(num_trees, seed, tolerance, max_steps)
    peeled = torch.from_numpy(net.peeled)
    result = torch.zeros(2, len(row), dtype=torch.float64)
    result[0, peeled] = 1.0 if weight is None else 1.0 / weight.cpu().double()[peeled]
    result[0, ~peeled] = mean
    result[1, ~peeled] = variance
    if weight is not None:
        mark_disconnected_(result[0], row, col, weight, num_nodes)
        result[1, result[0].isinf()] = 0.0
    result = result.to(row.device)
    return TreeEstimate(result[0], result[1], drawn)


def weight_spread(weight: Tensor | None) -> float:
    """Return the ratio of the largest to the smallest positive weight."""
    used = torch.empty(0) if weight is None else weight[weight > 0]
    return float(used.max() / used.min()) if used.numel() else 1.0


def make_walk(
    ptr: np.ndarray, nbr: np.ndarray, pair: np.ndarray, weight: np.ndarray
) -> Walk:
    """Prepare random walks from adjacency lists and the weight of each pair."""
    if weight.size:
        strength = np.add.reduceat(np.append(weight[pair], 0.0), ptr[:-1])
        strength[ptr[:-1] == ptr[1:]] = 0.0
        accept, alias = alias_tables(ptr, pair, weight, strength)
    else:
        strength = np.diff(ptr).astype(float)
        accept, alias = np.empty(0, np.float32), np.empty(0, np.int32)
    roots = component_roots(ptr, nbr, pair, weight, strength)
    return Walk(ptr, nbr, pair, weight, strength, accept, alias, roots)


def _rounds(num_trees: int, is_adaptive: bool) -> Iterator[np.ndarray]:
    """Yield the batch bounds of each round: all trees at once, or doubling rounds."""
    drawn = 0
    while drawn < num_trees:
        most = num_trees - drawn
        size = min(max(drawn, BATCHES), most) if is_adaptive else most
        bounds = np.linspace(drawn, drawn + size, min(size, BATCHES) + 1)
        yield bounds.astype(np.int64)
        drawn += size


class _Estimator:
    """Running sums of the estimates by trees on the core of a network."""

    def __init__(self, net: Network, max_degree: int) -> None:
        order, degree = minimum_degree(net.ptr, net.nbr, max_degree, 1.0, np.inf)
        self.elimination: Elimination | None = None
        if len(order):
            self.elimination = Elimination(net, order, degree)
            self.core = self.elimination.sparse_core()
            lists = pair_csr(self.core.row, self.core.col, len(self.core.ptr) - 1)
            self.walk = make_walk(*lists, self.core.conductance)
            self.eliminated_sums = np.zeros((2, len(self.elimination.pattern.rows)))
        else:
            self.walk = make_walk(net.ptr, net.nbr, net.pair, net.weight)
        pairs = len(self.walk.pair) // 2
        self.core_sums = torch.zeros(2, pairs, dtype=torch.float64)
        self.num_trees = self.num_batches = 0

    def run(
        self, num_trees: int, seed: int, tolerance: float | None, max_steps: int
    ) -> tuple[Tensor, Tensor, int]:
        """Return the mean and variance of every pair, and the number of trees."""
        for bounds in _rounds(num_trees, tolerance is not None):
            for count, values in self._draw(bounds, seed, max_steps):
                self._add(count, values)
            mean, variance = self._moments()
            error = (variance / mean**2).mean().sqrt() if len(mean) else 0.0
            if tolerance is not None and error <= tolerance:
                break
        return mean, variance, self.num_trees

    def _draw(
        self, bounds: np.ndarray, seed: int, max_steps: int
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number of trees and the mean estimate of each batch in order."""
        nodes, entries = len(self.walk.strength), len(self.walk.pair)
        at_once = max(1, min(torch.get_num_threads(), SLOT_BYTES // (8 * entries + 1)))
        bulk, less = np.zeros((at_once, nodes)), np.zeros((at_once, entries))
        values = np.empty(entries // 2)
        steps = np.zeros(at_once, np.int64)
        stream = np.uint64(seed % 2**64)
        for batch in range(0, len(bounds) - 1, at_once):
            part = bounds[batch : batch + at_once + 1]
            bulk[:] = 0.0
            work = 100 * nodes * int(part[-1] - part[0])
            done = steps[: len(part) - 1]
            sums = bulk, less, done
            run_blocks(forest_sums, work, self.walk, stream, part, max_steps, *sums)
            if done.min(initial=0) < 0:
                raise WalkBudgetError(
                    f"a random spanning tree took more than {max_steps} steps on "
                    f"{nodes} nodes; use method='jl' or 'exact', or raise 'max_steps'"
                )
            for slot, count in enumerate(np.diff(part).tolist()):
                block = count, bulk[slot], less[slot], values
                run_blocks(forest_means, 4 * entries, self.walk, True, *block)
                run_blocks(forest_means, 4 * entries, self.walk, False, *block)
                yield count, values

    def _add(self, count: int, values: np.ndarray) -> None:
        """Add a batch to the weighted sums of ``x`` and ``x * x``."""
        x = torch.from_numpy(values)
        self.core_sums[0].add_(x, alpha=count)
        self.core_sums[1].addcmul_(x, x, value=count)
        if self.elimination is not None:
            y = self.elimination.extend(self.core, values)
            self.eliminated_sums += (count * y, count * y * y)
        self.num_trees += count
        self.num_batches += 1

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Return the mean of each pair and its variance between the batches."""
        sums = self.core_sums
        if self.elimination is not None:
            places = torch.from_numpy(self.elimination.places(self.core))
            eliminated = torch.from_numpy(self.eliminated_sums)
            sums = torch.cat((eliminated, sums), dim=1)[:, places]
        mean = sums[0] / self.num_trees
        spread = (sums[1] - sums[0] * mean).clamp_(min=0.0)
        return mean, spread / ((self.num_batches - 1) * self.num_trees)

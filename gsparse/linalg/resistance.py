"""Effective resistance of every edge by the cheapest suitable method."""

import logging
import math
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from gsparse.edges import draw_seed, pair_weight, spread, undirected_pairs
from gsparse.linalg.exact import MAX_CORE, exact_resistance, predict_exact
from gsparse.linalg.jl import FIRST, jl_resistance
from gsparse.linalg.trees import BATCHES, WIDE, tree_resistance, weight_spread
from gsparse.linalg.uncertainty import student

Method = Literal["auto", "exact", "tree", "jl"]

#: Assumed speed of one CPU core: floating point operations, gathered neighbours and
#: random walk steps per second. Fixed, so that the choice depends on the graph only.
FLOPS, GATHERS, STEPS = 2e10, 3e8, 2e7
#: Seconds per entry to factorise.
SETUP = 5e-7
#: Exact results are preferred up to this many predicted seconds.
PATIENCE = 10.0
#: Large graphs with a larger mean degree are not considered for exact elimination.
DENSE_DEGREE = 16

_LOG = logging.getLogger(__name__)


class ResistanceResult(NamedTuple):
    """Result of :func:`pair_resistance`.

    Attributes:
        resistance: One value per pair ``[M]``, float64.
        method: Method used: ``"exact"``, ``"tree"`` or ``"jl"``.
        error: Estimated root mean square of the relative error over all connected
            pairs; 0 for ``"exact"``.
        solver_error: Bound of the part of ``error`` that is due to the solver. The rest
            is due to sampling.
        std: Standard deviation of each value due to sampling ``[M]``; ``None`` for
            ``"exact"``. For ``"tree"`` it is estimated from a few batches of trees, and
            widened so that two of them cover 95 % of the pairs (Student's t).
        clipped: Fraction of the pairs whose estimate was clipped to 1 / w.
        seconds: Predicted seconds of each method on one core of a fixed speed, if the
            method was ``"auto"``.
    """

    resistance: Tensor
    method: str
    error: float = 0.0
    solver_error: float = 0.0
    std: Tensor | None = None
    clipped: float = 0.0
    seconds: dict[str, float] | None = None


def pair_resistance(
    row: Tensor,
    col: Tensor,
    weight: Tensor | None,
    num_nodes: int,
    *,
    method: Method = "auto",
    seed: int | None = None,
    tolerance: float = 0.05,
) -> ResistanceResult:
    """Compute the effective resistance of pairs in canonical order.

    Example:
        >>> import torch
        >>> from gsparse.linalg import pair_resistance
        >>> row, col = torch.tensor([[0, 0, 1], [1, 2, 2]])
        >>> result = pair_resistance(row, col, None, num_nodes=3)
        >>> result.method, result.resistance
        ('exact', tensor([0.6667, 0.6667, 0.6667], dtype=torch.float64))

    See :func:`effective_resistance` for the methods and their cost.

    Args:
        row: Smaller end point of each pair, sorted by ``(row, col)``, no duplicates.
        col: Larger end points.
        weight: Non-negative conductances, or ``None`` if all are 1.
        num_nodes: Number of nodes.
        method: ``"auto"``, ``"exact"``, ``"tree"`` or ``"jl"``.
        seed: Random seed; ``None`` draws one from torch's generator.
        tolerance: Root mean square of the relative error to aim at with ``"tree"`` and
            ``"jl"``.

    Returns:
        The resistances, on the device of ``row``, and the method used.

    Shapes:
        - **row**, **col**, **weight:** :math:`(M,)`

    Raises:
        ValueError: If ``method`` is unknown, ``tolerance`` is not positive, the pairs
            are not sorted, or a weight is negative or not finite.
    """
    if method not in get_args(Method):
        raise ValueError(f"'method' must be one of {get_args(Method)} (got {method!r})")
    if not tolerance > 0:
        raise ValueError(f"'tolerance' must be positive (got {tolerance})")
    pairs = (
        row.cpu(),
        col.cpu(),
        None if weight is None else weight.detach().cpu(),
        num_nodes,
    )
    seed = draw_seed(seed)
    if method != "auto":
        result = _run(method, pairs, tolerance, seed)
    else:
        seconds = _predict(pairs, tolerance)
        result = _run_first(
            sorted(seconds, key=seconds.__getitem__), pairs, tolerance, seed
        )
        result = result._replace(seconds=seconds)
        _LOG.info(
            "effective resistance of %d pairs by method %r; predicted seconds: %s",
            row.numel(),
            result.method,
            {name: float(f"{value:.2g}") for name, value in seconds.items()},
        )
    std = None if result.std is None else result.std.to(row.device)
    return result._replace(resistance=result.resistance.to(row.device), std=std)


def effective_resistance(
    edge_index: Tensor,
    edge_weight: Tensor | None = None,
    num_nodes: int | None = None,
    *,
    method: Method = "auto",
    seed: int | None = None,
) -> Tensor:
    r"""Compute the effective resistance between the end points of every edge.

    Example:
        In a square, each edge is parallel to three edges in series.

        >>> from gsparse.data import cycle
        >>> from gsparse.linalg import effective_resistance
        >>> effective_resistance(cycle(4).edge_index)[:4]
        tensor([0.7500, 0.7500, 0.7500, 0.7500], dtype=torch.float64)

    Every edge is a conductor of :math:`w` siemens. :math:`R_{uv}` is the potential
    difference that drives a current of one ampere from :math:`u` to :math:`v`,

    .. math::
        R_{uv} = (e_u - e_v)^T L^+ (e_u - e_v), \qquad
        \sum_{uv} w_{uv} R_{uv} = N - c

    for :math:`c` components. The returned value is :math:`R`, not :math:`w R`.

    The methods are

    - ``"exact"``: elimination and inversion, exact to rounding; for sparse graphs and
      for graphs with up to about 15,000 nodes;
    - ``"jl"``: random currents; for dense graphs of any size;
    - ``"tree"``: random spanning trees; for sparse graphs of any size;
    - ``"auto"``: the method of smallest predicted cost, and ``"exact"`` whenever it
      takes a few seconds. If a method fails or contradicts a theorem, the next one is
      used. The choice depends on the graph only and is logged.

    ``"jl"`` and ``"tree"`` aim at a root mean square relative error of 5 %; bridges are
    exact.

    Args:
        edge_index: Edges of an undirected graph, both directions listed.
        edge_weight: Non-negative conductances, or ``None`` if all are 1. The
            conductances of parallel edges add up, and they share one resistance.
        num_nodes: Number of nodes. The default is the largest id plus one.
        method: ``"auto"``, ``"exact"``, ``"tree"`` or ``"jl"``.
        seed: Random seed; ``None`` draws one from torch's generator.

    Returns:
        One value per entry in float64, equal for both directions, 0 for self-loops, and
        infinite if only an edge of weight 0 connects the end points.

    Shapes:
        - **edge_index:** :math:`(2, E)`
        - **edge_weight**, **output:** :math:`(E,)`

    Raises:
        ValueError: If the graph is directed, a weight is negative or not finite, or
            ``method`` is unknown.
    """
    pairs = undirected_pairs(edge_index, num_nodes)
    weight = pair_weight(edge_index, edge_weight, pairs, name="effective resistance")
    result = pair_resistance(
        pairs.row, pairs.col, weight, pairs.num_nodes, method=method, seed=seed
    )
    return spread(pairs, result.resistance)


_Pairs = tuple[Tensor, Tensor, Tensor | None, int]


def _run(method: str, pairs: _Pairs, tolerance: float, seed: int) -> ResistanceResult:
    if method == "exact":
        return ResistanceResult(exact_resistance(*pairs), "exact")
    if method == "jl":
        found = jl_resistance(*pairs, tolerance=tolerance, seed=seed)
        errors = found.error, found.solver_error, found.std
        return ResistanceResult(found.resistance, "jl", *errors, found.clipped)
    drawn = tree_resistance(*pairs, num_trees=_num_trees(pairs, tolerance), seed=seed)
    joined = torch.isfinite(drawn.resistance)
    share = drawn.variance[joined] / drawn.resistance[joined] ** 2
    error = math.sqrt(share.mean()) if share.numel() else 0.0
    std = drawn.variance.sqrt() * student(min(drawn.num_trees, BATCHES))
    return ResistanceResult(drawn.resistance, "tree", error, std=std)


def _run_first(
    methods: list[str], pairs: _Pairs, tolerance: float, seed: int
) -> ResistanceResult:
    """Run the methods in turn until one succeeds; the last one may raise."""
    methods = [*methods, *({"exact"} - set(methods))]
    for method in methods[:-1]:
        try:
            return _run(method, pairs, tolerance, seed)
        except RuntimeError as error:
            _LOG.info("method %r failed: %s", method, error)
    return _run(methods[-1], pairs, tolerance, seed)


def _predict(pairs: _Pairs, tolerance: float) -> dict[str, float]:
    """Predict the seconds of each method, except those that would fail."""
    row, col, weight, num_nodes = pairs
    num_pairs = row.numel()
    degree = 2 * num_pairs / max(num_nodes, 1)
    seconds = {}
    # The sampled fraction of R falls with the degree (measured: 1.3 / degree).
    columns = max(FIRST, 2 * min(1.0, 1.3 / max(degree, 1)) ** 2 / tolerance**2)
    products = 60 + 4 * columns
    seconds["jl"] = (products / GATHERS + SETUP) * 2 * num_pairs
    if weight_spread(weight) <= WIDE:
        walks = _num_trees(pairs, tolerance) * 3 * num_nodes
        seconds["tree"] = walks / STEPS
    if num_nodes <= MAX_CORE or degree <= DENSE_DEGREE:
        cost = predict_exact(row, col, num_nodes)
        exact = cost.flops / FLOPS
        if cost.bytes <= 9 * MAX_CORE**2:
            seconds["exact"] = 0.0 if exact < PATIENCE else exact
    return seconds


def _num_trees(pairs: _Pairs, tolerance: float) -> int:
    """Return the number of trees T, from the relative variance (1 - p) / (p T).

    The leverage p is the mean over all pairs.
    """
    row, _, _, num_nodes = pairs
    return max(
        64, math.ceil(max(row.numel() / max(num_nodes, 1) - 1, 0) / tolerance**2)
    )

"""Effective resistances from random projections."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gsparse.kernels.resistance.laplacian import WIDTH
from gsparse.kernels.resistance.ordering import minimum_degree
from gsparse.linalg.certificates import (
    CertificateError,
    check_cuts,
    check_foster,
    check_trees,
    to_leverage,
)
from gsparse.linalg.elimination import Elimination, SparseCore, peel
from gsparse.linalg.flow_sampler import FlowSampler, Sampled, uncertainty
from gsparse.linalg.laplacian import check_pairs
from gsparse.linalg.pcg import PCG

#: Nodes of at most this degree are eliminated first,
MAX_DEGREE = 16
#: if they make up this share of all.
WORTHWHILE = 0.05
#: Columns drawn before anything is judged from them.
FIRST = 16
#: So few pairs are all solved: small, symmetric graphs deceive a sample.
FEW = 128
#: Columns after which a failing certificate is an error.
MOST = 1024

_Settings = tuple[float, int | None, int, PCG | None]


class JLEstimate(NamedTuple):
    """What random projections found.

    Attributes:
        resistance: One value per pair ``[M]``, float64.
        std: Standard deviation of each by sampling ``[M]``; 0 where nothing was
            sampled, and the solver's error is all there is.
        error: Root mean square of the relative error over all pairs that are joined,
            as estimated from the columns; of it
        solver_error: the part due to the solver, a bound.
        foster: Sum of w R before clipping, over its true value (of the core that was
            left to sample).
        clipped: Share of pairs whose estimate exceeded 1 / w.
        num_columns: Right-hand sides drawn.
        num_iters: Most iterations one of their blocks took.
        num_slow: Directions treated apart, because currents spread slowly in them.
    """

    resistance: Tensor
    std: Tensor
    error: float
    solver_error: float
    foster: float
    clipped: float
    num_columns: int
    num_iters: int
    num_slow: int


def jl_resistance(
    row: Tensor,
    col: Tensor,
    weight: Tensor | None,
    num_nodes: int,
    *,
    tolerance: float = 0.05,
    num_columns: int | None = None,
    seed: int = 0,
    solver: PCG | None = None,
    max_degree: int = MAX_DEGREE,
) -> JLEstimate:
    r"""Estimate the effective resistance of every pair by Johnson-Lindenstrauss
    projections, after `"Graph Sparsification by Effective Resistances"
    <https://arxiv.org/abs/0803.0929>`_.

    With :math:`Q` a matrix of random signs and :math:`X = L^+ B^T W^{1/2} Q`, the mean
    of :math:`(x_u - x_v)^2` over :math:`k` columns has expectation :math:`R_{uv}`, but
    a relative error of :math:`\sqrt{2/k}`. Most of :math:`R_{uv}` is known without any
    sampling: let :math:`y` be the potentials of :math:`u` and :math:`v` for a unit
    current between them while all other nodes are grounded. Then

    .. math::
        R_{uv} = y_u - y_v +
        \mathbb{E} \big(x_u - x_v - y_u (LX)_u - y_v (LX)_v \big)^2,
        \qquad
        y_u - y_v = \frac{d_u + d_v - 2 w}{d_u d_v - w^2},

    an identity, and only its second, small and non-negative term is sampled: 16 columns
    leave errors below 1 % on a dense graph, where the plain mean leaves 35 %.

    That term is large in weakly attached corners and over bottlenecks. So nodes of low
    degree are eliminated exactly beforehand, and bridges are found and exact. For
    bottlenecks, approximate eigenvectors :math:`V` of the smallest eigenvalues, scaled
    to :math:`V^T L V = I`, are taken out of the columns, and what they contribute is
    added without sampling: with :math:`X' = X - V V^T L X`,

    .. math::
        L^+ = V V^T + \mathbb{E} X' X'^T,

    again an identity, whatever :math:`V` is. A Chebyshev filter looks for them, up to
    256; where even more are slow, at least 800 columns are drawn. The few pairs still
    in doubt are solved one by one. Estimates are clipped to :math:`1/w`; below the
    grounded value they cannot fall. The sign of a pair in a column is a hash of seed
    and end points: neither the order of edges nor the number of threads nor the
    instruction set changes a bit.

    Conjugate gradients stop when the error of a column in the energy norm is estimated
    to be below a twentieth of the tolerance, :math:`\epsilon`; by the inequality of
    Cauchy and Schwarz no far part is then off by more than the share
    :math:`2 \epsilon`, whatever bottleneck its pair bridges. They are preconditioned
    by :func:`~gsparse.linalg.approximate_cholesky`, or by the diagonal where the filter
    shows that no eigenvalue of :math:`D^{-1} L` is small. All is in float64: float32
    saves a tenth of the time and does not reach that error behind bottlenecks.

    At last three theorems are checked: Foster's sum, the leverages over the sweep cuts
    of the slowest directions, which sum to 1 or more, and the large leverages against
    a few random spanning trees. Where one fails, more columns are drawn, up to 1024.

    Use it on graphs that are large and well connected. Where degrees are small
    (citations, roads) the sampled part is most of the value, and exact elimination
    or spanning trees cost less. Costs a factorisation, about a microsecond an edge, and
    some ten products with the graph for each eight columns. Memory: about 16 bytes a
    pair, beside up to 50 for the factor.

    Args:
        row: Smaller end point of each pair, sorted by ``(row, col)``.
        col: Larger end points.
        weight: Conductances, non-negative; ``None`` for ones. A pair of weight zero
            still has a resistance, infinite where nothing else joins its ends.
        num_nodes: Number of nodes :math:`N`.
        tolerance: Root mean square of the relative error to aim at; decides the number
            of columns (at least 16), the tolerance of the solver and which pairs
            are solved one by one.
        num_columns: Number of columns instead, rounded up to a multiple of eight.
        seed: Number of the random stream.
        solver: Settings of the solver; by default a tolerance well below the sampling
            error.
        max_degree: Largest degree of a node to eliminate; 0 for none.

    Returns:
        The estimates and what is known about them.

    Shapes:
        - **row**, **col**, **weight**, **resistance:** :math:`(M,)`

    Raises:
        RuntimeError: If the solver does not converge, or a theorem is contradicted.

    Example:
        >>> import torch
        >>> from gsparse.linalg import jl_resistance
        >>> row, col = torch.combinations(torch.arange(200)).t()
        >>> estimate = jl_resistance(row, col, None, num_nodes=200, seed=23981)
        >>> bool((estimate.resistance - 2 / 200).abs().max() < 2e-5)
        True
    """
    if not tolerance > 0:
        raise ValueError(f"'tolerance' must be positive (got {tolerance})")
    if num_columns is not None and num_columns < 1:
        raise ValueError(f"'num_columns' must be at least 1 (got {num_columns})")
    check_pairs(row, col, weight, num_nodes)
    settings: _Settings = (tolerance, num_columns, seed, solver)
    if not _is_worthwhile(row, col, weight, num_nodes, max_degree):
        return _project(row, col, weight, num_nodes, settings)[0]
    net = peel(row, col, weight, num_nodes)
    order, degree = minimum_degree(net.ptr, net.nbr, max_degree, 1.0, 1e10)
    elimination = Elimination(net, order, degree)
    core = elimination.sparse_core()
    size = len(elimination.core_nodes)
    core_row = torch.arange(size, dtype=torch.int32)
    core_row = core_row.repeat_interleave(torch.from_numpy(core.ptr).diff())
    ends = (core_row, torch.from_numpy(core.col), torch.from_numpy(core.conductance))
    estimate, sampler = _project(*ends, size, settings, apart=True)
    resistance = torch.ones(row.numel(), dtype=torch.float64)
    if weight is not None:
        resistance = 1 / weight.cpu().double()
    std, inner = torch.zeros_like(resistance), torch.from_numpy(~net.peeled)
    places = torch.from_numpy(elimination.places(core))
    column = torch.from_numpy(elimination.extend(core, estimate.resistance.numpy()))
    resistance[inner] = torch.cat((column, estimate.resistance))[places]
    if sampler is not None:
        column_std = _extended_std(elimination, core, sampler, column)
        std[inner] = torch.cat((column_std, estimate.std))[places]
    k = estimate.num_columns  # the estimate itself knows its mean square better
    share = math.sqrt(2 / (k + 2)) / uncertainty(k) if k else 0.0
    error = math.hypot(share * _rms(std / resistance), estimate.solver_error)
    return estimate._replace(resistance=resistance, std=std, error=error)


def _extended_std(
    elimination: Elimination, core: SparseCore, sampler: FlowSampler, column: Tensor
) -> Tensor:
    """Standard deviations of eliminated pairs.

    From the spread of the estimates by every eighth column alone these would be too
    uncertain: it is averaged with the one that a mean of as many squares would have.
    """
    if not column.numel():
        return column
    groups = [
        torch.from_numpy(elimination.extend(core, sampler.group(group).numpy()))
        for group in range(WIDTH)
    ]
    variance = torch.stack(groups).var(dim=0) / WIDTH
    fixed = torch.from_numpy(elimination.extend(core, sampler.fixed().numpy()))
    single = (column - fixed) * uncertainty(sampler.num_columns)
    return ((variance + single**2) / 2).sqrt_()


def _rms(x: Tensor) -> float:
    x = x[torch.isfinite(x)]
    return float(x.square().mean().sqrt()) if x.numel() else 0.0


def _is_worthwhile(
    row: Tensor, col: Tensor, weight: Tensor | None, num_nodes: int, max_degree: int
) -> bool:
    """Whether elimination would remove a good share of the nodes."""
    if row.numel() == 0 or (weight is not None and bool((weight == 0).any())):
        return False
    deg = torch.bincount(row, minlength=num_nodes).cpu()
    deg += torch.bincount(col, minlength=num_nodes).cpu()
    return int(((deg > 0) & (deg <= max_degree)).sum()) > WORTHWHILE * num_nodes


def _certify(
    sampler: FlowSampler, found: Sampled, weight: Tensor | None, error: float
) -> None:
    check_foster(found.foster, error)
    own = None if weight is None else weight.cpu().double()
    leverages = to_leverage(own, found.resistance), to_leverage(own, found.std)
    if sampler.slow is not None:
        check_cuts(sampler.L, *leverages, sampler.slow.vectors)
    check_trees(sampler.L, *leverages, sampler.seed)


def _project(
    row: Tensor,
    col: Tensor,
    weight: Tensor | None,
    num_nodes: int,
    settings: _Settings,
    *,
    apart: bool = False,
) -> tuple[JLEstimate, FlowSampler | None]:
    if row.numel() == 0:
        nothing = torch.empty(0, dtype=torch.float64)
        return JLEstimate(nothing, nothing, 0.0, 0.0, 1.0, 0.0, 0, 0, 0), None
    tolerance, num_columns, seed, solver = settings
    sampler = FlowSampler(
        row, col, weight, num_nodes, tolerance, seed, solver, apart=apart
    )
    sampler.add_columns(num_columns or FIRST)
    if num_columns is None and row.numel() <= FEW:
        sampler.solve((~sampler.bridge).nonzero().view(-1))
    else:
        sampler.solve_worst(tolerance)
    if num_columns is None:
        sampling, _ = sampler.errors()
        wanted = math.ceil(FIRST * (sampling / tolerance) ** 2)
        sampler.add_columns(max(wanted, sampler.least))
    while True:
        sampling, solving = sampler.errors()
        found = sampler.finish()
        try:
            _certify(sampler, found, weight, math.hypot(sampling, solving))
            break
        except CertificateError:
            if num_columns is not None or sampler.num_columns >= MOST:
                raise
        sampler.add_columns(2 * sampler.num_columns)
    estimate = JLEstimate(
        resistance=found.resistance,
        std=found.std,
        error=math.hypot(sampling, solving),
        solver_error=solving,
        foster=found.foster,
        clipped=found.clipped,
        num_columns=sampler.num_columns,
        num_iters=sampler.num_iters,
        num_slow=0 if sampler.slow is None else sampler.slow.values.numel(),
    )
    return estimate, sampler

"""Leverages of a graph that is read in blocks, by random projections."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gsparse.edges.row_blocks import PairRows, RowBlocks
from gsparse.kernels.resistance.laplacian import WIDTH
from gsparse.kernels.resistance.streamed import leverages, tally
from gsparse.kernels.threads import run_blocks
from gsparse.linalg.certificates import check_foster
from gsparse.linalg.pair_sums import MemorySums, PairSums
from gsparse.linalg.stream_columns import SOLVED, Columns, Squares
from gsparse.linalg.stream_pieces import Pieces, find_pieces

#: Columns drawn before the error is estimated, and the largest number of columns.
FIRST, MOST = 16, 512


class StreamedLeverage(NamedTuple):
    """Leverages of the pairs of a graph, computed block by block.

    Attributes:
        pieces: The graph without its bridges.
        sums: Sum of the squared far parts of each pair.
        num_columns: Number of random right-hand sides.
        error: Estimated root mean square of the relative error of the leverages that
            are not those of bridges.
        foster: Sum of their estimates, divided by its true value.
    """

    pieces: Pieces
    sums: PairSums
    num_columns: int
    error: float
    foster: float

    def of(self, start: int, row: Tensor, col: Tensor, weight: Tensor | None) -> Tensor:
        """Compute the leverages of consecutive pairs.

        Args:
            start: Number of pairs before them.
            row: Smaller ends.
            col: Larger ends.
            weight: Weights, float64, or None if all are 1.

        Shapes:
            - **row**, **col**, **weight**, **output:** :math:`(n,)`
        """
        out = torch.empty(row.numel(), dtype=torch.float64)
        if row.numel():
            far = self.sums.read(start, start + row.numel())
            own = _array(weight)
            graph = (row.numpy(), col.numpy(), own, self.pieces.inside)
            rest = (self.pieces.strength, far, 1 / max(self.num_columns, 1))
            run_blocks(leverages, 8 * row.numel(), *graph, *rest, out.numpy())
        return out


def pair_leverage(
    row: Tensor,
    col: Tensor,
    weight: Tensor | None,
    num_nodes: int,
    *,
    seed: int,
    tolerance: float = 0.05,
) -> Tensor:
    """Compute the leverages of a graph in memory as :func:`streamed_leverage` does.

    Args:
        row: Smaller end of each pair, sorted by ``(row, col)``.
        col: Larger ends.
        weight: Weights, or None if all are 1.
        num_nodes: Number of nodes.
        seed: Random seed.
        tolerance: See :func:`streamed_leverage`.

    Shapes:
        - **row**, **col**, **weight**, **output:** :math:`(M,)`
    """
    row, col = row.cpu(), col.cpu()
    own = None if weight is None else weight.detach().cpu().double()
    values = None if own is None else own.numpy()
    graph = PairRows(row.numpy(), col.numpy(), values, num_nodes)
    sums = MemorySums(row.numel())
    found = streamed_leverage(graph, sums, seed=seed, tolerance=tolerance)
    return found.of(0, row, col, own)


def streamed_leverage(
    graph: RowBlocks,
    sums: PairSums,
    *,
    seed: int,
    tolerance: float = 0.05,
    columns: Callable[[RowBlocks, Pieces, int], Columns] = Columns,
) -> StreamedLeverage:
    r"""Estimate the leverage :math:`w R` of every pair of a graph on disk.

    The estimator is that of :func:`~gsparse.linalg.jl_resistance`, after `"Graph
    Sparsification by Effective Resistances" <https://arxiv.org/abs/0803.0929>`_: the
    part of :math:`R` that the neighbours of both ends determine is exact, and the rest
    is the mean of the squares of random columns. Bridges are found first and are exact.
    Eight columns at a time are solved by conjugate gradients, and the squares of each
    pair are added to its sum, so that only the vectors of eight columns are in memory.

    The preconditioner is the diagonal. For a residual :math:`r`, the error of a column
    in the energy norm is at most :math:`\|r\|_{D^{-1}} / \sqrt{\lambda}`, where
    :math:`\lambda` is the bound of :func:`find_pieces`; a column is solved when this is
    below 0.005. The columns then hold at every bottleneck, or an error is raised; what
    is left there is the error of sampling. On well-connected graphs (social networks,
    web graphs, citations) this takes 15 to 100 passes over the graph for eight columns.
    Meshes and road networks need thousands and are refused.

    All results are equal in every bit for any size of the blocks and number of threads.

    Args:
        graph: The graph.
        sums: One sum per pair, all 0.
        seed: Random seed.
        tolerance: Root mean square of the relative error to aim at, which determines
            the number of columns: 16 to 512.
        columns: Builds the solver of the random columns from the graph, its pieces and
            the seed.

    Raises:
        ValueError: If ``tolerance`` is not positive.
        RuntimeError: If conjugate gradients do not converge, or the sum of the
            leverages contradicts Foster's theorem.
    """
    if not tolerance > 0:
        raise ValueError(f"'tolerance' must be positive (got {tolerance})")
    pieces = find_pieces(graph)
    found = StreamedLeverage(pieces, sums, 0, 0.0, 1.0)
    if pieces.rank == 0:
        return found
    solver, wanted = columns(graph, pieces, seed), FIRST
    while found.num_columns < wanted:
        batches = range(found.num_columns // WIDTH, math.ceil(wanted / WIDTH))
        for squares in solver.solve(batches):
            found = _add(graph, found, squares)
        if found.num_columns == FIRST:
            more = math.ceil(FIRST * (found.error / tolerance) ** 2)
            wanted = min(max(more, FIRST), MOST)
    check_foster(found.foster, found.error)
    return found


def expected_columns(degree: float, tolerance: float = 0.05) -> int:
    """Predict the number of columns, a multiple of eight, from the mean degree.

    The sampled fraction of R is about 1.3 / degree on random graphs.
    """
    sampled = min(1.0, 1.3 / max(degree, 1.0))
    wanted = min(max(FIRST, 2 * (sampled / tolerance) ** 2), MOST)
    return WIDTH * math.ceil(wanted / WIDTH)


def _add(
    graph: RowBlocks, found: StreamedLeverage, squares: Squares
) -> StreamedLeverage:
    """Add the squares of eight columns."""
    pieces, k = found.pieces, found.num_columns + WIDTH
    totals, start = np.zeros(3), 0
    for block in graph.passes("adding squares"):
        added = found.sums.add(start, squares(block, start))
        tally(*block, pieces.inside, pieces.strength, added, 1 / k, totals)
        start += added.size
    total, sampled, count = totals.tolist()
    sampling = math.sqrt(2 / (k + 2) * sampled / count)
    return found._replace(
        num_columns=k,
        error=math.hypot(sampling, 2 * SOLVED),
        foster=total / pieces.rank,
    )


def _array(weight: Tensor | None) -> NDArray[np.float64]:
    return np.empty(0) if weight is None else weight.numpy()

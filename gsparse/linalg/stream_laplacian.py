"""Laplacian of a graph that is read in blocks."""

import numpy as np
import torch
from torch import Tensor

from gsparse.edges.row_blocks import RowBlocks
from gsparse.kernels.resistance.laplacian import WIDTH
from gsparse.kernels.resistance.streamed import (
    add_flow,
    add_to_larger,
    add_to_smaller,
    finish_product,
)
from gsparse.kernels.threads import run_blocks
from gsparse.linalg.cholesky import Preconditioner
from gsparse.linalg.pcg import jacobi
from gsparse.linalg.stream_pieces import Pieces


class StreamedLaplacian:
    """Laplacian of a graph without its bridges; every product reads all entries.

    Products are equal in every bit for all sizes of the blocks and numbers of threads.

    Args:
        graph: The graph.
        pieces: Its pieces, from :func:`find_pieces`.
    """

    dtype = torch.float64

    def __init__(self, graph: RowBlocks, pieces: Pieces) -> None:
        self._graph, self._pieces = graph, pieces
        self.num_nodes, self.num_pairs = graph.num_nodes, graph.num_pairs
        self.diagonal = torch.from_numpy(pieces.strength)
        self._products = 0

    @property
    def component(self) -> Tensor:
        """Piece of each node ``[N]``, named by its top node."""
        return torch.from_numpy(self._pieces.piece)

    @property
    def num_components(self) -> int:
        """Number of pieces."""
        return self.num_nodes - self._pieces.rank

    def matmul(self, X: Tensor) -> Tensor:
        """Multiply eight vectors by the Laplacian in one pass.

        Shapes:
            - **X**, **output:** :math:`(N, 8)`
        """
        out = X.new_zeros(X.shape)  # torch aligns rows to cache lines
        x, y = X.numpy(), out.numpy()
        ranges = torch.get_num_threads()
        self._products += 1
        name = f"solving, product {self._products}"
        for block in self._graph.passes(name):
            work = block.col.size * WIDTH
            arrays = (*block, self._pieces.inside, x, y)
            run_blocks(add_to_larger, work, ranges, *arrays)
            run_blocks(add_to_smaller, work, *arrays)
        run_blocks(finish_product, X.numel(), self._pieces.strength, x, y)
        return out

    def preconditioner(self) -> Preconditioner:
        """Return a function that divides by the diagonal."""
        return jacobi(self)

    def random_flow(self, seed: int) -> Tensor:
        """Draw eight random currents, one sign per pair and column, in one pass.

        Shapes:
            - **output:** :math:`(N, 8)`
        """
        out, stream = (
            torch.zeros(self.num_nodes, WIDTH, dtype=self.dtype),
            np.uint64(seed),
        )
        for block in self._graph.passes("drawing"):
            add_flow(*block, self._pieces.inside, stream, out.numpy())
        return out

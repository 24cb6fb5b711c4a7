"""Random columns of a streamed graph, eight at a time, kept in files."""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gsparse.edges.row_blocks import RowBlock, RowBlocks
from gsparse.kernels.resistance.laplacian import WIDTH
from gsparse.kernels.resistance.streamed import far_squares
from gsparse.kernels.threads import run_blocks
from gsparse.linalg.iteration import Goal, PCGState, iterate, norm
from gsparse.linalg.stream_laplacian import StreamedLaplacian
from gsparse.linalg.stream_pieces import Pieces

#: Error of a column in the energy norm. It changes a far part by at most twice as much.
SOLVED = 0.005
#: Largest number of products with the graph for eight columns.
PRODUCTS = 1000
EPS = float(np.finfo(np.float64).eps)

Values = NDArray[np.float64]
Squares = Callable[[RowBlock, int], Values]
"""Return the squared far parts, summed over eight columns, of the pairs of a block, and
take the number of pairs before it."""


class Columns:
    """Draw and solve batches of eight random columns.

    Args:
        graph: The graph.
        pieces: Its pieces.
        seed: Random seed.
    """

    def __init__(self, graph: RowBlocks, pieces: Pieces, seed: int) -> None:
        self._graph, self._pieces, self._seed = graph, pieces, seed
        self._L = StreamedLaplacian(graph, pieces)

    def solve(self, batches: range) -> Iterator[Squares]:
        """Yield the squares of each batch."""
        for batch in batches:
            yield self._squares(batch)

    def _squares(self, batch: int) -> Squares:
        B = self._L.random_flow(_stream(self._seed, batch))
        X = solve_columns(self._L, B, self._pieces.gap)
        vectors = (self._pieces.inside, self._pieces.strength, X.numpy(), B.numpy())

        def squares(block: RowBlock, start: int) -> Values:
            far = np.empty(block.col.size)
            run_blocks(far_squares, far.size * WIDTH, *block, *vectors, far)
            return far[far >= 0]  # without self-loops

        return squares


class Split(Protocol):
    """Protocol of processes that share the batches; the first one leads."""

    def open(self, folder: Path, seed: int) -> None:
        """Tell the others where the files are, and the seed."""

    def share(self, batches: range) -> range:
        """Tell the others which batches are needed, and return one's own share."""

    def wait(self, failure: Exception | None) -> None:
        """Wait until all have done their shares, and raise the failure of any."""


class Alone:
    """A single process."""

    def open(self, folder: Path, seed: int) -> None:
        """Do nothing."""

    def share(self, batches: range) -> range:
        """Return all batches."""
        return batches

    def wait(self, failure: Exception | None) -> None:
        """Raise the failure, if there is one."""
        if failure is not None:
            raise failure


class StoredColumns(Columns):
    """Solved batches in files.

    Args:
        graph: The graph.
        pieces: Its pieces.
        seed: Random seed.
        folder: Folder for the files: 8 bytes for each pair and batch.
        split: Processes that share the batches.
    """

    def __init__(
        self,
        graph: RowBlocks,
        pieces: Pieces,
        seed: int,
        folder: Path,
        split: Split | None = None,
    ) -> None:
        super().__init__(graph, pieces, seed)
        self._folder, self._split = folder, Alone() if split is None else split

    def solve(self, batches: range) -> Iterator[Squares]:
        """Solve what is not in files yet, and yield the squares of each batch."""
        own, failure = self._split.share(batches), None
        try:
            self.store(own)
        except Exception as error:  # the others wait for the end of this share
            failure = error
        self._split.wait(failure)
        for batch in batches:
            yield self._stored(batch)

    def store(self, batches: range) -> None:
        """Write the squares of batches to files, where there are none yet."""
        for batch in batches:
            path = self._path(batch)
            size = path.stat().st_size if path.exists() else -1
            if size != 8 * self._graph.num_pairs:
                self._write(batch, path)

    def _write(self, batch: int, path: Path) -> None:
        squares, start = self._squares(batch), 0
        # A process of a job that was killed may still be writing the same batch.
        part = path.with_name(f"{path.name}.{uuid4().hex}.part")
        with part.open("xb") as file:
            for block in self._graph.passes("storing squares"):
                values = squares(block, start)
                values.astype("<f8", copy=False).tofile(file)
                start += values.size
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)

    def _stored(self, batch: int) -> Squares:
        path = self._path(batch)

        def squares(block: RowBlock, start: int) -> Values:
            rows = np.arange(block.first, block.first + block.ptr.size - 1)
            count = block.col.size
            if block.col.size:
                row = np.repeat(rows, np.diff(block.ptr))
                count -= int((row == block.col).sum())
            found = np.fromfile(path, "<f8", count, offset=8 * start)
            if found.size != count:
                raise ValueError(f"{path} is truncated; remove its folder")
            return found

        return squares

    def _path(self, batch: int) -> Path:
        return self._folder / f"squares-{batch}"


def claim(folder: Path, about: dict[str, Any]) -> Path:
    """Make a subfolder for the files of one purpose, and remove everything else.

    Its name is a checksum of the purpose, so that a process that is left over from a
    job for another purpose does not write into it.

    Args:
        folder: Folder that may not exist yet.
        about: Purpose of the files.
    """
    text = json.dumps(about, sort_keys=True)
    own = folder / hashlib.sha256(text.encode()).hexdigest()
    own.mkdir(parents=True, exist_ok=True)
    for path in [*folder.iterdir(), *own.glob("*.part")]:
        if path.is_dir() and path != own:
            shutil.rmtree(path, ignore_errors=True)
        elif path != own:
            path.unlink(missing_ok=True)
    return own


def solve_columns(L: StreamedLaplacian, B: Tensor, gap: float) -> Tensor:
    """Return potentials whose error in the energy norm is at most ``SOLVED``.

    The bound of the error includes the rounding of the right-hand sides and of the
    product, which the residual does not show: a weight that is lost beside weights
    :math:`10^{16}` times as large leaves a residual of 0.

    Raises:
        RuntimeError: If conjugate gradients do not converge.
    """
    rounding = EPS * math.sqrt(2 * L.num_pairs)
    if not rounding <= SOLVED * math.sqrt(gap):
        raise RuntimeError(_too_far(rounding, gap, 0))
    precondition = L.preconditioner()
    size = norm(B, precondition(B))
    state = PCGState(L, precondition, gap)
    goal = Goal(torch.zeros_like(size), SOLVED, size, torch.zeros_like(size))
    step = iterate(state, B, goal, PRODUCTS)
    products, X = step.num_iters + 1, step.x
    del step
    R = B - L.matmul(X)
    error = norm(R, precondition(R))
    error += EPS * norm(X, torch.mul(X, L.diagonal[:, None], out=R))
    most = float(error.max()) + rounding
    if not most <= 2 * SOLVED * math.sqrt(gap):
        raise RuntimeError(_too_far(most, gap, products))
    return X


def _too_far(error: float, gap: float, products: int) -> str:
    bound = error / math.sqrt(gap) if gap > 0 else math.inf
    return (
        f"conjugate gradients must come within {SOLVED:g} of the solution in the "
        f"energy norm (got {bound:.2g} after {products} products with the graph): "
        "the graph has strong bottlenecks or very different weights; use "
        "EffectiveResistance(method='exact'), 'tree' or 'jl' in memory, or DSpar"
    )


def _stream(seed: int, batch: int) -> int:
    """Return a 64-bit seed for the hash of each batch."""
    golden = 0x9E3779B97F4A7C15
    return (seed * 0xD1342543DE82EF95 + (batch + 1) * golden) % 2**64

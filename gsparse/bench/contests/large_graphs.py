"""Random graphs of any size in blocks."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

BLOCK = 1 << 20  # edges of a block
STEP = 2_654_435_761  # a prime above every number of nodes used here


def chung_lu_blocks(num_nodes: int, num_pairs: int, seed: int) -> Iterator[Tensor]:
    r"""Draw blocks of the edges of a Chung-Lu graph.

    The expected degree of the i-th node is proportional to :math:`1 / \sqrt{i}`, so the
    degrees have a power law with exponent 3. Both ends are drawn by the inverse of
    their distribution, :math:`i = \lfloor N u^2 \rfloor`, and the nodes are numbered in
    a scattered order. Self-loops are left out, and repeated edges are not.

    Args:
        num_nodes: Number of nodes :math:`N`.
        num_pairs: Number of edges to draw.
        seed: Random seed.

    Shapes:
        - **yields:** :math:`(2, n)`
    """
    generator = np.random.Generator(np.random.Philox(seed))
    for start in range(0, num_pairs, BLOCK):
        size = min(BLOCK, num_pairs - start)
        drawn = (num_nodes * generator.random((2, size)) ** 2).astype(np.int64)
        block = drawn * STEP % num_nodes
        yield torch.from_numpy(block[:, block[0] != block[1]])

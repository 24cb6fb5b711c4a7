"""Compile the kernels that most models use, before the first training."""

from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data import planted_partition
from gsparse.linalg import effective_resistance
from gsparse.nn import FastGATConv, FastGATv2Conv, FastGCNConv, FastSAGEConv
from gsparse.nn.seeded import seeded
from gsparse.train import sparse_features

SHAPES = {
    FastGATConv: ((8, 8), (4, 16), (1, 64), (1, 7)),
    FastGATv2Conv: ((8, 8), (1, 7)),
}
"""Heads and channels of attention layers; the last serves every other width."""


def warm_up() -> Iterator[tuple[str, float]]:
    """Compile kernels for the CPU, and keep the machine code on disk.

    A kernel is otherwise compiled at its first call, which takes 5 to 6 seconds for an
    attention layer on an idle core. The machine code is kept beside the package, or in
    ``$NUMBA_CACHE_DIR``, so that one call serves all later processes: one to two
    minutes when an image is built, and a second afterwards. Random numbers that are
    drawn later stay the same.

    Yields:
        What was compiled, and the seconds.

    Example:
        >>> from gsparse.deploy import warm_up
        >>> next(warm_up())[0]
        'FastGATConv, 8 x 8'
    """
    data = planted_partition(500)
    for name, step in _steps(data):
        start = perf_counter()
        with seeded(0):
            step()
        yield name, perf_counter() - start


def _steps(data: Data) -> Iterator[tuple[str, Callable[[], object]]]:
    num_features = data.x.size(1)
    for kind, shapes in SHAPES.items():
        for heads, channels in shapes:
            layer = partial(kind, num_features, channels, heads, dropout=0.5)
            name = f"{kind.__name__}, {heads} x {channels}"
            yield name, partial(_train, layer, data)
    for plain in (FastGCNConv, FastSAGEConv):
        yield plain.__name__, partial(_train, partial(plain, num_features, 16), data)
    yield "sparse features", partial(_sparse, data.x)
    yield "effective resistance", partial(effective_resistance, data.edge_index)


def _train(make: Callable[[], torch.nn.Module], data: Data) -> None:
    """Run a layer forwards and backwards."""
    make()(data.x, data.edge_index).sum().backward()


def _sparse(x: Tensor) -> None:
    weight = torch.zeros(x.size(1), 8, requires_grad=True)
    (torch.dropout(sparse_features(x), 0.5, True) @ weight).sum().backward()

"""Measure a training epoch of a GAT: as PyG runs it, and after each of our levers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout, elu
from torch_geometric.data import Data
from torch_geometric.nn import GATConv

from gsparse.deploy.graph_facts import zero_share
from gsparse.deploy.peak_memory import available_bytes, peak, reset_peak
from gsparse.nn import accelerate
from gsparse.train import FitConfig, SparseFeatures, seeded, sparse_features
from gsparse.train.fit_config import make_optimizer
from gsparse.transforms import RandomEdge

HEADS, CHANNELS, CLASSES, FEATURES = 8, 8, 8, 64
DROPOUT = 0.6
COPIES = 6
"""Edge-sized tensors [E, heads, channels] that PyG's layer holds at its peak."""
EPOCHS, MOST_SECONDS, SLOW_SECONDS = 15, 5.0, 1.5
MOSTLY_ZERO = 0.75
SPARSITY = 0.8

PYG = "PyG's GATConv"
FUSED = "+ gsparse.accelerate"
SPARSE = "+ gsparse.sparse_features"
FEWER = "+ 80 % of the edges removed"


@dataclass(frozen=True)
class EpochCost:
    """Time and memory of a training epoch.

    Args:
        name: What was changed last; each entry keeps the changes before it.
        seconds: Median time of an epoch; None if it was skipped.
        num_bytes: Rise of the memory during an epoch, above data and model; None if
            this system does not tell it.
        skipped: Why nothing was measured.
    """

    name: str
    seconds: float | None
    num_bytes: int | None = None
    skipped: str | None = None


class _Case(NamedTuple):
    """A graph, its features, and a change of the model.

    ``thin`` are features with which an epoch is quick and compiles the same kernels;
    ``needs`` is an estimate of the bytes of an epoch.
    """

    name: str
    x: Callable[[], Tensor]
    thin: Tensor
    edge_index: Tensor
    change: Callable[[nn.Module], nn.Module]
    needs: float


class PlainGAT(nn.Module):
    """Two layers of PyG's ``GATConv``: eight heads of eight, then one head.

    Shapes:
        - **x:** :math:`(N, F)`, **edge_index:** :math:`(2, E)`
        - **output:** :math:`(N, C)`
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        drop = {"dropout": DROPOUT}
        self.first = GATConv(in_channels, CHANNELS, heads=HEADS, **drop)
        self.second = GATConv(HEADS * CHANNELS, out_channels, concat=False, **drop)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = dropout(x, DROPOUT, self.training)
        x = elu(self.first(x, edge_index))
        return self.second(dropout(x, DROPOUT, self.training), edge_index)


def epoch_costs(
    data: Data, *, seed: int = 0, memory: int | None = None
) -> tuple[EpochCost, ...]:
    """Measure an epoch of a two-layer GAT with each lever added in turn.

    The levers are the fused layers, sparse features if at least 75 % of the features
    are zeros, and 80 % of the edges removed. Kernels are compiled before. The memory is
    that of the first epoch. The time is the median of up to 15 further epochs, in which
    the cases take turns; a case whose first epoch takes longer than 1.5 s has no other.
    An epoch that would need more memory than is available is skipped. Without features,
    64 random ones are used; without classes, eight outputs.

    Args:
        data: The graph.
        seed: Random seed of the model and of the cut.
        memory: Available bytes; the default asks the system.
    """
    memory = available_bytes() if memory is None else memory
    target = _target(data)
    with seeded(seed):
        runs = [_run(case, target, memory) for case in _cases(data, seed)]
        turns = [(it.step, it.taken) for it in runs if it.step is not None]
        start = perf_counter()
        for _ in range(EPOCHS):
            for step, taken in turns:
                taken.append(_seconds(step))
            if perf_counter() - start > MOST_SECONDS:
                break
    return tuple(run.cost() for run in runs)


def pyg_bytes(num_nodes: int, num_edges: int, num_features: int) -> float:
    """Estimate the memory of an epoch of PyG's layers on dense features.

    Example:
        >>> from gsparse.deploy.epoch_cost import pyg_bytes
        >>> pyg_bytes(num_nodes=1_000_000, num_edges=20_000_000, num_features=100) / 1e9
        33.456
    """
    edges = 4.0 * COPIES * (num_edges + num_nodes) * HEADS * CHANNELS
    return edges + _dense_bytes(num_nodes, num_features)


def _dense_bytes(num_nodes: int, num_features: int) -> float:
    """Return the bytes of dense features, their copy and their mask in dropout."""
    return 4.0 * 3 * num_nodes * num_features


def _cases(data: Data, seed: int) -> list[_Case]:
    x, edges, n = _features(data, seed), data.edge_index, data.num_nodes

    def dense() -> Tensor:
        return x.to_dense() if isinstance(x, SparseFeatures) else x

    size, thin = _dense_bytes(n, x.size(1)), torch.ones(n, 1)
    most = pyg_bytes(n, edges.size(1), x.size(1))
    cases = [
        _Case(PYG, dense, thin, edges, nn.Module.train, most),
        _Case(FUSED, dense, thin, edges, accelerate, size),
    ]
    last = cases[-1]
    if zero_share(x) >= MOSTLY_ZERO:
        stored = sparse_features(x, threshold=1.0)
        last = _Case(SPARSE, lambda: stored, stored, edges, accelerate, 0.0)
        cases.append(last)
    plain = Data(edge_index=edges, num_nodes=n)
    cut = RandomEdge(sparsity=SPARSITY, seed=seed)(plain).edge_index
    return [*cases, last._replace(name=FEWER, edge_index=cut)]


def _features(data: Data, seed: int) -> Tensor:
    x = data.get("x")
    if x is None:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(data.num_nodes, FEATURES, generator=generator)
    return sparse_features(x) if x.layout == torch.sparse_csr else x


def _target(data: Data) -> Tensor:
    """Return one class per node: the labels, or zeros up to the last of them."""
    y = data.get("y")
    if y is not None and y.dim() == 1 and not y.is_floating_point():
        return y.long().clamp(min=0)
    target = torch.zeros(data.num_nodes, dtype=torch.long)
    target[-1] = (CLASSES if y is None or y.dim() == 1 else y.size(1)) - 1
    return target


@dataclass
class _Run:
    """Measurements of a case; ``step`` is None if there is no further epoch."""

    name: str
    step: Callable[[], None] | None = None
    taken: list[float] = field(default_factory=list)
    num_bytes: int | None = None
    skipped: str | None = None

    def cost(self) -> EpochCost:
        seconds = median(self.taken) if self.taken else None
        return EpochCost(self.name, seconds, self.num_bytes, self.skipped)


def _run(case: _Case, target: Tensor, memory: int | None) -> _Run:
    """Compile, and run the first epoch."""
    if memory is not None and case.needs > memory:
        why = f"needs about {case.needs / 1e9:.3g} GB, {memory / 1e9:.3g} are free"
        return _Run(case.name, skipped=why)
    num_outputs = max(int(target.max()) + 1, 2)

    def step(x: Tensor) -> _Step:
        model = case.change(PlainGAT(x.size(1), num_outputs))
        return _Step(model, (x, case.edge_index), target)

    step(case.thin)()
    epoch = step(case.x())
    first, num_bytes = _seconds_and_bytes(epoch)
    if first > SLOW_SECONDS:
        return _Run(case.name, None, [first], num_bytes)
    return _Run(case.name, epoch, [], num_bytes)


class _Step:
    """A step of full-batch training."""

    def __init__(
        self, model: nn.Module, inputs: tuple[Tensor, Tensor], target: Tensor
    ) -> None:
        self.model, self.inputs, self.target = model.train(), inputs, target
        self.optimizer = make_optimizer(model, FitConfig())

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        cross_entropy(self.model(*self.inputs), self.target).backward()
        self.optimizer.step()


def _seconds(step: Callable[[], None]) -> float:
    start = perf_counter()
    step()
    return perf_counter() - start


def _seconds_and_bytes(step: Callable[[], None]) -> tuple[float, int | None]:
    cpu = torch.device("cpu")
    try:
        before = reset_peak(cpu)
    except (RuntimeError, OSError):  # a system without a peak, or a read-only /proc
        return _seconds(step), None
    return _seconds(step), peak(cpu) - before

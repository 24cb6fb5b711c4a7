"""What a model costs to run and to store: seconds, bytes of memory, bytes of a file."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any, NamedTuple

import torch
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.fresh_process import ask
from gsparse.bench.experiment.memory import peak, reset_peak
from gsparse.bench.experiment.workspace import load_graphs
from gsparse.data import random_graph
from gsparse.deploy.model_file import save_model
from gsparse.nn import to_sparse
from gsparse.nn.calling import model_arguments
from gsparse.prune import RandomWeight
from gsparse.prune.quantise_weights import quantise_weights
from gsparse.train import SparseFeatures, sparse_features
from gsparse.train.models import build_model
from gsparse.train.recipes import num_classes

ROUNDS = 15
ENOUGH_SECONDS = 10.0
"""Rounds stop early when they have taken so long, but there are three."""

MOST_DENSE = 2**29
"""Bytes of dense features that models are timed on as well."""


class Seconds(NamedTuple):
    """Medians of two models that took turns."""

    first: float
    second: float
    first_cpu: float
    """Of the processor, in all threads: other programs do not count."""
    second_cpu: float

    @property
    def ratio(self) -> float:
        """How many times as fast the second one is, by the clock."""
        return self.first / self.second

    @property
    def cpu_ratio(self) -> float:
        """The same by what the processor did."""
        return self.first_cpu / self.second_cpu


@torch.no_grad()
def take_turns(
    first: Module, second: Module, arguments: tuple[Any, ...], rounds: int = ROUNDS
) -> Seconds:
    """Time inference of two models in one process, in turns.

    A busy machine is so unfair to both. The first round compiles and does not count;
    who begins changes from round to round.

    Args:
        first: Called with the arguments, in evaluation mode.
        second: The same.
        arguments: Of both.
        rounds: Most turns of each.

    Raises:
        ValueError: If there is no round.
    """
    if rounds < 1:
        raise ValueError(f"'rounds' must be at least 1 (got {rounds})")
    models = first.eval(), second.eval()
    clock: tuple[list[float], ...] = ([], [])
    cpu: tuple[list[float], ...] = ([], [])
    began = perf_counter()
    for turn in range(rounds + 1):
        for i in (0, 1) if turn % 2 else (1, 0):
            start = perf_counter(), process_time()
            models[i](*arguments)
            if turn:
                clock[i].append(perf_counter() - start[0])
                cpu[i].append(process_time() - start[1])
        if turn >= 3 and perf_counter() - began > ENOUGH_SECONDS:
            break
    return Seconds(*(median(values) for values in (*clock, *cpu)))


def timings(
    dense: Module, model: Module, arguments: tuple[Any, ...], rounds: int = ROUNDS
) -> dict[str, float]:
    """Seconds of both on features as they are stored and, if others, on dense ones."""
    found = _facts(take_turns(dense, model, arguments, rounds))
    x = arguments[0]
    if isinstance(x, SparseFeatures) and 4 * x.numel() <= MOST_DENSE:
        full = (x.to_dense(), *arguments[1:])
        there = _facts(take_turns(dense, model, full, rounds))
        found |= {f"{key}_dense_x": value for key, value in there.items()}
    return found


def _facts(seconds: Seconds) -> dict[str, float]:
    return {
        "infer_seconds": seconds.second,
        "infer_seconds_before": seconds.first,
        "infer_cpu_seconds": seconds.second_cpu,
        "speedup": seconds.ratio,
        "speedup_cpu": seconds.cpu_ratio,
    }


def file_bytes(model: Module) -> int:
    """Size of the safetensors file of a model."""
    with TemporaryDirectory() as folder:
        return save_model(model, Path(folder) / "model.safetensors")


CONVERSIONS: Mapping[str, Callable[[Module], Module]] = {
    "plain": lambda model: model,
    "sparse": lambda model: to_sparse(model, min_sparsity=0.5),
    "8 bit": lambda model: quantise_weights(model, bits=8),
}
"""How a trained model is stored to be run."""


def infer_peak_bytes(
    config: Config,
    options: Mapping[str, Any],
    conversion: str,
    weight_sparsity: float,
    seed: int,
    root: Path | None = None,
) -> int:
    """How far a forward pass rises above what is resident before, in a fresh process.

    The model there has random weights: bytes depend on its shape only, so a shape is
    measured once in a process. Its own weights are resident before.

    Args:
        config: Data and kind of model.
        options: Of the model's constructor.
        conversion: One of :data:`CONVERSIONS`.
        weight_sparsity: Zeros among the weights, for sparse ones.
        seed: Of the split, which changes nothing.
        root: Folder of the data sets.

    Raises:
        RuntimeError: If the process failed, or the system does not tell a peak.
    """
    place = None if root is None else str(root)
    shape = tuple(sorted(options.items()))
    what = (config.dataset, config.split, config.model, shape, conversion)
    return _measured(*what, round(weight_sparsity, 3), place)


@lru_cache(maxsize=64)
def _measured(*what: Any) -> int:  # noqa: ANN401 (as above)
    return ask(_rise, list(what), "peak bytes could not be measured")


def _rise(request: list[Any]) -> int:
    dataset, split, name, shape, conversion, weight_sparsity, place = request
    config = Config(dataset, split, name, "Dense", 0.0)
    data = load_graphs(config, 0, None if place is None else Path(place)).test
    model = build_model(name, data.x.size(1), num_classes(data.y), **dict(shape)).eval()
    if conversion == "sparse":
        RandomWeight(model, weight_sparsity, targets=r"weight$", seed=37619)
    model = CONVERSIONS[conversion](model).eval()
    device = torch.device("cpu")
    with torch.no_grad():
        model(*model_arguments(_toy(data)))  # compiles, and loads libraries
        arguments = model_arguments(data)
        before = reset_peak(device)
        model(*arguments)
        return peak(device) - before


def _toy(data: Data) -> Data:
    """A small graph with features of the same number and storage."""
    toy = random_graph(num_nodes=60, p=0.2, seed=37217)
    generator = torch.Generator().manual_seed(37217)
    x = torch.rand(60, data.x.size(1), generator=generator)
    stored = isinstance(data.x, SparseFeatures)
    toy.x = sparse_features(x * (x > 0.95)) if stored else x
    toy.edge_weight = (
        None if data.get("edge_weight") is None else torch.ones(toy.num_edges)
    )
    return toy

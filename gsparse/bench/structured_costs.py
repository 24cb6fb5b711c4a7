"""Measure the costs of a model: seconds, bytes of memory, bytes of a file."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any, NamedTuple

import torch
from torch.nn import Module

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.fresh_process import ask
from gsparse.bench.experiment.graphs import load_graphs
from gsparse.bench.experiment.memory import toy_graph
from gsparse.deploy.model_file import save_model
from gsparse.deploy.peak_memory import peak, reset_peak
from gsparse.nn import to_sparse
from gsparse.nn.calling import model_arguments
from gsparse.prune import Pruner, RandomWeight
from gsparse.prune.quantise_weights import quantise_weights
from gsparse.train import SparseFeatures
from gsparse.train.models import build_model
from gsparse.train.recipes import num_classes

ROUNDS = 15
ENOUGH_SECONDS = 10.0
"""Rounds stop after this time, but not before the third."""

MOST_DENSE = 2**29
"""Largest dense feature matrix, in bytes, that models are timed on."""


class Seconds(NamedTuple):
    """Median times of two models that took turns."""

    first: float
    second: float
    first_cpu: float
    """Processor time of all threads; other programs do not count."""
    second_cpu: float

    @property
    def ratio(self) -> float:
        """Speed of the second model relative to the first, by the clock."""
        return self.first / self.second

    @property
    def cpu_ratio(self) -> float:
        """Speed of the second model relative to the first, by processor time."""
        return self.first_cpu / self.second_cpu


@torch.no_grad()
def take_turns(
    first: Module, second: Module, example: tuple[Any, ...], rounds: int = ROUNDS
) -> Seconds:
    """Time the inference of two models that take turns in one process.

    Turns spread the load of other programs over both. The first round compiles and does
    not count; the order alternates.

    Args:
        first: Called with the arguments, in evaluation mode.
        second: The same.
        example: Arguments of both.
        rounds: Maximum number of turns of each.

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
            models[i](*example)
            if turn:
                clock[i].append(perf_counter() - start[0])
                cpu[i].append(process_time() - start[1])
        if turn >= 3 and perf_counter() - began > ENOUGH_SECONDS:
            break
    return Seconds(*(median(values) for values in (*clock, *cpu)))


def timings(
    dense: Module, model: Module, example: tuple[Any, ...], rounds: int = ROUNDS
) -> dict[str, float]:
    """Return the seconds of both models, on features as stored and on dense ones."""
    found = _facts(take_turns(dense, model, example, rounds))
    x = example[0]
    if isinstance(x, SparseFeatures) and 4 * x.numel() <= MOST_DENSE:
        full = (x.to_dense(), *example[1:])
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
    """Return the size of the safetensors file of a model."""
    with TemporaryDirectory() as folder:
        return save_model(model, Path(folder) / "model.safetensors")


CONVERSIONS: Mapping[str, Callable[[Module], Module]] = {
    "plain": lambda model: model,
    "sparse": lambda model: to_sparse(model, min_sparsity=0.5),
    "8 bit": lambda model: quantise_weights(model, bits=8),
}
"""Conversions of a trained model for inference."""


def infer_peak_bytes(
    config: Config,
    options: Mapping[str, Any],
    conversion: str,
    weight_sparsity: float,
    seed: int,
    root: Path | None = None,
) -> int:
    """Return the rise of memory during a forward pass, in a fresh process.

    The model has random weights, as bytes depend on its shape only; so each shape is
    measured once. Its weights are resident before the pass.

    Args:
        config: Dataset, split and kind of model.
        options: Options of the model's constructor.
        conversion: One of :data:`CONVERSIONS`.
        weight_sparsity: Fraction of zeros, for sparse weights.
        seed: Seed of the split; it does not change the result.
        root: Folder of the data sets.

    Raises:
        RuntimeError: If the process failed, or the system reports no peak.
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
        Pruner(
            model,
            RandomWeight(),
            sparsity=weight_sparsity,
            targets=r"weight$",
            seed=37619,
        )
    model = CONVERSIONS[conversion](model).eval()
    device = torch.device("cpu")
    with torch.no_grad():
        model(*model_arguments(toy_graph(data)))  # compiles, and loads libraries
        given = model_arguments(data)
        before = reset_peak(device)
        model(*given)
        return peak(device) - before

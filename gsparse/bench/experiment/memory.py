"""Measure the peak memory of training and inference in processes of their own."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.fresh_process import ask
from gsparse.bench.experiment.protocol import Trial, prepare
from gsparse.bench.experiment.workspace import Workspace
from gsparse.data import random_graph
from gsparse.deploy.peak_memory import peak, reset_peak
from gsparse.train import SparseFeatures, fit

EPOCHS = 5
WHAT = ("train", "infer")


def peak_bytes(config: Config, seed: int, root: Path | None = None) -> dict[str, int]:
    """Measure the rise of memory during training and during inference.

    Each is measured in a fresh Python process, which loads the data, removes the
    edges, builds the model, warms the libraries up on a toy graph, and gives freed
    memory back; then its peak resident set is reset, and read again after a forward
    pass or after five epochs. What the layers build from the graph on first sight is
    part of it. On CUDA the peak of torch's allocator is taken in the same way.

    Args:
        config: What to run.
        seed: Seed of the split and of the sparsifier.
        root: Folder of the data sets.

    Returns:
        ``train_peak_bytes`` and ``infer_peak_bytes``.

    Raises:
        RuntimeError: The process failed, or this system does not tell a peak (it needs
            Linux, or CUDA); carries its last line.
    """
    request = {
        "config": asdict(config),
        "seed": seed,
        "root": None if root is None else str(root),
    }
    return {
        f"{what}_peak_bytes": ask(
            _rise_of_run, request | {"what": what}, "peak bytes could not be measured"
        )
        for what in WHAT
    }


def _rise_of_run(request: dict[str, Any]) -> int:
    root = None if request["root"] is None else Path(request["root"])
    config = Config(**request["config"])
    trial = prepare(config, request["seed"], Workspace(root))
    return rise(trial, request["what"], torch.device(config.device))


def rise(trial: Trial, what: str, device: torch.device) -> int:
    """Return the rise of this process's memory in five epochs or a forward pass."""
    _warm_up(trial)
    before = reset_peak(device)
    if what == "train":
        few = replace(trial.fit_config, epochs=EPOCHS)
        fit(trial.model, trial.fit_data, config=few)
    else:
        trial.model.eval()
        with torch.inference_mode():
            trial.model(*trial.arguments())
    return peak(device) - before


def _warm_up(trial: Trial) -> None:
    """Compile, start threads and load libraries, on a toy graph of the same kind."""
    like = trial.fit_data
    data = toy_graph(like)
    data.y = torch.arange(60) % (int(like.y.max()) + 1)
    data.train_mask = data.val_mask = torch.ones(60, dtype=torch.bool)
    data = data.to(like.edge_index.device)
    fit(trial.recipe.build(data, 0), data, config=replace(trial.fit_config, epochs=3))


def toy_graph(like: Data) -> Data:
    """Return a small graph with as many features, as sparse where they are."""
    data = random_graph(num_nodes=60, p=0.2, seed=37217)
    generator = torch.Generator().manual_seed(37217)
    data.x = torch.rand(60, like.x.size(1), generator=generator)
    if isinstance(like.x, SparseFeatures):
        data.x = data.x * (data.x > 0.95)  # stored sparse by `prepare`
    if like.get("edge_weight") is not None:
        data.edge_weight = torch.ones(data.num_edges)
    return data

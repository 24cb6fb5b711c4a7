"""Peak memory of scoring a graph by effective resistance, in a fresh process."""

from pathlib import Path
from typing import Any

import torch

from gsparse.bench.contests.resistance_contenders import make_graph
from gsparse.bench.experiment.fresh_process import ask
from gsparse.bench.experiment.memory import peak, reset_peak
from gsparse.bench.tables.measurement import measurement
from gsparse.data import random_graph
from gsparse.transforms import EffectiveResistance


def peak_row(name: str, root: Path | None, *, quick: bool = False) -> dict[str, Any]:
    """Score a graph in a new process and say how far its memory rose.

    The process makes the graph, compiles the kernels on a small one, gives freed
    memory back, resets its peak, and scores and cuts the graph.

    Args:
        name: The graph.
        root: Folder of the data sets.
        quick: The small Chung-Lu graph.

    Returns:
        A row with ``peak_bytes``, ``edge_index_bytes`` and their ratio.

    Raises:
        RuntimeError: If the process failed; carries its last line.
    """
    request = {
        "name": name,
        "root": None if root is None else str(root),
        "quick": quick,
    }
    found = ask(_peak_of_scoring, request, f"scoring {name} failed")
    return measurement("resistance", name, "memory", {"quick": quick}, **found)


def _peak_of_scoring(request: dict[str, Any]) -> dict[str, Any]:
    root = None if request["root"] is None else Path(request["root"])
    data = make_graph(request["name"], root, quick=request["quick"])
    for method in ("exact", "tree", "jl"):
        toy = random_graph(num_nodes=300, p=0.2, seed=37217)
        EffectiveResistance(sparsity=0.5, method=method, seed=1)(toy)
    cpu = torch.device("cpu")
    size = data.edge_index.numel() * data.edge_index.element_size()
    transform = EffectiveResistance(sparsity=0.5, seed=1)
    before = reset_peak(cpu)
    score = transform.score(data)
    scored = peak(cpu) - before
    transform.cut(data, score)
    found = peak(cpu) - before
    return {
        "edge_index_bytes": size,
        "score_peak_bytes": scored,
        "peak_bytes": found,
        "peak_ratio": found / size,
    }

"""A graph file in, a sparser graph file out."""

from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch_geometric.data import Data
from torch_geometric.utils import is_undirected

from gsparse.bench.experiment.methods import make_sparsifier
from gsparse.data import read_graph, write_graph
from gsparse.edges import undirected_pairs


def sparsify_file(
    source: Path,
    target: Path,
    method: str,
    *,
    sparsity: float | None = None,
    epsilon: float | None = None,
    undirected: bool = True,
    seed: int | None = 0,
) -> dict[str, Any]:
    """Read a graph, remove edges, and write it, at once or not at all.

    Args:
        source: ``.pt``, ``.npz`` or a list of edges, see
            :func:`gsparse.data.read_graph`.
        target: Where to; the suffix decides the format.
        method: Class name of a sparsifier.
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        epsilon: The knob of the papers, for methods that have it.
        undirected: What the graph is claimed to be. An undirected graph must list both
            directions of every edge; a directed one needs a method that takes it.
        seed: Of the random draws.

    Returns:
        What was done, as one flat record.

    Raises:
        ValueError: Unknown method or format, a graph that is not what it is claimed to
            be, or settings the method does not take. Nothing has been written then.
    """
    if sparsity is None and epsilon is None:
        raise ValueError("give --sparsity, or --epsilon where the method has it")
    transform = make_sparsifier(method, sparsity=sparsity, epsilon=epsilon, seed=seed)
    if not undirected and transform.needs_undirected:
        raise ValueError(f"{method} needs an undirected graph (got --directed)")
    data = read_graph(source)
    if undirected and not is_undirected(data.edge_index, num_nodes=data.num_nodes):
        raise ValueError(
            f"{source} must list both directions of every edge of an undirected graph"
            " (it does not); say --directed if it is directed"
        )
    start = perf_counter()
    with torch.no_grad():
        out = transform(data)
    taken = perf_counter() - start
    write_graph(out, target)
    return {
        "method": repr(transform),
        "num_nodes": out.num_nodes,
        "num_pairs_before": _num_pairs(data),
        "num_pairs_after": _num_pairs(out),
        "seconds": taken,
        "output": str(target),
    }


def _num_pairs(data: Data) -> int:
    return undirected_pairs(data.edge_index, data.num_nodes).row.numel()

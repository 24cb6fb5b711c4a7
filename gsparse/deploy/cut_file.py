"""Sparsify the graph in a file."""

from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch_geometric.data import Data

from gsparse.data.io import check_target, graph_suffix, writing
from gsparse.data.node_labels import Labels, label_path, label_table
from gsparse.data.places import replacing
from gsparse.deploy.stated_graph import read_stated_graph
from gsparse.edges import undirected_pairs
from gsparse.transforms.by_name import make_sparsifier


def sparsify_file(
    source: Path,
    target: Path,
    method: str,
    *,
    sparsity: float | None = None,
    epsilon: float | None = None,
    undirected: bool = True,
    relabel: bool = False,
    symmetrize: bool = False,
    seed: int | None = 0,
) -> dict[str, Any]:
    """Read a graph, remove edges, and write the result; nothing is written on an error.

    Args:
        source: A graph in one of the formats of :func:`gsparse.data.read_graph`.
        target: Path of the output; the suffix decides the format.
        method: Class name of a sparsifier.
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        epsilon: Spectral tolerance, for methods that support it.
        undirected: Whether the graph is undirected. An undirected graph must list both
            directions of every edge; a directed one needs a method that supports it.
        relabel: Whether nodes may have any ids. The output numbers them from 0 and the
            old ids are written to a second file, ``cut.nodes.csv`` for ``cut.txt``.
        symmetrize: Whether to add the missing reverse of every edge.
        seed: Random seed.

    Returns:
        A flat record of the result.

    Raises:
        ValueError: If the method or format is unknown, the graph is not of the given
            kind, or the method does not support the settings.
        FileNotFoundError: If the file, or the folder of the output, does not exist.
    """
    _check_paths(source, target, relabel)
    if sparsity is None and epsilon is None:
        raise ValueError("give --sparsity, or --epsilon if the method supports it")
    transform = make_sparsifier(method, sparsity=sparsity, epsilon=epsilon, seed=seed)
    if not undirected and transform.needs_undirected:
        raise ValueError(f"{method} needs an undirected graph (got --directed)")
    data = read_stated_graph(
        source, undirected=undirected, relabel=relabel, symmetrize=symmetrize
    )
    labels = data.pop("node_label") if relabel else None
    start = perf_counter()
    with torch.no_grad():
        out = transform(data)
    taken = perf_counter() - start
    _write(out, labels, target)
    record = {
        "method": repr(transform),
        "num_nodes": out.num_nodes,
        "num_pairs_before": _num_pairs(data),
        "num_pairs_after": _num_pairs(out),
        "num_edges_before": _num_edges(data),
        "num_edges_after": _num_edges(out),
        "seconds": taken,
        "output": str(target),
    }
    return record | ({"labels": str(label_path(target))} if relabel else {})


def _check_paths(source: Path, target: Path, relabel: bool) -> None:
    """Check paths before any work is done."""
    graph_suffix(source)
    graph_suffix(target)
    written = [target, label_path(target)] if relabel else [target]
    for path in written:
        if path.resolve() == source.resolve():
            raise ValueError(f"the output must be another file than {source}")
    if source.exists():
        for path in written:
            check_target(path)


def _write(data: Data, labels: Labels | None, target: Path) -> None:
    """Write the graph and the labels of its nodes: both or none."""
    with writing(data, target):
        if labels is not None:
            with replacing(label_path(target)) as temporary:
                temporary.write_text(label_table(labels), encoding="utf-8")


def _num_pairs(data: Data) -> int:
    return undirected_pairs(data.edge_index, data.num_nodes).row.numel()


def _num_edges(data: Data) -> int:
    """Return the number of directed edges without self-loops."""
    row, col = data.edge_index
    return int((row != col).sum())

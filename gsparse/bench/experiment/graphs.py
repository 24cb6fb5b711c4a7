"""The graphs of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch_geometric.data import Data

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.facts import fingerprint
from gsparse.bench.experiment.own_graph import load_own, split_own
from gsparse.edges import undirected_pairs
from gsparse.linalg import spanning_forest
from gsparse.train import SparseFeatures
from gsparse.train.split_graphs import load_split_graphs


class Graphs(NamedTuple):
    """The graph to fit on and the one to test on; the same unless inductive."""

    fit: Data
    test: Data
    features_fingerprint: str
    num_pairs: int
    num_pairs_spanning: int
    """Edges of a spanning forest of the test graph: nodes minus components."""


def load_graphs(
    config: Config,
    seed: int,
    root: Path | None = None,
    given: Mapping[str, Data] | None = None,
) -> Graphs:
    """Load a graph with the split of a run, and count its edges."""
    mark, name = config.graph_fingerprint, config.dataset
    if mark is None:
        found = load_split_graphs(
            name, config.split, seed, root=root, device=config.device
        )
    else:
        whole = (given or {}).get(mark)
        if whole is None and config.graph_file is None:
            raise ValueError(f"the graph {name} is in the memory of another process")
        if whole is None:
            whole = load_own(str(config.graph_file), config.labels_file, mark)
        found = split_own(whole, config.split, seed, config.device)
    fit, test = found
    pairs = undirected_pairs(test.edge_index, test.num_nodes)
    row, col = pairs.row.cpu(), pairs.col.cpu()
    forest = spanning_forest(row, col, torch.ones(len(row)), pairs.num_nodes)
    x = test.x.to_csr() if isinstance(test.x, SparseFeatures) else test.x
    return Graphs(fit, test, fingerprint(x), len(row), int(forest.sum()))

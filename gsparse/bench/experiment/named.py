"""The graphs and models that the words of a grid name."""

import copy
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch_geometric.data import Data

from gsparse.bench.experiment.own_graph import OwnGraph, is_graph_file, open_graph
from gsparse.bench.experiment.own_model import is_own_model
from gsparse.data import card, cycle
from gsparse.train import sparse_features
from gsparse.train.recipes import GRAPH_MODELS
from gsparse.train.split_graphs import resolve_split


class Named(NamedTuple):
    """A graph with its split: a data set with a card, or a graph without one."""

    name: str
    split: str
    own: OwnGraph | None = None

    def keys(self) -> dict[str, str | None]:
        """Return the keys of experiments on a graph without a card."""
        if self.own is None:
            return {}
        return {
            "graph_file": self.own.path,
            "labels_file": self.own.labels,
            "graph_fingerprint": self.own.fingerprint,
        }

    def example(self) -> Data:
        """Return the graph, or a cycle with features like those of a card."""
        if self.own is not None:
            data = copy.copy(self.own.data)
            data.x = sparse_features(data.x)
            return data
        entry, num_nodes = card(self.name), 8
        data = cycle(num_nodes)
        data.x = torch.zeros(num_nodes, entry.num_features)
        data.y = torch.full((num_nodes,), entry.num_classes - 1)
        return data


def find_graphs(
    datasets: Sequence[str | OwnGraph], split: str | None, labels: str | None = None
) -> list[Named]:
    """Return the graphs of names and of paths; files are read.

    Args:
        datasets: Names of data sets, paths of graph files, or graphs in memory.
        split: Kind of split; None for the default of each.
        labels: File with the labels of the only graph file.

    Raises:
        ValueError: If a name is unknown, two files have one name, or ``labels`` belongs
            to no file.
    """
    files = [it for it in datasets if isinstance(it, str) and is_graph_file(it)]
    if labels is not None and len(files) != 1:
        raise ValueError(
            f"'labels' are those of one graph file (got {labels} and {len(files)} "
            "graph files)"
        )
    found = []
    for dataset in datasets:
        if isinstance(dataset, str) and not is_graph_file(dataset):
            found.append(Named(card(dataset).name, resolve_split(dataset, split)))
            continue
        own = open_graph(dataset, labels) if isinstance(dataset, str) else dataset
        found.append(Named(own.name, own.resolve_split(split), own))
    for name, count in Counter(it.name for it in found if it.own is not None).items():
        if count > 1:
            raise ValueError(
                f"graph files of one benchmark must have different names (got {name} "
                f"{count} times); rename one, because rows name the file"
            )
    return found


def check_model(model: str, *, local: bool, hidden_channels: int | None) -> None:
    """Refuse a model that does not exist, or options that it does not have.

    Raises:
        ValueError: If the name is unknown, or a model that is not ours is to have a
            certain width or to be trained on receptive fields.
    """
    if not is_own_model(model):
        if model not in GRAPH_MODELS:
            known = ", ".join(GRAPH_MODELS)
            raise ValueError(
                f"'model' must be one of {known} (got {model}), or module:function for "
                "a model of your own"
            )
        return
    if local or hidden_channels is not None:
        option = "local" if local else "hidden"
        raise ValueError(
            f"{option!r} is for the models {', '.join(GRAPH_MODELS)} (got {model}, "
            "whose layers its function chooses)"
        )

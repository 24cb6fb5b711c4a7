"""Report what sparsification can do for a graph."""

import copy
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data import card, load, split
from gsparse.data.io import FORMATS
from gsparse.data.labelled_graph import labelled_graph
from gsparse.deploy.advice import Advice, advise
from gsparse.deploy.busy_cores import busy_cores
from gsparse.deploy.epoch_cost import EpochCost, epoch_costs
from gsparse.deploy.graph_facts import GraphFacts, graph_facts
from gsparse.deploy.inspect_text import screen
from gsparse.deploy.quick_scores import (
    MOST_WORK,
    QuickScores,
    epoch_work,
    quick_scores,
)
from gsparse.deploy.stated_graph import read_stated_graph
from gsparse.train import sparse_features

SPLIT = "60-20-20"
"""Split of a graph with labels and without masks."""
_FIT_MASKS = ("train_mask", "val_mask")
_MASKS = (*_FIT_MASKS, "test_mask")

logger = logging.getLogger("gsparse.deploy")


@dataclass(frozen=True)
class GraphReport:
    """Facts, measurements and a recommendation; ``str(report)`` is one screen.

    Args:
        name: Name of the data set or of the file.
        facts: Sizes, degrees, components and features.
        scores: Validation scores of short fits; None without labels or features.
        unscored: Why there are no scores.
        costs: Time and memory of an epoch of a GAT, with one lever more in each entry.
        num_threads: Number of threads of the measurements.
        busy: Advice if other processes use the cores; None otherwise.
        advice: The recommendation.
    """

    name: str
    facts: GraphFacts
    scores: QuickScores | None
    unscored: str | None
    costs: tuple[EpochCost, ...]
    num_threads: int
    busy: str | None
    advice: Advice

    def __str__(self) -> str:
        return screen(self)

    def as_record(self) -> dict[str, Any]:
        """Return the report as plain values, ready for JSON."""
        return {
            "name": self.name,
            "facts": asdict(self.facts),
            "scores": None if self.scores is None else self.scores.as_record(),
            "unscored": self.unscored,
            "costs": [asdict(it) for it in self.costs],
            "num_threads": self.num_threads,
            "busy": self.busy,
            "advice": asdict(self.advice),
        }


def inspect_graph(
    data: Data, *, seed: int = 0, metric: str = "accuracy", name: str = "graph"
) -> GraphReport:
    """Report what sparsification can do for a graph, and recommend a method.

    The report has the facts of the graph, validation scores of short fits with all
    edges, with none and with 80 % removed, and the time and memory of an epoch of a
    GAT as PyG runs it and after each lever of gsparse. Scores and recommendation read
    no label of a test node; the homophily counts all labels. A graph with labels and
    without masks gets a random split; nodes with negative labels have none. It takes
    seconds; graphs on which the fits would take minutes get no scores. Models run in
    float32.

    Args:
        data: One graph on the CPU, with ``edge_index``, and if possible ``x``, ``y``
            and masks.
        seed: Random seed of split, fits and cuts.
        metric: ``"accuracy"`` or ``"roc_auc"``.
        name: Title of the report.

    Returns:
        The report.

    Raises:
        TypeError: If ``data`` is not a homogeneous graph.
        ValueError: If the graph has no nodes or no ``edge_index``, is not on the CPU,
            has features that are not a floating-point matrix, or more or fewer labels
            or mask entries than nodes.

    Example:
        >>> from gsparse.data import karate
        >>> from gsparse.deploy import inspect_graph
        >>> report = inspect_graph(karate())
        >>> report.facts.num_edges, report.facts.forest_size
        (78, 33)
        >>> report.unscored
        'the graph has no features'
    """
    _check(data)
    data = _in_float32(data)
    busy = busy_cores()
    facts = graph_facts(data)
    found = _ready(data, facts, seed)
    scores = None
    if isinstance(found, Data):
        scores = quick_scores(
            found,
            spectral=facts.allows_guarantee(0.8),
            undirected=facts.undirected,
            metric=metric,
            seed=seed,
        )
    costs = epoch_costs(data, seed=seed)
    return GraphReport(
        name=name,
        facts=facts,
        scores=scores,
        unscored=None if isinstance(found, Data) else found,
        costs=costs,
        num_threads=torch.get_num_threads(),
        busy=busy,
        advice=advise(facts, scores, costs),
    )


def inspect_source(
    graph: str,
    *,
    labels: Path | None = None,
    split_kind: str | None = None,
    root: Path | None = None,
    seed: int = 0,
    undirected: bool = True,
    relabel: bool = False,
    symmetrize: bool = False,
) -> GraphReport:
    """Report on a data set or on a graph file.

    Args:
        graph: A name of :func:`gsparse.data.names`, or the path of a graph file.
        labels: File of labels of the nodes of a graph file, see
            :func:`gsparse.data.label_files.read_labels`; without features the one-hot
            degrees are the features.
        split_kind: Kind of split; None for the masks of the data set or of the file.
        root: Folder of the data sets.
        seed: Random seed.
        undirected: Whether the graph of a file is undirected.
        relabel: Whether the nodes of a file may have any ids.
        symmetrize: Whether to add the missing reverse of every edge of a file.

    Raises:
        ValueError: If there is no such data set, or the options do not fit it.
        FileNotFoundError: If there is no such file.
    """
    if graph.lower().endswith(FORMATS):
        data = read_stated_graph(
            Path(graph), undirected=undirected, relabel=relabel, symmetrize=symmetrize
        )
        if labels is not None:
            data, notes = labelled_graph(data, labels, graph)
            for note in notes:
                logger.warning(note)
        if split_kind is not None:
            data = split(data, split_kind, seed)
        return inspect_graph(data, seed=seed, name=Path(graph).name)
    if relabel or symmetrize or not undirected or labels is not None:
        raise ValueError(
            "--relabel, --symmetrize, --directed and --labels are for graph files, "
            f"which end in {', '.join(FORMATS)} (got {graph})"
        )
    if Path(graph).is_file():
        raise ValueError(f"a graph file must end in {', '.join(FORMATS)} (got {graph})")
    entry = card(graph)
    data = load(entry.name, root, split_kind, seed, sparse_features=True)
    return inspect_graph(data, seed=seed, metric=entry.metric, name=entry.name)


def _check(data: Data) -> None:
    if not isinstance(data, Data):
        raise TypeError(
            "'data' must be one homogeneous graph, a Data (got "
            f"{type(data).__name__}); make it homogeneous by data.to_homogeneous()"
        )
    for key, value in data:
        if isinstance(value, Tensor) and value.device.type != "cpu":
            raise ValueError(
                f"'data' must be on the CPU (got {key!r} on {value.device}); "
                "use data.cpu()"
            )
    for key in ("y", *_MASKS):
        value = data.get(key)
        if isinstance(value, Tensor) and value.shape[:1] != (data.num_nodes,):
            raise ValueError(
                f"{key!r} must have one row for each of the {data.num_nodes} nodes "
                f"(got shape {list(value.shape)})"
            )
    if data.get("x") is not None:
        sparse_features(data.x)  # refuses what is not a floating-point matrix


def _in_float32(data: Data) -> Data:
    if data.get("x") is None or data.x.dtype == torch.float32:
        return data
    data = copy.copy(data)
    data.x = data.x.float()
    return data


def _ready(data: Data, facts: GraphFacts, seed: int) -> Data | str:
    """Return a graph to fit on, without a test mask, or why there is none."""
    if facts.num_edges == 0:
        return "the graph has no edges"
    if data.get("x") is None:
        return "the graph has no features"
    y = data.get("y")
    if y is None:
        return "the graph has no labels"
    if y.dim() != 1 or y.is_floating_point():
        return f"'y' must hold one class per node (got {y.dtype}, {list(y.shape)})"
    given = [key for key in _MASKS if data.get(key) is not None]
    missing = [key for key in _FIT_MASKS if key not in given]
    if given and missing:
        return f"the graph has {given[0]!r} without {missing[0]!r}"
    if missing:
        data = split(data, SPLIT, seed)
    elif data.train_mask.dim() == 2:
        data = split(data, "given", seed)
    kept = {"x": sparse_features(data.x), "y": y.long()}
    for key in _FIT_MASKS:
        kept[key] = data[key].bool() & (y >= 0)
        if not kept[key].any():
            return f"{key!r} is empty" if (y >= 0).any() else "no node has a label"
    if (shared := int((kept["train_mask"] & kept["val_mask"]).sum())) > 0:
        return f"'train_mask' and 'val_mask' share {shared:,} nodes"
    if data.get("edge_weight") is not None:
        kept["edge_weight"] = data.edge_weight
    ready = Data(edge_index=data.edge_index, num_nodes=data.num_nodes, **kept)
    work = epoch_work(ready)
    if work > MOST_WORK:
        return f"an epoch takes {work:.1e} multiply-adds, and fits would take minutes"
    return ready

"""Load the graph to fit on and the graph to test on, by the name of a split."""

from pathlib import Path
from typing import NamedTuple

from torch_geometric.data import Data

from gsparse.data import card, inductive, load, split_name
from gsparse.train.features import sparse_features

INDUCTIVE = "inductive"


class SplitGraphs(NamedTuple):
    """The graph to fit on and the one to test on; the same unless inductive."""

    fit: Data
    test: Data


def resolve_split(dataset: str, split: str | None) -> str:
    """Return the full name of a split, by default that of the data set's card.

    ``"inductive"`` becomes ``"inductive-<kind>"``: training and early stopping see the
    graph on the training and validation nodes of that kind, the test the whole graph.
    """
    kind = card(dataset).default_split
    if split is None:
        return kind
    if split.startswith(INDUCTIVE):
        return f"{INDUCTIVE}-{split_name(split.removeprefix(INDUCTIVE)[1:] or kind)}"
    return split_name(split)


def load_split_graphs(
    dataset: str,
    split: str,
    seed: int = 0,
    *,
    root: Path | None = None,
    device: str = "cpu",
) -> SplitGraphs:
    """Load a data set with a split, on the device where models are trained.

    Random splits follow the seed. In the inductive setting the graph to fit on holds
    the training and validation nodes and the edges between them.

    Args:
        dataset: A name of :func:`gsparse.data.names`.
        split: Full name of a split; see :func:`resolve_split`.
        seed: Seed of a random split.
        root: Folder of the data sets.
        device: Device of the graphs.
    """
    kind = split.removeprefix(f"{INDUCTIVE}-")
    whole = load(dataset, root=root, split=kind, seed=seed, sparse_features=True)
    return graphs_of_split(whole, split, device=device)


def graphs_of_split(whole: Data, split: str, *, device: str = "cpu") -> SplitGraphs:
    """Return the graphs to fit and to test on, on a device, of a graph with masks.

    Args:
        whole: Graph with the masks of the split.
        split: Full name of the split; see :func:`resolve_split`.
        device: Device of the graphs.
    """
    fit = None
    if split.startswith(INDUCTIVE):
        fit = _on_device(inductive(whole, include_val=True).train, device)
    test = _on_device(whole, device)
    return SplitGraphs(test if fit is None else fit, test)


def _on_device(data: Data, device: str) -> Data:
    """Move a graph, and store its features as :func:`~gsparse.train.fit` wants them."""
    data = data.to(device)
    data.x = sparse_features(data.x)
    return data

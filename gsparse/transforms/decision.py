"""Decisions of a sparsifier about the edges of a graph or of a batch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import UnionType
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from gsparse.data import GraphFolder
from gsparse.edges import SplitBatch

Result = TypeVar("Result")

# ruff: noqa: ANN401 (input of a user, and the key of a store)


class Decision(NamedTuple):
    """Entries to keep, and their new weights (None leaves weights unchanged).

    Shapes:
        - **keep**, **edge_weight:** :math:`(E,)`
    """

    keep: Tensor
    edge_weight: Tensor | None = None


def require_graph(transform: object, data: Any, types: type | UnionType) -> None:
    """Refuse an input that is not a graph of PyG of an accepted type."""
    if isinstance(data, types):
        return
    name, got = type(transform).__name__, type(data).__name__
    accepted = "Data, HeteroData or a Batch of either"
    if isinstance(types, type):
        accepted = "Data or a Batch of Data (call the transform for HeteroData)"
    advice = ""
    if isinstance(data, Tensor):
        advice = "; build Data(edge_index=edge_index, num_nodes=num_nodes)"
    elif isinstance(data, GraphFolder):
        advice = (
            "; use gsparse.deploy.sparsify_folder(folder, target, transform), or "
            "folder.data()"
        )
    elif isinstance(data, list | tuple):
        advice = "; build a batch with Batch.from_data_list()"
    raise TypeError(f"{name} takes {accepted} (got {got}){advice}")


def each_graph(
    function: Callable[..., Result], graphs: Sequence[Any], *others: Sequence[Any]
) -> Iterator[Result]:
    """Apply a function to every graph of a batch; errors name the graph."""
    for i, arguments in enumerate(zip(graphs, *others, strict=True)):
        with named(f"graph {i} of the Batch"):
            result = function(*arguments)
        yield result


def join_decisions(
    batch: SplitBatch, decisions: Sequence[Decision], key: Any = None
) -> Decision:
    """Join the decisions about the graphs of a batch."""
    keep = batch.join([it.keep for it in decisions], key)
    weights = [it.edge_weight for it in decisions if it.edge_weight is not None]
    return Decision(keep, batch.join(weights, key) if weights else None)


@contextmanager
def named(part: str) -> Iterator[None]:
    """Prepend the name of a part of the graph to the messages of errors."""
    try:
        yield
    except (ValueError, TypeError) as error:
        if type(error) not in (ValueError, TypeError):
            raise
        raise type(error)(f"{part}: {error}") from error

"""What a sparsifier decides about a graph, and the decisions for a batch."""

from collections.abc import Callable, Iterator, Sequence
from types import UnionType
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from gsparse.edges import SplitBatch

Result = TypeVar("Result")

# ruff: noqa: ANN401 (whatever a user hands in, and the key of a store)


class Decision(NamedTuple):
    """Which entries survive, and the new weight of every entry (None: as it was).

    Shapes:
        - **keep**, **edge_weight:** :math:`(E,)`
    """

    keep: Tensor
    edge_weight: Tensor | None = None


def require_graph(transform: object, data: Any, types: type | UnionType) -> None:
    """Refuse what is not a graph of PyG, with the types that are accepted."""
    if isinstance(data, types):
        return
    name, got = type(transform).__name__, type(data).__name__
    accepted = "Data, HeteroData or a Batch of either"
    if isinstance(types, type):
        accepted = "Data or a Batch of it (for HeteroData call the transform)"
    advice = ""
    if isinstance(data, Tensor):
        advice = "; put it into a Data(edge_index=edge_index, num_nodes=num_nodes)"
    elif isinstance(data, list | tuple):
        advice = "; make a batch of a list with Batch.from_data_list()"
    raise TypeError(f"{name} takes {accepted} (got {got}){advice}")


def each_graph(
    function: Callable[..., Result], graphs: Sequence[Any], *others: Sequence[Any]
) -> Iterator[Result]:
    """Apply a function to every graph of a batch; an error names the graph."""
    for i, arguments in enumerate(zip(graphs, *others, strict=True)):
        with named(f"graph {i} of the Batch"):
            result = function(*arguments)
        yield result


def join_decisions(
    batch: SplitBatch, decisions: Sequence[Decision], key: Any = None
) -> Decision:
    """Return the decision for every entry of a batch from those for its graphs."""
    keep = batch.join([it.keep for it in decisions], key)
    weights = [it.edge_weight for it in decisions if it.edge_weight is not None]
    return Decision(keep, batch.join(weights, key) if weights else None)


class named:  # noqa: N801 (reads as a function)
    """Put the part of a graph that an error is about before its message."""

    def __init__(self, part: str) -> None:
        self.part = part

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if type(error) is ValueError:
            raise ValueError(f"{self.part}: {error}") from error
        if type(error) is TypeError:
            raise TypeError(f"{self.part}: {error}") from error

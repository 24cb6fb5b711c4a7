"""Create other graphs from the arguments of a model: other sizes, values and scales."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch.utils._pytree import tree_leaves

from gsparse.compaction.inputs import places_of
from gsparse.kernels.spmm import SparseMatrix
from gsparse.nn.evaluating import evaluating
from gsparse.nn.stale_caches import forget

# ruff: noqa: ANN401 (arguments of any model)

_SEED = 58_741


class Size(NamedTuple):
    """Size of a created graph."""

    nodes: int
    edges: int
    shift: float
    """Shift of the features, which are twice standard normal numbers plus the shift."""

    def __str__(self) -> str:
        nodes = "1 node" if self.nodes == 1 else f"{self.nodes} nodes"
        return f"{nodes} and {self.edges} edges"


#: Isolated nodes; more edges than nodes; a single node; no edges.
SIZES = (Size(7, 9, 1.5), Size(11, 30, -1.5), Size(1, 0, 0.5), Size(4, 0, -0.5))


class Graph(NamedTuple):
    """Arguments of a model and its outputs for them."""

    size: Size
    arguments: tuple[Any, ...]
    outputs: list[Tensor]
    source: int
    """Index of the example that it was created from."""


@torch.no_grad()
def outputs_of(model: Module, example: tuple[Any, ...]) -> list[Tensor]:
    """Return the tensors that a model returns in evaluation mode."""
    forget(model)
    with evaluating(model):
        leaves = tree_leaves(model(*example))
    return [leaf.clone() for leaf in leaves if isinstance(leaf, Tensor)]


def graphs_that_run(
    model: Module, examples: Sequence[tuple[Any, ...]]
) -> tuple[list[Graph], tuple[str, ...]]:
    """Return other graphs on which a model runs, and the reasons why others fail.

    Args:
        model: A model, called in evaluation mode.
        examples: Tuples of its arguments.
    """
    found: list[Graph] = []
    skipped: list[str] = []
    for source, example in enumerate(examples):
        features = [tensor for _, tensor in places_of(model, example).values()]
        for size, ways in other_graphs(example, features):
            for arguments in ways:
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        outputs = outputs_of(model, arguments)
                except Exception as error:  # the model's code may raise anything
                    text = str(error).partition("\n")[0][:100]
                    why = f"{size}: {type(error).__name__}: {text}"
                else:
                    found.append(Graph(size, arguments, outputs, source))
                    break
            else:
                skipped.append(why)
    return found, tuple(skipped)


def other_graphs(
    example: tuple[Any, ...], features: list[Tensor]
) -> Iterator[tuple[Size, list[tuple[Any, ...]]]]:
    """Yield arguments of every size: with new features, and with rows of the old ones.

    Among the arguments, integer tensors ``[2, E]`` are edges; tensors with one row per
    node or edge are resized; floats are scaled. All others stay the same.

    Args:
        example: The tuple of arguments.
        features: The floating-point matrices among them; the first one has one row per
            node.
    """
    for size in SIZES:
        generator = torch.Generator().manual_seed(_SEED)
        # On a GPU an invalid index computed from new features could end the process.
        ways = (False,) if features[0].is_cuda else (True, False)
        made = [_Maker(example, features, size, generator, way).made for way in ways]
        yield size, made


class _Maker:
    def __init__(
        self,
        example: tuple[Any, ...],
        features: list[Tensor],
        size: Size,
        generator: torch.Generator,
        fresh: bool,
    ) -> None:
        self.size, self.generator, self.fresh = size, generator, fresh
        self.features = {id(tensor) for tensor in features}
        self.num_nodes = features[0].size(0)
        places = [i for i, it in enumerate(example) if _is_edge_index(it)]
        self.num_edges = [example[i].size(1) for i in places]
        self.after_edges = places[0] if places else len(example)
        self.made = tuple(self._one(i, it) for i, it in enumerate(example))

    def _one(self, place: int, argument: Any) -> Any:
        if isinstance(argument, dict):
            return {key: self._of_type(key, it) for key, it in argument.items()}
        if isinstance(argument, float) and self.fresh:
            return argument * 1.25
        if type(argument) is int and argument == self.num_nodes:
            return self.size.nodes
        if not isinstance(argument, Tensor) or argument.dim() == 0:
            return argument
        if _is_edge_index(argument):
            return self._edges(argument)
        rows = argument.size(0)
        edges = rows in self.num_edges and (
            rows != self.num_nodes
            or (place > self.after_edges and argument.is_floating_point())
        )
        if edges:
            return self._rows(argument, self.size.edges)
        return (
            self._rows(argument, self.size.nodes)
            if rows == self.num_nodes
            else argument
        )

    def _of_type(self, key: Any, argument: Any) -> Any:
        """Return an entry of a dictionary, resized by its node or edge type.

        All node types have the same number of nodes, so that they may share tensors.
        """
        if not isinstance(argument, Tensor) or argument.dim() == 0:
            return argument
        if _is_edge_index(argument):
            return self._edges(argument)
        is_edge = isinstance(key, tuple)
        return self._rows(argument, self.size.edges if is_edge else self.size.nodes)

    def _edges(self, edge_index: Tensor) -> Tensor:
        """Return random edges; the last two nodes have none if there are enough
        others.
        """
        ends = [
            torch.randint(
                max(self.size.nodes - 2, 1),
                (self.size.edges,),
                generator=self.generator,
            )
            for _ in range(2)
        ]
        return torch.stack(ends).to(edge_index.device, edge_index.dtype)

    def _rows(self, tensor: Tensor, count: int) -> Tensor:
        if id(tensor) in self.features and self.fresh:
            shape = (count, tensor.size(1))
            new = 2 * torch.randn(shape, generator=self.generator) + self.size.shift
            return _stored_like(tensor, new.to(tensor.device, tensor.dtype))
        if not tensor.size(0):
            return tensor.new_ones((count, *tensor.shape[1:]))
        places = torch.arange(1, count + 1) * tensor.size(0) // max(count, 1) - 1
        places = places.clamp(min=0).to(tensor.device)
        dense = tensor.to_dense() if tensor.layout != torch.strided else tensor
        picked = dense.index_select(0, places)
        if id(tensor) in self.features:
            return _stored_like(tensor, picked)
        if picked.is_floating_point() and self.fresh:
            factor = torch.rand(count, generator=self.generator) + 0.5
            factor = factor.to(picked.device, picked.dtype)
            return picked * factor.view(-1, *[1] * (picked.dim() - 1))
        return picked


def _is_edge_index(argument: Any) -> bool:
    return (
        isinstance(argument, Tensor)
        and argument.dim() == 2
        and argument.size(0) == 2
        and not (argument.is_floating_point() or argument.dtype == torch.bool)
    )


def _stored_like(tensor: Tensor, new: Tensor) -> Tensor:
    """Return ``new`` in the storage format of ``tensor``."""
    if isinstance(getattr(tensor, "matrix", None), SparseMatrix):
        csr = new.to_sparse_csr()
        return type(tensor)(SparseMatrix.from_csr(csr))
    return new.to_sparse_csr() if tensor.layout == torch.sparse_csr else new

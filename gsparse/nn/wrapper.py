"""Base class of modules that wrap a model."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data, HeteroData
from torch_geometric.data.data import BaseData

from gsparse.nn.calling import CallForm, call_form

# ruff: noqa: ANN401 (arguments of the wrapped model)


#: Advice for heterogeneous graphs in error messages.
HETERO = (
    "cut a HeteroData by a transform of gsparse.transforms, which serves every "
    "relation, or make it homogeneous by data.to_homogeneous()"
)
#: Arguments that have one row per edge.
EDGE_LEVEL = ("edge_weight", "edge_attr", "edge_type")


class Wrapper(Module):
    """A module that wraps ``.model``, which stays usable on its own.

    A checkpoint of the plain model loads into the wrapper, even with ``strict=True``;
    the other state of the wrapper stays unchanged. In the other direction, use
    ``plain.load_state_dict(wrapper.model.state_dict())``.
    """

    model: Module
    _read: tuple[Module, CallForm] | None = None

    def _form(self) -> CallForm:
        """Return the parameters of the model's ``forward``; its signature is
        read once.
        """
        if self._read is None or self._read[0] is not self.model:
            self._read = self.model, call_form(self.model)
        return self._read[1]

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        given = {
            key.removeprefix(prefix) for key in state_dict if key.startswith(prefix)
        }
        if _is_of_the_model(self, given):
            moved = {key: state_dict.pop(f"{prefix}{key}") for key in given}
            for key, value in moved.items():  # a new name may be an old one
                state_dict[f"{prefix}model.{key}"] = value
            for key, value in self.state_dict().items():
                if not key.startswith("model."):
                    state_dict[f"{prefix}{key}"] = value
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _check_graph(self, x: Any, edge_index: Any) -> None:
        """Refuse input that is not a homogeneous graph in two tensors."""
        for name, value in (("x", x), ("edge_index", edge_index)):
            if isinstance(value, Mapping | tuple | list | BaseData):
                raise TypeError(
                    f"{type(self).__name__} runs a model on one homogeneous graph, "
                    "called as (x, edge_index) with a tensor each "
                    f"(got {type(value).__name__} for {name!r}); {HETERO}"
                )

    def _check_tracing(self) -> None:
        """Refuse ``torch.jit.trace``, which would record the edges of one graph."""
        if torch.jit.is_tracing():
            raise RuntimeError(
                f"{type(self).__name__} cannot be traced by torch.jit.trace, since it "
                "chooses edges for each graph; trace wrapper.model, and call it "
                "on the graph of wrapper.sparsify(data)"
            )

    def _check_data(self, data: Any) -> None:
        """Refuse data that is not a homogeneous graph with features."""
        if not isinstance(data, Data):
            raise TypeError(
                f"{type(self).__name__} cuts one homogeneous graph, a Data with 'x' "
                f"and 'edge_index' (got {type(data).__name__})"
                + (f"; {HETERO}" if isinstance(data, HeteroData) else "")
            )
        if data.x is None:
            raise ValueError(f"'data' must have 'x' (got {sorted(data.keys())})")

    def _check_lengths(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], num_edges: int
    ) -> None:
        """Refuse edge-level arguments that do not fit the edges."""
        if any(value is not None for value in args):
            names = self._form().positional[2:]
            kwargs = kwargs | dict(zip(names, args, strict=False))
        refuse_wrong_lengths(kwargs, num_edges)


def check_width(x: Tensor, in_channels: int) -> None:
    """Refuse features with another number of columns than the mask was made for.

    Raises:
        ValueError: If there are not ``in_channels`` columns.
    """
    if x.dim() != 2 or x.size(1) != in_channels:
        raise ValueError(
            f"'x' must have 'in_channels' = {in_channels} columns (got {list(x.shape)})"
        )


def _is_of_the_model(wrapper: Wrapper, given: set[str]) -> bool:
    """Return whether checkpoint keys belong to the wrapped model or a model within it.

    A name such as ``model.weight`` may belong to either, so all keys are counted.
    """
    held: Module = wrapper
    hits = [len(given & held.state_dict().keys())]
    while isinstance(held, Wrapper):
        held = held.model
        hits.append(len(given & held.state_dict().keys()))
    return max(hits) > hits[0]


def count_nodes(x: Tensor) -> int:
    """Return the number of nodes of features ``[N, F]``, ``[N]`` or ``[B, N, F]``."""
    return x.size(-2) if x.dim() > 2 else x.size(0)


def refuse_wrong_lengths(given: Mapping[str, Any], num_edges: int) -> None:
    """Refuse edge-level values without one row per entry of ``edge_index``.

    Raises:
        ValueError: If a value has more or fewer rows.
    """
    for name in EDGE_LEVEL:
        value = given.get(name)
        if isinstance(value, Tensor) and value.shape[:1] != (num_edges,):
            raise ValueError(
                f"{name!r} must have a row for each of the {num_edges} entries of "
                f"'edge_index' (got {list(value.shape)})"
            )

"""Select the features that a compacted model reads."""

import inspect
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.kernels.spmm import SparseMatrix
from gsparse.kernels.tensor_cache import TensorCache

# ruff: noqa: ANN401 (arguments of any model)

_PICKED: TensorCache[Any] = TensorCache(max_entries=8)


class Place(NamedTuple):
    """Position of features among the arguments of a model."""

    position: int
    argument: str
    """Name of the argument."""
    key: Any = None
    """Node type, if the argument is a dictionary of features."""


def select_columns(x: Any, columns: Tensor) -> Any:
    """Return some columns of a feature matrix (dense, sparse or ``SparseFeatures``).

    The result for a sparse matrix is cached while that matrix is alive and unchanged.

    Shapes:
        - **x:** :math:`(N, F)`
        - **columns:** :math:`(F',)`
        - **output:** :math:`(N, F')`

    Example:
        >>> import torch
        >>> from gsparse.compaction.inputs import select_columns
        >>> x = torch.eye(3).to_sparse_csr()
        >>> select_columns(x, torch.tensor([2, 0])).to_dense()
        tensor([[0., 1.],
                [0., 0.],
                [1., 0.]])
    """
    matrix = getattr(x, "matrix", None)
    if not isinstance(matrix, SparseMatrix) and x.layout != torch.sparse_csr:
        return x.index_select(1, columns)

    def build() -> Any:
        if matrix is None:
            return _pick(x, columns)
        return type(x)(SparseMatrix.from_csr(_pick(matrix.csr, columns)))

    return _PICKED.get((x, columns), "columns", build)


def _pick(csr: Tensor, columns: Tensor) -> Tensor:
    """Return columns of a CSR matrix in one pass over its entries."""
    place = torch.full([csr.size(1)], -1, device=csr.device)
    place[columns] = torch.arange(columns.numel(), device=csr.device)
    found = place[csr.col_indices()]
    keep = found >= 0
    ends = torch.cat([keep.new_zeros(1, dtype=torch.long), keep.cumsum(0)])
    return torch.sparse_csr_tensor(
        ends[csr.crow_indices()],
        found[keep],
        csr.values()[keep],
        (csr.size(0), columns.numel()),
        check_invariants=False,
    )


class InputSelection(Module):
    """Wraps a model and passes it only the features that it reads.

    Args:
        model: A model that takes the remaining features.
        places: Positions of the features among its arguments, by name.
        kept: Remaining columns of each, by the same names.

    Shapes:
        - **kept:** :math:`(F',)` for each name

    Example:
        >>> import torch
        >>> from gsparse.compaction.inputs import InputSelection, Place
        >>> places = {"input": Place(0, "input")}
        >>> kept = {"input": torch.tensor([0, 3])}
        >>> model = InputSelection(torch.nn.Identity(), places, kept)
        >>> model(torch.arange(4.0).view(1, 4))
        tensor([[0., 3.]])
    """

    model: Module

    def __init__(
        self, model: Module, places: dict[str, Place], kept: dict[str, Tensor]
    ) -> None:
        super().__init__()
        self.model = model
        self.places = list(places.values())
        self.names = list(places)
        for number, name in enumerate(self.names):
            self.register_buffer(f"kept_{number}", kept[name])

    @property
    def kept_features(self) -> Tensor | dict[str, Tensor]:
        """The selected columns; a dictionary by argument name if several arguments have
        features.
        """
        kept = {name: self.columns(name) for name in self.names}
        return kept if len(kept) > 1 else kept[self.names[0]]

    def columns(self, name: str) -> Tensor:
        """Return the selected columns of the features with this name."""
        return getattr(self, f"kept_{self.names.index(name)}")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = self.select(args, kwargs)
        return self.model(*args, **kwargs)

    def select(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments for the model, with the selected columns."""
        given, named = list(args), dict(kwargs)
        for name, place in zip(self.names, self.places, strict=True):
            columns = self.columns(name)
            if place.position < len(given):
                given[place.position] = _replace(given[place.position], place, columns)
            else:
                whole = named[place.argument]
                named[place.argument] = _replace(whole, place, columns)
        return tuple(given), named

    def extra_repr(self) -> str:
        """Return the number of selected features."""
        return ", ".join(f"{name}={self.columns(name).numel()}" for name in self.names)


def _replace(whole: Any, place: Place, columns: Tensor) -> Any:
    if place.key is None:
        return select_columns(whole, columns)
    return {**whole, place.key: select_columns(whole[place.key], columns)}


def places_of(
    model: Module, example: tuple[Any, ...]
) -> dict[str, tuple[Place, Tensor]]:
    """Return every floating-point matrix among the arguments by name: ``x``,
    ``x_dict.paper``.

    Raises:
        ValueError: If there is none.
    """
    names = _argument_names(model, len(example))
    found: dict[str, tuple[Place, Tensor]] = {}
    for position, (name, argument) in enumerate(zip(names, example, strict=True)):
        is_dict = isinstance(argument, dict)
        for key, tensor in argument.items() if is_dict else [(None, argument)]:
            matrix = isinstance(tensor, Tensor) and tensor.dim() == 2
            if matrix and tensor.is_floating_point():
                full = name if key is None else f"{name}.{key}"
                found[full] = Place(position, name, key), tensor
    if not found:
        raise ValueError(
            "'example' must hold the features, a floating-point matrix [N, F] (got "
            f"{[type(argument).__name__ for argument in example]})"
        )
    return found


def _argument_names(model: Module, count: int) -> list[str]:
    names: list[str] = []
    for parameter in inspect.signature(model.forward).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            start = len(names)
            return names + [f"{parameter.name}_{i}" for i in range(count - start)]
        if parameter.kind not in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD):
            names.append(parameter.name)
    if len(names) < count:
        raise ValueError(
            f"'example' must match the model's forward, which takes "
            f"{', '.join(names)} (got {count} arguments)"
        )
    return names[:count]

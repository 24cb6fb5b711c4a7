"""Structures: which weights are removed together."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gsparse.prune.structured.structure_checks import (
    check_matrix,
    check_positive,
    check_units,
    head_axis,
    layer_of,
)


class Structure(ABC):
    """Puts the entries of parameters into groups that are removed whole.

    Example:
        >>> import torch
        >>> from gsparse.prune import Columns
        >>> Columns().groups({"a": torch.zeros(2, 2), "b": torch.zeros(1, 3)})
        {'a': tensor([[0, 1],
                [0, 1]]), 'b': tensor([[2, 3, 4]])}
    """

    @abstractmethod
    def groups(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the group number of every entry.

        Args:
            parameters: Parameters by name; only names, shapes and devices matter.

        Returns:
            A long tensor in the shape of every parameter. Groups are numbered from 0
            over all parameters; an entry with -1 is never removed.

        Raises:
            ValueError: If the structure does not fit a parameter.
        """


class _OwnGroups(Structure):
    """Structures whose groups lie in one parameter each."""

    def groups(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found, start = {}, 0
        for name, parameter in parameters.items():
            label, count = self._labels(name, parameter)
            found[name] = (label + start).expand(parameter.shape).contiguous()
            start += count
        return found

    @abstractmethod
    def _labels(self, name: str, parameter: Tensor) -> tuple[Tensor, int]:
        """Return labels from 0, expandable to the parameter, and their number."""


@dataclass(frozen=True)
class Rows(_OwnGroups):
    """The rows of each matrix: its output units.

    Use :class:`Units` for units that several matrices produce together, as in SAGE. A
    unit without weights still has its bias.

    Example:
        >>> import torch
        >>> from gsparse.prune import Rows
        >>> Rows().groups({"a": torch.zeros(3, 2)})["a"].tolist()
        [[0, 0], [1, 1], [2, 2]]
    """

    def _labels(self, name: str, parameter: Tensor) -> tuple[Tensor, int]:
        check_matrix(name, parameter, self)
        return _range(parameter, 0)[:, None], parameter.size(0)


@dataclass(frozen=True)
class Columns(_OwnGroups):
    """The columns of each matrix: its input features."""

    def _labels(self, name: str, parameter: Tensor) -> tuple[Tensor, int]:
        check_matrix(name, parameter, self)
        return _range(parameter, 1), parameter.size(1)


@dataclass(frozen=True)
class Heads(Structure):
    """The attention heads of a layer, over all its parameters.

    The rows of a matrix are ``heads`` equal parts in a row, as in GAT and Transformer
    layers; an attention vector has its heads in dimension 1. Parameters of the same
    convolution share their groups; its name is the part before ``.lin`` or before the
    name of the attention vector.

    Args:
        heads: Number of heads of every targeted layer.

    Shapes:
        - **matrix:** :math:`(H C, F)`
        - **attention vector:** :math:`(1, H, C)`

    Example:
        >>> import torch
        >>> from gsparse.prune import Heads
        >>> weight, att = torch.zeros(4, 2), torch.zeros(1, 2, 2)
        >>> found = Heads(2).groups({"conv.lin.weight": weight, "conv.att_src": att})
        >>> found["conv.lin.weight"][:, 0].tolist(), found["conv.att_src"].tolist()
        ([0, 0, 1, 1], [[[0, 0], [1, 1]]])
    """

    heads: int

    def __post_init__(self) -> None:
        check_positive("heads", self.heads)

    def groups(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        starts: dict[str, int] = {}
        found = {}
        for name, parameter in parameters.items():
            axis = head_axis(name, parameter, self.heads)
            start = starts.setdefault(layer_of(name), self.heads * len(starts))
            size = parameter.size(axis) // self.heads
            label = _range(parameter, axis) // size + start
            shape = [-1 if it == axis else 1 for it in range(parameter.dim())]
            found[name] = label.view(shape).expand(parameter.shape).contiguous()
        return found


@dataclass(frozen=True)
class _Tiles(_OwnGroups):
    rows: int
    columns: int

    def __post_init__(self) -> None:
        check_positive("rows", self.rows)
        check_positive("columns", self.columns)

    def _labels(self, name: str, parameter: Tensor) -> tuple[Tensor, int]:
        check_matrix(name, parameter, self)
        row, column = self._segments(_range(parameter, 0), _range(parameter, 1))
        num_rows, num_columns = int(row[-1]) + 1, int(column[-1]) + 1
        return row[:, None] * num_columns + column, num_rows * num_columns

    @abstractmethod
    def _segments(self, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """Return the label of every row and of every column of a tile."""


@dataclass(frozen=True)
class Blocks(_Tiles):
    """Tiles of a matrix; those at its right and lower border may be smaller.

    Args:
        rows: Height of a tile.
        columns: Width of a tile.

    Example:
        >>> import torch
        >>> from gsparse.prune import Blocks
        >>> Blocks(2, 2).groups({"a": torch.zeros(3, 3)})["a"].tolist()
        [[0, 0, 1], [0, 0, 1], [2, 2, 3]]
    """

    def _segments(self, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        return row // self.rows, column // self.columns


@dataclass(frozen=True)
class CrossbarRows(_Tiles):
    """The parts of rows that are one line of a crossbar array.

    Args:
        rows: Height of an array; it does not change the groups.
        columns: Width of an array.

    Example:
        >>> import torch
        >>> from gsparse.prune import CrossbarRows
        >>> CrossbarRows(2, 2).groups({"a": torch.zeros(3, 3)})["a"].tolist()
        [[0, 0, 1], [2, 2, 3], [4, 4, 5]]
    """

    def _segments(self, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        return row, column // self.columns


@dataclass(frozen=True)
class CrossbarColumns(_Tiles):
    """The parts of columns that are one line of a crossbar array.

    Args:
        rows: Height of an array.
        columns: Width of an array; it does not change the groups.

    Example:
        >>> import torch
        >>> from gsparse.prune import CrossbarColumns
        >>> CrossbarColumns(2, 2).groups({"a": torch.zeros(3, 3)})["a"].tolist()
        [[0, 1, 2], [0, 1, 2], [3, 4, 5]]
    """

    def _segments(self, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        return row // self.rows, column


@dataclass(frozen=True)
class Units(Structure):
    """The hidden units of a model, over all the parameters that produce them.

    A unit that is the sum of two maps, as in SAGE, is removed from both; the parameters
    that read it stay as they are. Weights that produce no hidden unit are never
    removed, nor are units that have to stay (``fixed``). The bias and the attention
    vectors of a unit are removed with it if they are targets; otherwise the unit
    becomes a constant, its bias. Heads may lose different numbers of units; compaction
    needs the same number in every head.

    Args:
        channels: Groups of channels of a traced model, the result of
            ``gsparse.compaction.channel_groups(model, example)``. Each has ``kind``,
            ``size`` and ``producers``: triples of a parameter name, a dimension (into
            which all later dimensions of an attention vector are flattened) and the
            index of the first unit.

    Raises:
        ValueError: If a group does not fit its parameter, or two overlap in one.

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> from gsparse.prune import Units
        >>> made_by = [("lin_l.weight", 0, 0), ("lin_r.weight", 0, 0)]
        >>> group = SimpleNamespace(kind="hidden", size=2, producers=made_by)
        >>> weights = {"lin_l.weight": torch.zeros(2, 2), "out": torch.zeros(1, 2)}
        >>> {name: it.tolist() for name, it in Units([group]).groups(weights).items()}
        {'lin_l.weight': [[0, 0], [1, 1]], 'out': [[-1, -1]]}
    """

    channels: Iterable[Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))

    def __repr__(self) -> str:
        return f"Units({len(tuple(self.channels))} groups of channels)"

    def groups(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = {
            name: torch.full(parameter.shape, -1, device=parameter.device)
            for name, parameter in parameters.items()
        }
        start = 0
        for group in self.channels:
            made = [it for it in group.producers if it[0] in parameters]
            if group.kind != "hidden" or getattr(group, "fixed", "") or not made:
                continue
            for name, dim, first in made:
                label = found[name]
                if label.dim() > 2:  # [1, H, C]: units count through the heads
                    label = label.flatten(dim)
                check_units(name, label, dim, first, group.size)
                part = label.narrow(dim, first, group.size).movedim(dim, 0)
                number = torch.arange(start, start + group.size, device=part.device)
                part.copy_(number.view(-1, *[1] * (part.dim() - 1)))
            start += group.size
        return found


def _range(parameter: Tensor, dim: int) -> Tensor:
    return torch.arange(parameter.size(dim), device=parameter.device)

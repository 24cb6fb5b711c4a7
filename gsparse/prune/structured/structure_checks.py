"""Checks that a structure fits its parameters."""

from collections.abc import Mapping

import torch
from torch import Tensor

_ADVICE = "leave it out by 'exclude'"


def check_positive(name: str, value: int) -> None:
    """Refuse anything but a whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name!r} must be a whole number from 1 (got {value!r})")


def check_matrix(name: str, parameter: Tensor, structure: object) -> None:
    """Refuse a parameter that is not a matrix, or is empty."""
    if parameter.dim() != 2 or not parameter.numel():
        raise ValueError(
            f"{name!r} must be a matrix for {structure!r} "
            f"(got shape {list(parameter.shape)}); {_ADVICE}"
        )


def head_axis(name: str, parameter: Tensor, heads: int) -> int:
    """Return the dimension of a parameter that holds its heads."""
    vector = parameter.dim() == 3 and parameter.size(0) == 1
    if parameter.dim() not in (1, 2) and not vector:
        raise ValueError(
            f"{name!r} must have shape [heads * C, F], [heads * C] or [1, heads, C] "
            f"for Heads (got {list(parameter.shape)}); {_ADVICE}"
        )
    axis = 1 if vector else 0
    size = parameter.size(axis)
    if size % heads or not size or (vector and size != heads):
        rule = "equal" if vector else "be a multiple of"
        raise ValueError(
            f"dimension {axis} of {name!r} must {rule} heads={heads} "
            f"(got shape {list(parameter.shape)}); {_ADVICE}"
        )
    return axis


def layer_of(name: str) -> str:
    """Return the name of a parameter's convolution, the part before its linear map."""
    *path, _ = name.split(".")
    if path and path[-1].startswith("lin"):
        path = path[:-1]
    return ".".join(path)


def check_units(name: str, label: Tensor, dim: int, first: int, size: int) -> None:
    """Refuse units beyond the end of a parameter, and units of two groups."""
    if not 0 <= dim < label.dim() or not 0 <= first <= label.size(dim) - size:
        raise ValueError(
            f"'channels' must lie within their parameters (got {size} units from "
            f"{first} along dimension {dim} of {name!r} of shape {list(label.shape)}); "
            "trace the model that is pruned"
        )
    taken = label.narrow(dim, first, size)
    if bool((taken >= 0).any()):
        raise ValueError(
            f"'channels' must not overlap (got two groups that produce the same "
            f"entries of {name!r}); give each group once"
        )


def check_matches(
    values: Mapping[str, Tensor], groups: Mapping[str, Tensor], what: str
) -> None:
    """Refuse values that do not fit the grouped parameters."""
    if values.keys() != groups.keys():
        raise ValueError(
            f"{what!r} must be of the parameters that have groups, {list(groups)} "
            f"(got {list(values)})"
        )
    for name, group in groups.items():
        if values[name].shape != group.shape or group.dtype != torch.long:
            raise ValueError(
                f"{what!r} of {name!r} must have the shape of its groups, "
                f"{list(group.shape)} (got {list(values[name].shape)})"
            )

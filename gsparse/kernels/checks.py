"""Check sizes and indices before a compiled loop trusts them."""

import weakref
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


def check_shape(
    name: str,
    tensor: Tensor,
    shape: Sequence[int],
    dtype: torch.dtype | None = None,
) -> None:
    """Raise an error unless a tensor has this shape and, if given, this dtype.

    Raises:
        ValueError: If it has another shape.
        TypeError: If it has another dtype.
    """
    if tensor.shape != tuple(shape):
        got = list(tensor.shape)
        raise ValueError(f"'{name}' must have shape {list(shape)} (got {got})")
    if dtype is not None and tensor.dtype != dtype:
        raise TypeError(f"'{name}' must have dtype {dtype} (got {tensor.dtype})")


def check_pointers(name: str, pointers: Tensor, last: int) -> None:
    """Raise an error unless pointers rise from 0 to ``last``.

    Raises:
        ValueError: If they do not, or are empty.
    """
    if pointers.dim() != 1 or pointers.numel() == 0:
        shape = list(pointers.shape)
        raise ValueError(f"'{name}' must have one dimension, not empty (got {shape})")
    ends = int(pointers[0]), int(pointers[-1])
    if ends != (0, last) or bool((pointers[1:] < pointers[:-1]).any()):
        raise ValueError(
            f"'{name}' must rise from 0 to the number of entries, {last} "
            f"(got {ends[0]} to {ends[1]})"
        )


def check_range(name: str, indices: Tensor, low: int, high: int) -> None:
    """Raise an error unless all indices are in ``[low, high)``.

    Raises:
        ValueError: If one is not.
    """
    if indices.numel() == 0:
        return
    least, most = (int(bound) for bound in indices.aminmax())
    if least < low or most >= high:
        raise ValueError(f"'{name}' must be in [{low}, {high}) (got {least} to {most})")


class _Checked(NamedTuple):
    references: "tuple[weakref.ref[Tensor], ...]"
    versions: list[int]
    found: int


_CHECKED: dict[tuple[int, ...], _Checked] = {}


def check_once(tensors: Sequence[Tensor], check: Callable[..., int]) -> int:
    """Run a check of index tensors the first time they are passed.

    Args:
        tensors: Index tensors of a structure; after a change in place they are checked
            again.
        check: Function that is called with them. It raises an error, or returns a
            number to remember.

    Returns:
        The number that ``check`` returned.
    """
    key = tuple(map(id, tensors))
    known = _CHECKED.get(key)  # forgotten when one of the tensors dies
    if known is not None and known.versions == _versions(tensors):
        return known.found
    found = check(*tensors)

    def forget(reference: "weakref.ref[Tensor]") -> None:
        entry = _CHECKED.get(key)
        if entry is not None and any(it is reference for it in entry.references):
            _CHECKED.pop(key, None)

    references = tuple(weakref.ref(tensor, forget) for tensor in tensors)
    _CHECKED[key] = _Checked(references, _versions(tensors), found)
    return found


def _versions(tensors: Sequence[Tensor]) -> list[int]:
    """Return the numbers of changes in place, which inference tensors do not count."""
    return [-1 if it.is_inference() else it._version for it in tensors]

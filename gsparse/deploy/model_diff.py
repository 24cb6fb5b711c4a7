"""Compare the layers and settings of two models."""

from collections.abc import Iterator
from math import isnan
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from gsparse.nn.masked_parameters import plain_class

# ruff: noqa: ANN401 (attributes of layers of any kind)

_INTERNAL = {*vars(Module()), "inspector"}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_OPAQUE = ("torch.", "torch_geometric.", "gsparse.kernels.", "gsparse.nn.")
"""Modules of classes whose objects are compared by their type alone."""
_SCALARS = (bool, int, float, complex, str, bytes, torch.dtype, torch.device)
_DEPTH = 8


class Difference(NamedTuple):
    """A setting in which two models differ."""

    path: str
    """Path of the layer."""
    name: str
    """Name of the attribute, or ``"class"``, ``"layers"`` or the kind of hooks."""
    here: Any
    there: Any

    def __str__(self) -> str:
        where = f"{self.path}.{self.name}".lstrip(".")
        return f"{where!r} is {self.here!r:.60} and not {self.there!r:.60}"


def differences(here: Module, there: Module) -> Iterator[Difference]:
    """Yield the differences between two models: classes, attributes and hooks.

    Values of parameters and buffers are not compared, and private attributes only if
    both are numbers or text. Children of layers of different classes are not compared.

    Example:
        >>> from torch.nn import Dropout, Linear, Sequential
        >>> from gsparse.deploy.model_diff import differences
        >>> here, there = (Sequential(Linear(2, 3), Dropout(p)) for p in (0.5, 0.1))
        >>> [str(it) for it in differences(here, there)]
        ["'1.p' is 0.5 and not 0.1"]
    """
    yield from _compare("", here, there)


def _compare(path: str, here: Module, there: Module) -> Iterator[Difference]:
    kinds = plain_class(here), plain_class(there)
    if kinds[0] is not kinds[1]:
        yield Difference(path, "class", kinds[0].__name__, kinds[1].__name__)
        return
    yield from _attributes(path, here, there)
    for name in _hook_kinds(here, there):
        hooks = [
            [type(it).__qualname__ for it in vars(module).get(name, {}).values()]
            for module in (here, there)
        ]
        if hooks[0] != hooks[1]:
            yield Difference(path, name, *hooks)
    children = [
        {name: it for name, it in module._modules.items() if it is not None}
        for module in (here, there)
    ]
    if [*children[0]] != [*children[1]]:
        yield Difference(path, "layers", *map(list, children))
        return
    for name, child in children[0].items():
        yield from _compare(f"{path}.{name}".lstrip("."), child, children[1][name])


def _hook_kinds(*layers: Module) -> list[str]:
    """Return the kinds of hooks of a call, also those inside of PyG's layers."""
    inner = {
        name
        for layer in layers
        for name, held in vars(layer).items()
        if name.endswith("_hooks") and name not in _INTERNAL and isinstance(held, dict)
    }
    return [*_HOOKS, *sorted(inner)]


def _attributes(path: str, here: Module, there: Module) -> Iterator[Difference]:
    held = vars(here), vars(there)
    for name in sorted({*held[0], *held[1]} - _INTERNAL):
        values = [it.get(name) for it in held]
        private = name.startswith("_")
        if private and not all(isinstance(it, _SCALARS) for it in values):
            continue
        both = all(name in it for it in held)
        if not both or not _same(values[0], values[1], _DEPTH):
            yield Difference(path, name, *values)


def _same(a: Any, b: Any, depth: int) -> bool:
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        known = not a.is_meta and not b.is_meta
        return known and a.dtype == b.dtype and a.cpu().equal(b.cpu())
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, float) and isnan(a):
        return isnan(b)
    if isinstance(a, _SCALARS):
        return a == b
    if isinstance(a, type) or depth == 0:
        return False  # nothing that deep is known to be equal
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_inner(depth), a, b))
    if isinstance(a, dict):
        return [*a] == [*b] and all(map(_inner(depth), a.values(), b.values()))
    if isinstance(a, FunctionType):
        return a.__code__ == b.__code__ and _same(_held(a), _held(b), depth - 1)
    if f"{type(a).__module__}.".startswith(_OPAQUE):
        return True
    return _same(vars(a), vars(b), depth - 1) if hasattr(a, "__dict__") else a == b


def _inner(depth: int) -> Any:
    return lambda a, b: _same(a, b, depth - 1)


def _held(function: FunctionType) -> list[Any]:
    """Return the values that a function holds: defaults and variables around it."""
    cells = [it.cell_contents for it in function.__closure__ or ()]
    return [function.__defaults__, function.__kwdefaults__, cells]

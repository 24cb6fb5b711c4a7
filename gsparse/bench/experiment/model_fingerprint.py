"""Hash what a model of one's own is made of: its source files and its settings."""

import functools
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, MethodType, ModuleType

import torch
from torch import Tensor
from torch.nn import Module

_LIBRARIES = ("torch", "torch_geometric", "gsparse")
_INSTALLED = ("site-packages", "dist-packages", Path(inspect.__file__).parent.name)
_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device)
_DEPTH = 4
"""Levels of objects inside objects that are described."""


def model_fingerprint(builder: Callable[..., Module], model: Module) -> str:
    """Hash the source code and the settings of a model.

    It covers the files in which the function and the layers are defined, and those
    that they import at the top, except torch, PyG, this package and what is installed
    beside them; of what is defined in no file, as in a notebook, its own source code.
    It also covers numbers, words and shapes: those in the layers, and those that the
    function holds in a closure, in defaults, in ``functools.partial`` or in attributes.
    Values of the weights do not count.

    Args:
        builder: The function that built the model.
        model: The model.

    Returns:
        Twelve hexadecimal digits of a SHA-256.
    """
    digest = hashlib.sha256()
    kinds = {type(it) for it in model.modules()}
    for content in sorted(set(_sources([*_definitions(builder), *kinds]))):
        digest.update(hashlib.sha256(content).digest())
    digest.update(_describe(builder).encode())
    for name, layer in model.named_modules():
        digest.update(f"{name} {_layer(layer)}".encode())
    return digest.hexdigest()[:12]


def _definitions(builder: object) -> Iterator[object]:
    """Yield the functions and classes that a builder consists of."""
    if isinstance(builder, functools.partial):
        yield from _definitions(builder.func)
    elif isinstance(builder, MethodType):
        yield builder.__func__
        yield type(builder.__self__)
    elif isinstance(builder, FunctionType | type):
        yield builder
        for cell in getattr(builder, "__closure__", None) or ():
            yield from _definitions(_content(cell))
    else:
        yield type(builder)


def _sources(things: list[object]) -> Iterator[bytes]:
    """Yield the files of functions and classes, or their own code without a file."""
    names = []
    for thing in things:
        name = getattr(thing, "__module__", None) or ""
        if _top(name) in (*_LIBRARIES, "builtins"):
            continue
        if _file(name) is not None:
            names.append(name)
            continue
        try:
            yield inspect.getsource(thing).encode()  # type: ignore[arg-type]
        except (OSError, TypeError):
            continue
    seen = set()
    while names:
        name = names.pop()
        path = _file(name)
        if name in seen or path is None:
            continue
        seen.add(name)
        yield path.read_bytes()
        names += [it for it in _imports(name) if _is_own(it, name)]


def _imports(name: str) -> set[str]:
    """Return the modules of the values of a module."""
    values = vars(sys.modules[name]).values()
    return {
        it.__name__ if isinstance(it, ModuleType) else getattr(it, "__module__", None)
        for it in values
        if isinstance(it, ModuleType | type) or callable(it)
    } - {None}  # type: ignore[return-value]


def _is_own(name: str, user: str) -> bool:
    """Return whether a module that another one uses belongs to the user's code."""
    path = _file(name)
    if path is None or _top(name) in _LIBRARIES:
        return False
    return _top(name) == _top(user) or not set(_INSTALLED) & set(path.parts)


def _file(name: str) -> Path | None:
    path = getattr(sys.modules.get(name), "__file__", None)
    return Path(path) if path is not None and Path(path).is_file() else None


def _top(name: str) -> str:
    return name.partition(".")[0]


def _layer(layer: Module) -> str:
    """Describe a layer: its class, its shapes, and its plain attributes."""
    tensors: dict[str, Tensor] = dict(layer.named_buffers(recurse=False))
    tensors.update(layer.named_parameters(recurse=False))
    shapes = {name: f"{it.dtype} {list(it.shape)}" for name, it in tensors.items()}
    usual = {*vars(Module()), *tensors, "inspector"}
    settings = {
        key: _describe(value, 1)
        for key, value in vars(layer).items()
        if key not in usual and not key.startswith("_cached")
    }
    return f"{_name(type(layer))} {sorted(shapes.items())} {sorted(settings.items())}"


def _describe(value: object, depth: int = _DEPTH) -> str:
    """Return a text that is equal for equal settings, without addresses."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, Tensor) and value.layout == torch.strided:
        content = value.detach().cpu().contiguous().view(-1).view(torch.uint8)
        mark = hashlib.sha256(content.numpy().tobytes()).hexdigest()
        return f"{list(value.shape)} {mark}"
    inner = functools.partial(_describe, depth=depth - 1)
    if depth == 0:
        return _name(type(value))
    if isinstance(value, dict):
        return str([(inner(key), inner(it)) for key, it in value.items()])
    if isinstance(value, tuple | list):
        return str([inner(it) for it in value])
    if isinstance(value, set | frozenset):
        return str(sorted(inner(it) for it in value))
    return _describe_object(value, inner)


def _describe_object(value: object, inner: Callable[[object], str]) -> str:
    if isinstance(value, functools.partial):
        return str([inner(it) for it in (value.func, value.args, value.keywords)])
    if isinstance(value, MethodType):
        return f"{inner(value.__self__)} {value.__name__}"
    if isinstance(value, FunctionType):
        held = [_content(it) for it in value.__closure__ or ()]
        parts = (value.__defaults__, value.__kwdefaults__, held)
        code = [it for it in value.__code__.co_consts if isinstance(it, _PLAIN)]
        return f"{_name(value)} {[*map(inner, parts)]} {code} {value.__code__.co_names}"
    if isinstance(value, type):
        return _name(value)
    is_own = _top(type(value).__module__) not in (*_LIBRARIES, "builtins")
    content = getattr(value, "__dict__", {}) if is_own else {}
    return f"{_name(type(value))} {[(key, inner(it)) for key, it in content.items()]}"


def _name(thing: type | FunctionType) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _content(cell: object) -> object:
    try:
        return cell.cell_contents  # type: ignore[attr-defined]
    except ValueError:  # a variable that is not set
        return None

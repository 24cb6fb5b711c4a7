"""Settings of library layers, stored beside their tensors."""

from collections.abc import Iterator, Mapping
from math import isnan
from typing import Any

from torch.nn import Module

from gsparse.nn.masked_parameters import plain_class

_LIBRARIES = ("torch.", "torch_geometric.", "gsparse.")
_SCALARS = (bool, int, float, str, type(None))

Settings = dict[str, dict[str, Any]]


def layer_settings(model: Module) -> Settings:
    """Return the numbers and texts of every layer of torch, PyG and gsparse, by path.

    Example:
        >>> from torch.nn import Dropout, Sequential
        >>> from gsparse.deploy.layer_settings import layer_settings
        >>> layer_settings(Sequential(Dropout(0.25)))
        {'0': {'inplace': False, 'p': 0.25}}
    """
    found = {path: dict(_settings(layer)) for path, layer in model.named_modules()}
    return {path: settings for path, settings in found.items() if settings}


def check_settings(model: Module, saved: Mapping[str, Any]) -> None:
    """Refuse a model whose layers have other settings than the saved ones.

    Settings that only one of the two has are not compared: other versions of a library
    have others.

    Raises:
        ValueError: If a setting differs.
    """
    for path, settings in layer_settings(model).items():
        others = saved.get(path)
        if not isinstance(others, Mapping):
            continue
        for name, value in settings.items():
            if name in others and not _equal(value, others[name]):
                raise ValueError(
                    f"{f'{path}.{name}'.lstrip('.')!r} of the model must be "
                    f"{others[name]!r:.80}, as it was saved (got {value!r:.80})"
                )


def _settings(layer: Module) -> Iterator[tuple[str, Any]]:
    if not f"{plain_class(layer).__module__}.".startswith(_LIBRARIES):
        return
    for name, value in sorted(vars(layer).items()):
        counts = name != "training" and not name.endswith("_initializer")
        if counts and name[0] != "_" and type(value) in _SCALARS:
            yield name, value


def _equal(a: Any, b: Any) -> bool:  # noqa: ANN401 (of a file)
    if isinstance(a, float) and isinstance(b, float) and isnan(a):
        return isnan(b)
    return type(a) is type(b) and bool(a == b)

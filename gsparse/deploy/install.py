"""Put the tensors of a file into a model that was built for them."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module, Parameter, RNNBase
from torch.nn.parameter import is_lazy

from gsparse.nn import SparseLinear


class Slot(NamedTuple):
    """Place of a tensor of a model's state."""

    owner: Module
    attribute: str
    is_parameter: bool

    @property
    def value(self) -> Tensor:
        """The tensor that is there, without its mask."""
        held: Any = self.owner._parameters if self.is_parameter else self.owner._buffers
        return held[self.attribute]


def slots(model: Module) -> dict[str, Slot]:
    """Return the places of all tensors that a checkpoint of a model has, by name."""
    return {
        f"{path}.{attribute}".lstrip("."): Slot(module, attribute, is_parameter)
        for path, module in model.named_modules(remove_duplicate=False)
        for attribute, is_parameter in _held(module)
    }


def _held(module: Module) -> Iterator[tuple[str, bool]]:
    for attribute, value in module._parameters.items():
        if value is not None:
            yield attribute, True
    for attribute, buffer in module._buffers.items():
        if buffer is not None and attribute not in module._non_persistent_buffers_set:
            yield attribute, False


def check_names(own: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse tensors with other names than those of a model.

    Raises:
        ValueError: If a name is missing or unexpected.
    """
    missing, extra = sorted({*own} - {*given}), sorted({*given} - {*own})
    if missing or extra:
        parts = [
            f"{text} {', '.join(map(repr, names[:3]))}"
            + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            for text, names in (
                ("the file does not have", missing),
                ("the model does not have", extra),
            )
            if names
        ]
        raise ValueError(
            f"the model must have the layers of the saved one ({'; '.join(parts)})"
        )


def install(model: Module, state: Mapping[str, Tensor]) -> None:
    """Replace all tensors of a model, whose shapes may differ, by those of a file.

    Parameters that are one in the model stay one if their values are equal.

    Raises:
        ValueError: If names, dtypes or numbers of dimensions differ, or a tensor of the
            model is in no checkpoint and has no value.
    """
    own = slots(model)
    check_names(own, state)
    for name, slot in own.items():
        _check_kind(name, slot.value, state[name])
    new: dict[int, Tensor] = {}
    for name, slot in own.items():
        old, value = slot.value, state[name]
        found = new.get(id(old))
        if found is None or not found.equal(value):
            found = Parameter(value, old.requires_grad) if slot.is_parameter else value
            new[id(old)] = found
        held: Any = slot.owner._parameters if slot.is_parameter else slot.owner._buffers
        held[slot.attribute] = found
    for module in model.modules():
        if isinstance(module, RNNBase):  # also keeps its weights in a list
            module._init_flat_weights()
        if isinstance(module, SparseLinear):  # checks its tensors and makes others
            module.load_state_dict(module.state_dict())
            if module.out_features != len(module.indptr) - 1:
                raise ValueError(
                    f"'out_features' must be {len(module.indptr) - 1}, the rows of the "
                    f"weight (got {module.out_features})"
                )
        _check_values(module)


def _check_kind(name: str, old: Tensor, value: Tensor) -> None:
    if is_lazy(old):
        raise ValueError(f"{name!r} of the model has no shape yet (got a lazy layer)")
    same = old.dtype == value.dtype
    floats = old.is_floating_point() and value.is_floating_point()
    if not same and not floats:
        raise ValueError(f"{name!r} must be {value.dtype} (got {old.dtype})")
    if old.dim() != value.dim():
        raise ValueError(
            f"{name!r} must have {value.dim()} dimensions, as in the file (got "
            f"{list(old.shape)})"
        )


def _check_values(module: Module) -> None:
    """Refuse tensors without values, which no file has."""
    for key, value in [*vars(module).items(), *module._buffers.items()]:
        if isinstance(value, Tensor) and value.device == torch.device("meta"):
            raise ValueError(f"{type(module).__name__}.{key} is in no checkpoint")

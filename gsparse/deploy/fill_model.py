"""Fill a module of the caller with the state in a file."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import Module
from torch.nn.parameter import is_lazy

from gsparse.deploy.blueprint import mask_places
from gsparse.deploy.install import Slot, check_names, slots
from gsparse.deploy.layer_settings import check_settings
from gsparse.nn import QuantisedLinear, SparseLinear
from gsparse.nn.masked_parameters import mask_names, mask_parameter, unmask_parameter

_OWN_SHAPES = (QuantisedLinear, SparseLinear)
"""Layers that load tensors of other shapes than they have."""


def fill_model(
    model: Module, state: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> None:
    """Load a state with masks into a module; masks are added where it has none.

    Args:
        model: The module.
        state: Tensors and masks.
        settings: Those of the layers of the saved model.

    Raises:
        ValueError: If names, shapes, dtypes or settings differ; the module is unchanged
            then.
    """
    own, masks = slots(model), mask_names(state)
    new = {mask: name for mask, name in masks.items() if mask not in own}
    check_names({**own, **dict.fromkeys(new)}, state)
    for name, slot in own.items():
        _check(name, slot, state[name])
    for mask, name in new.items():
        if name not in own or state[mask].shape != state[name].shape:
            raise ValueError(f"{mask!r} must be the mask of a parameter")
    check_settings(model, settings)
    before = {name: slot.value.detach().clone() for name, slot in own.items()}
    added = []
    try:
        for owner, attribute in mask_places(model, new.values()):
            mask_parameter(owner, attribute)
            added.append((owner, attribute))
        model.load_state_dict(state)
    except Exception as error:
        for owner, attribute in added[::-1]:
            unmask_parameter(owner, attribute)
        model.load_state_dict(before, strict=False)
        text = " ".join(str(error).split())[:300]
        raise ValueError(
            f"the model must have the layers and sizes of the saved one (got: {text})"
        ) from None


def _check(name: str, slot: Slot, value: Tensor) -> None:
    old = slot.value
    if is_lazy(old):
        raise ValueError(
            f"{name!r} of the model must have a shape (got a lazy layer, "
            "in_channels=-1); build it with the number of features"
        )
    if old.dtype != value.dtype:
        raise ValueError(
            f"{name!r} of the model must be {value.dtype}, as in the file (got "
            f"{old.dtype}); call model.to({value.dtype})"
        )
    if old.shape != value.shape and not isinstance(slot.owner, _OWN_SHAPES):
        raise ValueError(
            f"{name!r} of the model must have shape {list(value.shape)}, as in the "
            f"file (got {list(old.shape)})"
        )

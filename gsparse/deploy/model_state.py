"""State of a model as it is stored: final masks, dense tensors of real numbers."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn import Module
from torch.nn.parameter import is_lazy

from gsparse.deploy.packing import can_pack
from gsparse.nn.final_masks import check_final
from gsparse.nn.masked_parameters import mask_names


class State(NamedTuple):
    """Tensors of a model, with zeros for masked weights, and its masks."""

    tensors: dict[str, Tensor]
    masks: dict[str, Tensor]


def final_state(model: Module) -> State:
    """Return the state of a model, with zeros for masked weights, and its masks.

    Raises:
        ValueError: If a pruner may still change it, or a layer is lazy.
        TypeError: If it contains anything but dense tensors of real numbers.
    """
    check_final(model)
    state = model.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"the state of {type(model).__name__} must be tensors "
                f"(got {type(value).__name__} for {name!r})"
            )
        if is_lazy(value):
            raise ValueError(
                f"{name!r} must have a shape before it is saved (got a lazy layer, "
                "in_channels=-1); run the model once on its data first"
            )
        if not can_pack(value):
            raise TypeError(
                f"{name!r} must be a dense tensor of real numbers "
                f"(got {value.dtype}, {value.layout})"
            )
    masks = mask_names(state)
    found = {name: it.detach() for name, it in state.items() if name not in masks}
    for mask, name in masks.items():
        found[name] = found[name].masked_fill(~state[mask], 0.0)
    return State(found, {mask: state[mask] for mask in masks})


def permanent_state(model: Module) -> dict[str, Tensor]:
    """Return the ``state_dict`` that a model would have after ``make_permanent()``.

    Raises:
        ValueError: If a pruner may still change it, or a layer is lazy.
        TypeError: If it contains anything but dense tensors of real numbers.
    """
    return final_state(model).tensors


def count_weights(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Count the non-zero entries of all tensors with two dimensions or more."""
    layers = {
        name: {"shape": list(it.shape), "num_kept": int(it.count_nonzero())}
        for name, it in state.items()
        if it.dim() > 1
    }
    return {
        "num_weights": sum(state[name].numel() for name in layers),
        "num_kept": sum(layer["num_kept"] for layer in layers.values()),
        "layers": layers,
    }

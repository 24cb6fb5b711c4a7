"""Smooth activations and their second derivatives."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import gelu, softplus

Activation = Literal["gelu", "softplus", "tanh"]

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": gelu,
    "softplus": softplus,
    "tanh": torch.tanh,
}


def check_activation(name: str) -> None:
    """Refuse activations that are unknown or have no second derivative."""
    if name not in FUNCTIONS:
        known = ", ".join(map(repr, FUNCTIONS))
        why = "; a kink has no Hessian" if "elu" in name.lower() else ""
        raise ValueError(f"'activation' must be one of {known} (got {name!r}){why}")


def second_derivative(name: str, x: Tensor) -> Tensor:
    r"""Return the second derivative of an activation in closed form.

    Shapes:
        - **x**, **output:** any, equal

    Example:
        >>> import torch
        >>> from gsparse.explain.activation import second_derivative
        >>> second_derivative("softplus", torch.zeros(1))
        tensor([0.2500])
    """
    check_activation(name)
    if name == "tanh":
        y = torch.tanh(x)
        return -2 * y * (1 - y.square())
    if name == "softplus":
        y = torch.sigmoid(x)
        return y * (1 - y)
    density = torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)
    return density * (2 - x.square())

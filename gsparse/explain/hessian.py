"""Hessians with respect to a shift of all inputs, by differentiating twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.explain.bayesian import BayesianGCN, BayesianMLP
from gsparse.explain.two_layer import Inputs, group_means
from gsparse.nn.calling import call_arguments

_FLAT = ("Relu", "Hardtanh", "Threshold", "Prelu", "Rrelu", "Hardsigmoid")
_CURVED = ("Exp", "Softmax", "LogSoftmax", "Sigmoid", "Tanh", "Gelu", "Softplus", "Elu")


class Place(NamedTuple):
    """Place in a model at which a shift is added."""

    module: Module
    after: bool = False
    """Whether the output is shifted instead of the first input."""
    through: Tensor | None = None
    """Matrix ``[H, F]`` that maps a shift of the units to a shift at this place."""


def find_place(model: Module, layer: str | None = None, narrow: bool = True) -> Place:
    r"""Find the place at which a model is shifted for the input units of ``layer``.

    A layer of a Bayesian network starts with a linear map :math:`W`. A shift
    :math:`\delta` of its input is a shift :math:`W \delta` of its output, which has
    fewer units. Then :math:`H = W^\top H' W` costs one product per hidden unit, for any
    number of features, and does not need dense features.

    Args:
        model: Any module.
        layer: Name of a submodule, such as ``"layers.1"``; ``None`` for the input.
        narrow: Whether to shift the output of the linear map.

    Raises:
        ValueError: If the model has no such module.
    """
    number = layer_number(model, layer)
    if number is not None and narrow:
        linear = model.linear_of(number)  # type: ignore[operator]
        return Place(linear, after=True, through=linear.drawn_weight.detach())
    if layer is None:
        return Place(model)
    modules = dict(model.named_modules())
    if layer not in modules or not layer:
        known = ", ".join(name for name in modules if name) or "none"
        raise ValueError(f"'layer' must be one of {known} (got {layer!r})")
    return Place(modules[layer])


def layer_number(model: Module, layer: str | None) -> int | None:
    """Return the number of a layer of a Bayesian network, or None."""
    if not isinstance(model, BayesianMLP | BayesianGCN):
        return None
    if layer is None:
        return 0
    names = [f"layers.{i}" for i in range(len(model.layers))]
    return names.index(layer) if layer in names else None


@contextmanager
def shifted(place: Place, shift: Tensor) -> Iterator[None]:
    """Add ``shift`` at a place in every call within this context."""
    if place.after:
        handle = place.module.register_forward_hook(
            lambda module, args, output: output + shift
        )
    else:
        handle = place.module.register_forward_pre_hook(
            lambda module, args: (args[0] + shift, *args[1:])
        )
    with handle:
        yield


def width_of(model: Module, inputs: Inputs, place: Place) -> tuple[int, int]:
    """Return the numbers of rows and units at a place."""
    found: list[Tensor] = []
    hook = place.module.register_forward_hook(
        lambda module, args, output: found.append(output if place.after else args[0])
    )
    with hook, torch.no_grad():
        call(model, inputs)
    if not found or found[0].dim() != 2:
        got = "no call" if not found else f"shape {list(found[0].shape)}"
        raise ValueError(
            f"'layer' must be called with a matrix with one row per node (got {got})"
        )
    return found[0].size(0), found[0].size(1)


def call(model: Module, inputs: Inputs) -> Tensor:
    """Return the outputs of a model, one row per node."""
    x, edge_index, edge_weight = inputs
    if edge_index is None:
        out = model(x)
    elif edge_weight is None:
        out = model(x, edge_index)
    else:
        data = Data(x=x, edge_index=edge_index, edge_weight=edge_weight)
        out = call_arguments(model, data).call(model)
    return out.unsqueeze(1) if out.dim() == 1 else out


def product_hessians(
    model: Module,
    inputs: Inputs,
    group: Tensor,
    num_groups: int,
    readout: Tensor,
    units: Tensor,
    place: Place,
) -> Iterator[Tensor]:
    r"""Compute the Hessian of each group's mean output for a shift of the units.

    The mean of the Hessians of a group is the Hessian of its mean output. Each of its
    columns is computed by differentiating one component of the gradient.

    Costs a forward pass, and one backward pass through a gradient for each group,
    readout and unit (or hidden unit, if ``place`` has a linear map). Needs the memory
    of a forward and a backward pass plus :math:`O(C^2)`.

    Args:
        model: Any module of twice differentiable operations.
        inputs: Inputs of the model.
        group: Group of each node; nodes of a negative group are excluded.
        num_groups: Number of groups :math:`M`.
        readout: Weights of the output columns in rows, one Hessian per row.
        units: Numbers of the units.
        place: Result of :func:`find_place`.

    Yields:
        One tensor per group.

    Shapes:
        - **group:** :math:`(N,)`
        - **readout:** :math:`(R, C_{out})`
        - **units:** :math:`(C,)`
        - **output:** :math:`(R, C, C)`

    Raises:
        ValueError: If the model has ReLUs, or an operation cannot be differentiated
            twice (for example fused attention).
    """
    through = place.through
    width = width_of(model, inputs, place)[1]
    at = torch.arange(width, device=units.device) if through is not None else units
    delta = torch.zeros(at.numel(), dtype=readout.dtype, device=units.device)
    delta.requires_grad_(True)
    with torch.enable_grad():
        whole = torch.zeros(width, dtype=delta.dtype, device=delta.device)
        with shifted(place, whole.index_copy(0, at, delta)):
            out = call(model, inputs)
        refuse_flat(out)
        means = group_means(out, group, num_groups) @ readout.t()  # [M, R]
        for row in means:
            found = torch.stack([_hessian(value, delta) for value in row])
            if through is not None:
                found = through[:, units].t() @ found @ through[:, units]
            yield found.detach()


def _hessian(value: Tensor, delta: Tensor) -> Tensor:
    zero = torch.zeros(delta.numel(), delta.numel(), dtype=delta.dtype)
    zero = zero.to(delta.device)
    if not value.requires_grad:
        return zero
    try:
        (first,) = torch.autograd.grad(
            value, delta, create_graph=True, allow_unused=True, retain_graph=True
        )
        if first is None or not first.requires_grad:  # linear in the shift
            return zero
        for j in range(delta.numel()):
            (column,) = torch.autograd.grad(
                first[j], delta, retain_graph=True, allow_unused=True
            )
            if column is not None:
                zero[j] = column
    except RuntimeError as error:
        raise ValueError(
            f"'model' must be twice differentiable (got: {error}); build attention "
            "layers with attention='reference', or call "
            "gsparse.nn.accelerate(model, attention='reference')"
        ) from error
    return (zero + zero.t()) / 2


def refuse_flat(output: Tensor) -> None:
    """Refuse an output that depends on piecewise linear operations.

    LeakyReLU is accepted together with a smooth nonlinear operation, as in attention.

    Raises:
        ValueError: If there is such an operation; the message names it.
    """
    seen: set[Any] = set()
    todo = [output.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        todo += [other for other, _ in node.next_functions]
    names = {node.name() for node in seen}
    flat = sorted(name for name in names if name.startswith(_FLAT))
    leaky = sorted(name for name in names if name.startswith("LeakyRelu"))
    if leaky and not any(name.startswith(_CURVED) for name in names):
        flat += leaky
    if flat:
        what = flat[0].removesuffix("Backward0").removesuffix("Backward1")
        raise ValueError(
            f"'model' must have smooth activations (got {what}, whose second "
            "derivative is 0 almost everywhere); train with softplus, tanh or GELU"
        )

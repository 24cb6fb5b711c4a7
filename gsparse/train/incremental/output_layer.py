"""Find the output layer of a model, and build one for another number of classes."""

import copy
from typing import TypeGuard

from torch import nn
from torch.nn import Module, ModuleDict, ModuleList, Parameter, Sequential
from torch_geometric.nn import Linear
from torch_geometric.nn.conv import MessagePassing

_LINEAR = (nn.Linear, Linear)
_WIDTHS = ("out_channels", "out_features")


def is_linear(module: Module) -> TypeGuard[nn.Linear]:
    """Return whether a module is one of torch's or PyG's linear layers."""
    return isinstance(module, _LINEAR)


def find_output_layer(model: Module) -> str:
    """Return the name of the convolution or linear layer that computes a model's
    logits.

    It contains the last linear layer: it is a convolution whose linear maps all read
    its input, a block around one such convolution, or else that linear layer itself, as
    in the MLP of GIN.

    Raises:
        ValueError: If the model contains no linear layer.

    Example:
        >>> from torch_geometric.nn import GAT, GIN
        >>> from gsparse.train.incremental.output_layer import find_output_layer
        >>> find_output_layer(GAT(500, 8, num_layers=2, out_channels=3))
        'convs.1'
        >>> find_output_layer(GIN(500, 8, num_layers=2, out_channels=3))
        'convs.1.nn.lins.1'
    """
    modules = dict(model.named_modules())
    linears = [name for name, it in modules.items() if name and is_linear(it)]
    if not linears:
        raise ValueError(
            f"'model' must have a linear layer for its output "
            f"(got {type(model).__name__}); give the name of its output layer as 'head'"
        )
    parts = linears[-1].split(".")
    for length in range(1, len(parts)):
        name = ".".join(parts[:length])
        if _is_one_layer(modules[name]):
            return name
    return linears[-1]


def num_outputs(layer: Module) -> int:
    """Return the number of classes of an output layer.

    Raises:
        ValueError: If the layer has no attribute for it.
    """
    for module in layer.modules():
        for name in _WIDTHS:
            if isinstance(width := getattr(module, name, None), int):
                return width
    raise ValueError(
        f"'head' must name a convolution or linear layer (got {type(layer).__name__})"
    )


def output_layer_like(layer: Module, num_classes: int) -> Module:
    """Return a fresh layer of the same kind for another number of classes.

    The rows of linear maps and the lengths of attention vectors and biases change; the
    layer's own ``reset_parameters`` initialises them.

    Args:
        layer: A convolution, a block with one, or a linear layer; not changed.
        num_classes: Number of classes.

    Raises:
        ValueError: If a parameter does not scale with the number of classes.

    Example:
        >>> from torch_geometric.nn import GATConv
        >>> from gsparse.train.incremental.output_layer import output_layer_like
        >>> output_layer_like(GATConv(16, 7, heads=8, concat=False), 3)
        GATConv(16, 3, heads=8)
    """
    if num_classes < 1:
        raise ValueError(f"'num_classes' must be at least 1 (got {num_classes})")
    width, new = num_outputs(layer), copy.deepcopy(layer)
    for name, module in new.named_modules():
        if any(
            buffer.dim() for buffer in module._buffers.values() if buffer is not None
        ):
            raise ValueError(
                f"'head' must hold no statistics (got {type(module).__name__} "
                f"at {name!r}); name a smaller layer"
            )
        for key, old in module._parameters.items():
            if old is None:
                continue
            axis = 0 if is_linear(module) else -1
            shape = list(old.shape)
            if not shape or shape[axis] % width:
                place = f"{name}.{key}".lstrip(".")
                raise ValueError(
                    f"{place!r} of 'head' must have a multiple of {width} outputs "
                    f"(got shape {shape}); name a smaller layer"
                )
            shape[axis] = shape[axis] // width * num_classes
            module._parameters[key] = Parameter(old.new_empty(shape))
        for key in _WIDTHS:
            if isinstance(old_width := getattr(module, key, None), int):
                setattr(module, key, old_width // width * num_classes)
    _reset(new)
    return new


def _reset(layer: Module) -> None:
    if callable(reset := getattr(layer, "reset_parameters", None)):
        reset()
    else:
        for child in layer.children():
            _reset(child)


def _is_one_layer(module: Module) -> bool:
    """Return whether a module is a convolution of parallel linear maps, or a block with
    one.
    """
    if isinstance(module, ModuleList | ModuleDict | Sequential):
        return False
    convs = [it for it in module.modules() if isinstance(it, MessagePassing)]
    if len(convs) != 1:
        return False
    near = {id(child) for parent in (module, *convs) for child in parent.children()}
    linears = [it for it in module.modules() if is_linear(it)]
    width = num_outputs(convs[0])
    sizes = {it.weight.size(1) for it in linears}
    is_parallel = len(sizes) == 1 and all(id(it) in near for it in linears)
    return is_parallel and all(it.weight.size(0) % width == 0 for it in linears)

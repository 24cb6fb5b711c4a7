"""Models whose linear layers store their weights as codes of a few bits."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import Module, Parameter
from torch_geometric.nn import Linear

from gsparse.prune.deploy.quantise import Per, Quantised, nearest_codes, quantise
from gsparse.prune.deploy.sparse_linear import check_final, is_plain_linear, write_zeros
from gsparse.prune.targets import Selector, find_targets

_SAVED = ("codes", "scale", "has_row", "has_column")


class QuantisedLinear(Module):
    r"""A linear layer that stores its weight as int8 codes and a scale, for inference.

    .. math::
        Y = X W^T + b, \qquad W = q \, a

    Only the rows and columns of :math:`a` that are not all zero are stored: what
    pruning by rows, columns or units took away takes no space. :math:`W` is made anew
    in every call, so this saves space in files and, between calls, in memory, and no
    time. The bias stays as it is.

    Its state are buffers: nothing of it is trained. A file of it loads into a layer of
    the same sizes, whatever was pruned of that.

    Args:
        layer: A ``torch.nn.Linear`` or PyG's; not changed.
        weight: Its weight as codes; see :func:`~gsparse.prune.quantise`.

    Raises:
        TypeError: If it is no linear layer.
        ValueError: If the codes are not of its shape.

    Shapes:
        - **x:** :math:`(*, F)`
        - **output:** :math:`(*, C)`

    Example:
        >>> import torch
        >>> from gsparse.prune import quantise
        >>> from gsparse.prune import QuantisedLinear
        >>> layer = torch.nn.Linear(3, 2, bias=False)
        >>> layer.weight.data = torch.tensor([[0.0, 1.0, -3.0], [0.0, 0.0, 0.0]])
        >>> small = QuantisedLinear(layer, quantise(layer.weight, bits=3))
        >>> small.codes, small.scale
        (tensor([[ 1, -3]], dtype=torch.int8), tensor(1.))
        >>> small
        QuantisedLinear(3, 2, bias=False, bits=3, stored=1 x 2)
    """

    codes: Tensor
    scale: Tensor
    has_row: Tensor
    has_column: Tensor
    rows: Tensor
    columns: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Linear | Linear, weight: Quantised) -> None:
        super().__init__()
        if not isinstance(layer, nn.Linear | Linear):
            raise TypeError(
                f"'layer' must be a linear layer (got {type(layer).__name__})"
            )
        codes, scale = weight
        if codes.shape != layer.weight.shape:
            raise ValueError(
                f"'weight' must have the shape of the layer's, "
                f"{list(layer.weight.shape)} (got {list(codes.shape)})"
            )
        self.out_features, self.in_features = map(int, codes.shape)
        present = codes != 0
        self.register_buffer("has_row", present.any(1))
        self.register_buffer("has_column", present.any(0))
        self._locate()
        self.register_buffer("codes", codes[self.rows][:, self.columns])
        self.register_buffer("scale", scale[self.rows] if scale.dim() else scale)
        bias = None if layer.bias is None else layer.bias.detach().clone()
        self.register_buffer("bias", bias)
        self._plain = (_without_tensors(layer),)  # a tuple: no child of this one
        self.training = layer.training

    def _locate(self) -> None:
        """Where the stored rows and columns stand; made of what is saved."""
        for name, has in [("rows", self.has_row), ("columns", self.has_column)]:
            self.register_buffer(name, has.nonzero().view(-1), persistent=False)

    @property
    def weight(self) -> Tensor:
        """The weight with its zeros, made anew in every call."""
        full = self.scale.new_zeros(self.out_features, self.in_features)
        full[self.rows[:, None], self.columns] = Quantised(
            self.codes, self.scale
        ).values
        return full

    @property
    def bits(self) -> int:
        """The fewest bits that hold the codes."""
        largest = int(self.codes.int().abs().max()) if self.codes.numel() else 1
        return largest.bit_length() + 1

    def product(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """``x @ W.T``, plus a bias if one is given."""
        return nn.functional.linear(x, self.weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x, self.bias)

    def dequantise(self) -> nn.Linear | Linear:
        """A layer of the class that it was, with the values of now."""
        plain = copy.deepcopy(self._plain[0])
        plain.weight = Parameter(self.weight)
        if self.bias is not None:
            plain.bias = Parameter(self.bias.clone())
        return plain.train(self.training)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Other rows and columns, and more or fewer scales, may be loaded."""
        held = {name: state_dict.get(prefix + name) for name in _SAVED}
        found = {name: it for name, it in held.items() if it is not None}
        fits = len(found) == len(_SAVED) and all(
            found[name].shape == getattr(self, name).shape
            for name in ("has_row", "has_column")
        )
        if fits:
            self.codes = self.codes.new_zeros(found["codes"].shape)
            self.scale = self.scale.new_zeros(found["scale"].shape)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._locate()
        shape, wanted = list(self.codes.shape), [len(self.rows), len(self.columns)]
        if fits and shape != wanted:
            raise ValueError(
                f"'{prefix}codes' must have shape {wanted}, as 'has_row' and "
                f"'has_column' say (got {shape}); is the file whole?"
            )

    def extra_repr(self) -> str:
        """Sizes, and what is stored."""
        return (
            f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, "
            f"bits={self.bits}, stored={len(self.rows)} x {len(self.columns)}"
        )


def quantise_weights(
    model: Module,
    bits: int = 8,
    per: Per = "layer",
    targets: Iterable[Selector] | Selector | None = None,
    exclude: Iterable[Selector] | Selector = (),
    scales: Mapping[str, Tensor] | None = None,
) -> Module:
    r"""A copy of a model for inference with weights of a few bits.

    Every ``torch.nn.Linear`` and PyG ``Linear``, also inside of convolutions, becomes a
    :class:`QuantisedLinear` with the nearest levels of
    :func:`~gsparse.prune.quantise`; with masks, their zeros are written and
    take no level. All else stays float: biases, attention vectors, ``HeteroLinear``,
    subclasses, and layers with hooks. No weight is trained: to have them trained
    towards their levels use :class:`~gsparse.prune.ADMM` with ``bits`` first.

    Its ``state_dict`` holds a byte for every weight in a row and a column that have
    any, for 8 bits and for fewer, and a byte for every row and column. 8 bits after
    three of four rows, columns or units are gone make the weights 16 times smaller. Of
    unstructured zeros each takes its byte;
    :func:`~gsparse.prune.to_sparse` is for these.

    Args:
        model: Any module, with masks or without; not changed.
        bits: Of a code, from 2 to 8, its sign included.
        per: ``"layer"`` for one scale, ``"row"`` for one in each row.
        targets: As for :func:`~gsparse.prune.find_targets`, but ``None`` takes the
            weights of all these layers, the last one too.
        exclude: As for :func:`~gsparse.prune.find_targets`.
        scales: Scales of some of the weights by name, such as ``pruner.scales`` of
            weights that are at their levels already; others are searched for.

    Raises:
        ValueError: If nothing is left to quantise, a target is not the weight of such
            a layer, ``scales`` names another, or a pruner is in the middle of training
            the model.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import quantise_weights
        >>> model = GCN(500, 16, num_layers=2, out_channels=3)
        >>> small = quantise_weights(model, bits=8)
        >>> small.convs[0].lin
        QuantisedLinear(500, 16, bias=False, bits=8, stored=16 x 500)
        >>> small.convs[0].lin.codes.dtype
        torch.int8
    """
    check_final(model)
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        write_zeros(module)
    layers = {
        f"{name}.weight".lstrip("."): module
        for name, module in model.named_modules()
        if is_plain_linear(module)
    }
    wanted = (lambda name, _: name in layers) if targets is None else targets
    names = [target.name for target in find_targets(model, wanted, exclude)]
    scales = {} if scales is None else scales
    _check_names(names, layers, scales)
    new: dict[Module, Module] = {}
    for name in names:
        weight = layers[name].weight.detach()
        if name in scales:
            scale = scales[name].to(weight)
            found = Quantised(nearest_codes(weight, scale, bits), scale)
        else:
            found = quantise(weight, bits, per)
        new[layers[name]] = QuantisedLinear(layers[name], found)
    return _replaced(model, new).requires_grad_(False)


def dequantise(model: Module) -> Module:
    """A copy of a model with plain layers, of the weights that the codes stand for.

    Its ``state_dict`` loads into a model that was never quantised, and it can be
    trained.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import dequantise, quantise_weights
        >>> model = GCN(500, 16, num_layers=2, out_channels=3)
        >>> dequantise(quantise_weights(model, bits=4)).convs[0].lin
        Linear(500, 16, bias=False)
    """
    model = copy.deepcopy(model)
    new: dict[Module, Module] = {
        module: module.dequantise()
        for module in model.modules()
        if isinstance(module, QuantisedLinear)
    }
    return _replaced(model, new).requires_grad_(True)


def _check_names(
    names: list[str], layers: Mapping[str, Module], scales: Mapping[str, Tensor]
) -> None:
    for name in names:
        if name not in layers:
            raise ValueError(
                f"{name!r} must be the weight of a plain linear layer to be stored as "
                "codes (got another parameter, a subclass, or a layer with hooks); "
                "leave it out by 'exclude'"
            )
    for name in scales:
        if name not in names:
            raise ValueError(
                f"'scales' must be of weights that are quantised, {names} "
                f"(got {name!r})"
            )


def _replaced(model: Module, new: Mapping[Module, Module]) -> Module:
    """The model with other modules in the places of some."""
    for module in list(model.modules()):
        for name, child in module._modules.items():
            if child is not None and child in new:
                module._modules[name] = new[child]
    return new.get(model, model)


def _without_tensors(layer: nn.Linear | Linear) -> nn.Linear | Linear:
    """A layer of the same class and settings that holds nothing."""
    shell = copy.copy(layer)
    shell.__dict__["_parameters"] = dict.fromkeys(layer._parameters)
    return shell

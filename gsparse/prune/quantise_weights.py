"""Models with linear layers that store their weights as codes of a few bits."""

import copy
from collections.abc import Iterable, Mapping

from torch import Tensor
from torch.nn import Module

from gsparse.nn.final_masks import check_final, unmasked_copy
from gsparse.nn.quantised_linear import Quantised, QuantisedLinear
from gsparse.nn.replace_modules import replace_modules
from gsparse.nn.sparse_linear import is_plain_linear
from gsparse.prune.quantise import Per, nearest_codes, quantise
from gsparse.prune.targets import Selector, find_targets


def quantise_weights(
    model: Module,
    bits: int = 8,
    per: Per = "layer",
    targets: Iterable[Selector] | Selector | None = None,
    exclude: Iterable[Selector] | Selector = (),
    scales: Mapping[str, Tensor] | None = None,
) -> Module:
    r"""Return a copy of a model for inference with weights of a few bits.

    Every ``torch.nn.Linear`` and PyG ``Linear``, also inside convolutions, becomes a
    :class:`QuantisedLinear` with the nearest levels of :func:`~gsparse.prune.quantise`;
    masked weights become zeros. Everything else stays float: biases, attention vectors,
    ``HeteroLinear``, subclasses, and layers with hooks. No weight is trained; use
    :class:`~gsparse.prune.ADMM` with ``bits`` first to train weights towards their
    levels.

    The ``state_dict`` of the copy holds one byte for every weight whose row and column
    are not all zero, for any number of bits, and one byte for every row and column.
    With 8 bits and three quarters of the rows removed, the weights take a sixteenth of
    the space. Unstructured zeros take a byte each; use :func:`~gsparse.nn.to_sparse`
    for these.

    Args:
        model: Any module, with or without masks; not changed.
        bits: Bits of a code, from 2 to 8, including its sign.
        per: ``"layer"`` for one scale, ``"row"`` for one in each row.
        targets: Weights to quantise; see :func:`~gsparse.prune.find_targets`, but
            ``None`` takes the weights of all these layers, including the last one.
        exclude: Weights to leave out of ``targets``.
        scales: Scales of some weights by name, such as ``pruner.scales`` of weights
            that are at their levels already; the others are searched for.

    Raises:
        ValueError: If nothing is left to quantise, a target is not the weight of such a
            layer, ``scales`` has the name of another parameter, or a pruner is still
            training the model.

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
    model = unmasked_copy(model)
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
    return replace_modules(model, new).requires_grad_(False)


def dequantise(model: Module) -> Module:
    """Return a copy of a quantised model with plain layers, which can be trained.

    Its ``state_dict`` loads into a model that was never quantised.

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
    return replace_modules(model, new).requires_grad_(True)


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

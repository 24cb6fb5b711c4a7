"""Models whose linear layers store their weights as codes of a few bits."""

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
    :func:`~gsparse.nn.to_sparse` is for these.

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

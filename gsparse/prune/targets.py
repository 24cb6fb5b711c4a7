"""Selection of the parameters of a model that are pruned."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from torch import nn
from torch.nn import Module, Parameter
from torch.nn.parameter import is_lazy
from torch_geometric.nn import HeteroLinear, Linear
from torch_geometric.nn.conv import MessagePassing

Selector = type | str | Callable[[str, Parameter], bool]
"""A class of the parameter's module or of one that contains it, a regular expression to
search for in the parameter's name, or a function of name and parameter."""

_LINEAR = (nn.Linear, Linear, HeteroLinear)


class Target(NamedTuple):
    """One parameter of a model and the module that owns it."""

    name: str
    """Name in ``named_parameters()``."""
    owner: Module
    attribute: str
    layer: str
    """Name of the convolution around the parameter, or else of its module."""

    @property
    def parameter(self) -> Parameter:
        """The parameter itself, without any mask."""
        return self.owner._parameters[self.attribute]  # type: ignore[return-value]


def find_targets(
    model: Module,
    targets: Iterable[Selector] | Selector | None = None,
    exclude: Iterable[Selector] | Selector = (),
) -> list[Target]:
    r"""Return the parameters to prune, in the order of the model.

    Args:
        model: Any module.
        targets: Parameters to prune. ``None`` selects the weights of all ``nn.Linear``
            and all ``Linear`` and ``HeteroLinear`` of PyG, without those of the last
            layer if there is another one.
        exclude: Parameters to leave out of ``targets``.

    Returns:
        Every selected parameter once.

    Raises:
        ValueError: If nothing is left, or a parameter has no shape yet, is used by two
            modules, or is written by its layer (``max_norm`` of embeddings).

    Example:
        >>> from torch_geometric.nn import GAT
        >>> from gsparse.prune import find_targets
        >>> model = GAT(500, 8, num_layers=2, out_channels=3, heads=8)
        >>> [target.name for target in find_targets(model)]
        ['convs.0.lin.weight']
        >>> [target.name for target in find_targets(model, r"\.att_")]
        ['convs.0.att_src', 'convs.0.att_dst', 'convs.1.att_src', 'convs.1.att_dst']
    """
    every = list(_parameters(model))
    modules = dict(model.named_modules())
    if targets is None:
        found = [it for it in every if _is_weight(it)]
        last = found[-1].layer if found else ""
        found = [it for it in found if it.layer != last] or found
    else:
        found = [it for it in every if _matches(it, targets, modules)]
    found = [it for it in found if not _matches(it, exclude, modules)]
    if not found:
        names = ", ".join(it.name for it in every) or "none at all"
        raise ValueError(
            f"'targets' and 'exclude' must leave a parameter of "
            f"{type(model).__name__} (got none of: {names})"
        )
    _check(found, every)
    return found


def _parameters(model: Module) -> Iterator[Target]:
    """Yield all parameters; one of several modules comes once for each of them."""
    around: str | None = None  # name of the convolution around the modules
    for prefix, module in model.named_modules():
        if around is None or (around and not prefix.startswith(f"{around}.")):
            around = prefix if isinstance(module, MessagePassing) else None
        for attribute, parameter in module._parameters.items():
            if parameter is not None:
                name = f"{prefix}.{attribute}".lstrip(".")
                layer = prefix if around is None else around
                yield Target(name, module, attribute, layer)


def _is_weight(target: Target) -> bool:
    return isinstance(target.owner, _LINEAR) and target.attribute == "weight"


def _matches(
    target: Target,
    selectors: Iterable[Selector] | Selector,
    modules: dict[str, Module],
) -> bool:
    if isinstance(selectors, str | type) or callable(selectors):
        selectors = [selectors]
    return any(_matches_one(target, it, modules) for it in selectors)


def _matches_one(
    target: Target, selector: Selector, modules: dict[str, Module]
) -> bool:
    if isinstance(selector, str):
        return re.search(selector, target.name) is not None
    if isinstance(selector, type):
        parts = target.name.split(".")[:-1]
        around = (".".join(parts[:i]) for i in range(len(parts) + 1))
        return any(isinstance(modules[prefix], selector) for prefix in around)
    return bool(selector(target.name, target.parameter))


def _check(found: list[Target], every: list[Target]) -> None:
    users: dict[int, list[str]] = {}
    for it in every:
        users.setdefault(id(it.parameter), []).append(it.name)
    for it in found:
        if is_lazy(it.parameter):
            raise ValueError(
                f"{it.name!r} must have a shape before it is pruned (got a lazy "
                "layer, in_channels=-1); run the model once on its data first"
            )
        if not it.parameter.is_floating_point():
            raise ValueError(
                f"{it.name!r} must be of floats (got {it.parameter.dtype})"
            )
        if getattr(it.owner, "max_norm", None) is not None:
            raise ValueError(
                f"{it.name!r} must not be written in a forward pass, where masks would "
                f"lose that (got max_norm={it.owner.max_norm}); leave it out by "
                "'exclude', or bound the norms in the loss"
            )
        if len(users[id(it.parameter)]) > 1:
            raise ValueError(
                f"{it.name!r} must be used by one module "
                f"(got {', '.join(users[id(it.parameter)])}); leave it out by 'exclude'"
            )

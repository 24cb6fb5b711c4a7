"""Weights of hidden linear layers that tasks share."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import Module
from torch.nn.parameter import is_lazy

from gsparse.nn.masked_parameters import masked_names
from gsparse.train.incremental.low_rank import Factors, LowRankLinear
from gsparse.train.incremental.output_layer import is_linear


class Storage(NamedTuple):
    """Number of values that all tasks need."""

    factors: int
    """Columns that tasks share; for separate models the whole weights."""
    selectors: int
    heads: int
    others: int
    """Biases, attention vectors, parameters and statistics of norms."""

    @property
    def total(self) -> int:
        """Sum of all parts."""
        return sum(self)


def hidden_linears(model: Module, head: str) -> dict[str, nn.Linear]:
    """Return the linear layers outside the output layer by name.

    Raises:
        ValueError: If there is none, or a weight is lazy, has a mask, or is used twice.
    """
    found = {
        name: it
        for name, it in model.named_modules()
        if is_linear(it) and not f"{name}.".startswith(f"{head}.")
    }
    if not found:
        raise ValueError(
            f"'model' must have a linear layer before its output layer {head!r} (got "
            f"none in {type(model).__name__}); give another one as 'head'"
        )
    users: dict[int, list[str]] = {}
    for prefix, module in model.named_modules():
        for key, parameter in module._parameters.items():
            users.setdefault(id(parameter), []).append(f"{prefix}.{key}")
    for name, it in found.items():
        weight: Any = it._parameters["weight"]
        if is_lazy(weight):
            raise ValueError(
                f"'{name}.weight' must have a shape (got a lazy layer, "
                "in_channels=-1); run the model once on its data first"
            )
        if masked_names(it):
            raise ValueError(
                f"'{name}.weight' must have no mask (got one of a pruner); call its "
                "make_permanent() first"
            )
        if len(users[id(weight)]) > 1:
            raise ValueError(
                f"'{name}.weight' must be used by one module "
                f"(got {', '.join(users[id(weight)])})"
            )
    return found


def without_weights(
    model: Module, found: Mapping[str, nn.Linear], shared: Iterable[Factors]
) -> Module:
    """Return a copy of a model whose linear layers read factors, without a task yet.

    Args:
        model: The model; not changed.
        found: Its hidden linear layers, from :func:`hidden_linears`.
        shared: Factors of each layer.
    """
    memo: dict[int, Any] = {
        id(old): LowRankLinear(factors, -1, old.bias)
        for old, factors in zip(found.values(), shared, strict=True)
    }
    out = copy.deepcopy(model, memo)
    for module in out.modules():
        if getattr(module, "cached", False) is True:
            module.cached = False  # type: ignore[assignment]
        for key in [key for key in vars(module) if key.startswith("_cached_")]:
            setattr(module, key, None)
    return out


def count(
    factors: int, tasks: Iterable[Module], names: Iterable[str], head: str
) -> Storage:
    """Return the number of values that a sequence of tasks needs.

    Args:
        factors: Number of values in the shared factors.
        tasks: The model of each task.
        names: Names of the layers that read the factors.
        head: Name of the output layer.
    """
    selectors = heads = total = 0
    names = list(names)
    for model in tasks:
        selectors += sum(low_rank_layer(model, name).s.numel() for name in names)
        heads += count_numbers(model.get_submodule(head))
        total += count_numbers(model)
    return Storage(factors, selectors, heads, total - selectors - heads)


def low_rank_layer(model: Module, name: str) -> LowRankLinear:
    """Return the low-rank layer with this name."""
    return model.get_submodule(name)  # type: ignore[return-value]


def count_numbers(module: Module) -> int:
    """Return the number of values in the state of a module."""
    return sum(t.numel() for t in module.state_dict().values() if isinstance(t, Tensor))

"""Find out how a model can be built again."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor
from torch.nn import Module

from gsparse.compaction.unread import WholeInput
from gsparse.deploy.blueprint import Blueprint, Builder, build_own, is_size
from gsparse.deploy.known_models import KNOWN, tell_arguments
from gsparse.deploy.known_wrappers import tell_wrapper
from gsparse.deploy.model_diff import Difference, differences
from gsparse.nn import SparseLinear
from gsparse.nn.masked_parameters import plain_class

KEPT = "kept_features"
"""Attribute of a compacted model that must be given fewer features."""


def tell_blueprint(
    model: Module,
    masked: Iterable[str],
    state: Mapping[str, Tensor],
    build: Builder | None = None,
    name: str = "",
    arguments: Mapping[str, Any] | None = None,
) -> Blueprint:
    """Return the blueprint of a model.

    The model that it describes has the layers and settings of this one, but for
    :data:`KEPT`; this is checked by building it.

    Args:
        model: A model, with wrappers round it or without.
        masked: Names of the parameters with a mask.
        state: Its tensors.
        build: Function for the innermost model; ``None`` for a known one.
        name: Its name.
        arguments: Its arguments; ``None`` reads those of a known model from it.

    Raises:
        ValueError: If the function is missing, or builds another model.
    """
    levels: list[Module] = [model]
    wrappers: list[Any] = []
    while (found := tell_wrapper(levels[-1])) is not None:
        wrappers.append(found)
        levels.append(levels[-1].model)  # type: ignore[arg-type]
    if build is not None:
        kind = plain_class(build_own(build, name, arguments or {}))
        level = next((i for i, it in enumerate(levels) if plain_class(it) is kind), -1)
        wrappers = wrappers[:level] if level >= 0 else wrappers
    elif arguments is None:
        told = tell_arguments(levels[-1])
        if told is None:
            known = ", ".join(KNOWN)
            raise ValueError(
                f"{type(levels[-1]).__name__} is not one of {known} as they are built"
            )
        name, arguments = told
    try:  # as they come back from a file
        arguments, wrappers = json.loads(json.dumps([dict(arguments or {}), wrappers]))
    except (TypeError, ValueError):
        raise ValueError(f"{name} has arguments that are not JSON") from None
    plan = Blueprint(name, arguments, tuple((key, it) for key, it in wrappers[::-1]))

    def compare(plan: Blueprint) -> list[Difference]:
        other = plan.assemble(build, masked, state)
        return [it for it in differences(model, other) if it.name != KEPT]

    plan = replace(plan, attention=_attention(model, compare(plan)))
    plan = replace(plan, sparse=_sparse(model, compare(plan)))
    sizes, guards, others = _sort(model, compare(plan))
    if others:
        raise ValueError(f"{name} builds another model: {others[0]}")
    return replace(plan, sizes=sizes, guards=guards)


def _attention(model: Module, found: list[Difference]) -> str | None:
    """Return the argument with which ``accelerate`` was called, if it was."""
    fused = [
        model.get_submodule(it.path).attention
        for it in found
        if it.name == "class" and it.here == f"Fast{it.there}"
        if hasattr(model.get_submodule(it.path), "attention")
    ]
    return str(fused[0]) if fused else None


def _sparse(model: Module, found: list[Difference]) -> dict[str, bool]:
    """Return the layers that ``to_sparse`` replaced, and whether they have a bias."""
    return {
        it.path: getattr(model.get_submodule(it.path), "bias", None) is not None
        for it in found
        if it.name == "class" and it.here == SparseLinear.__name__
    }


def _sort(
    model: Module, found: list[Difference]
) -> tuple[dict[str, dict[str, Any]], dict[str, tuple[str, int]], list[Difference]]:
    """Return sizes, guards and all other differences."""
    sizes: dict[str, dict[str, Any]] = {}
    guards, others = {}, []
    for it in found:
        hooks = model.get_submodule(it.path)._forward_pre_hooks.values()
        if is_size(it.name, it.here) and is_size(it.name, it.there):
            value = list(it.here) if isinstance(it.here, list | tuple) else it.here
            sizes.setdefault(it.path, {})[it.name] = value
        elif it.name == "_forward_pre_hooks" and _is_guard(it):
            guard: Any = next(iter(hooks))
            guards[it.path] = (guard.path, guard.width)
        else:
            others.append(it)
    return sizes, guards, others


def _is_guard(it: Difference) -> bool:
    return it.here == [WholeInput.__qualname__] and it.there == []

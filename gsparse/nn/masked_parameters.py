"""A layer that reads some of its parameters through masks."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, ModuleDict

# ruff: noqa: ANN401 (what a layer's own methods take)

#: Name of the child that holds the masks; its buffers are part of checkpoints.
CHILD = "weight_masks"

_CLASSES: dict[tuple[type[Module], tuple[str, ...]], type[Module]] = {}


class WeightMask(Module):
    """Which entries of one parameter are there: a bool each, or weights in training.

    Shapes:
        - **keep:** that of the parameter
    """

    keep: Tensor
    soft: Tensor | Callable[[Tensor], Tensor] | None
    """What multiplies the parameter instead, or makes of it what the layer reads, while
    it is set; never saved."""

    pruner: Any
    """The pruner that moves the mask, if one does; never saved."""

    def __init__(self, parameter: Tensor) -> None:
        super().__init__()
        keep = torch.ones_like(parameter, dtype=torch.bool, requires_grad=False)
        self.register_buffer("keep", keep)
        self.soft = self.pruner = None

    @property
    def unfinished(self) -> bool:
        """Whether a pruner has not reached its sparsity yet; not so in copies."""
        return self.pruner is not None and not self.pruner.done

    def forward(self, parameter: Tensor) -> Tensor:
        """The parameter with zeros for what is not there, also where it is NaN."""
        if callable(self.soft):
            return self.soft(parameter)
        if self.soft is not None:
            return parameter * self.soft
        return torch.where(self.keep, parameter, 0.0)

    def __getstate__(self) -> dict[str, Any]:
        # Parts of a graph and of a training run: not to be copied.
        return vars(self) | {"soft": None, "pruner": None}


def mask_parameter(owner: Module, name: str) -> WeightMask:
    """From now on ``owner.<name>`` is its parameter times a mask, at first of ones.

    The parameter itself stays where it was, a leaf with its full values: optimisers,
    ``named_parameters`` and checkpoints see it under its name; its mask is saved beside
    it. The class of the owner becomes a subclass of what it was, so that every way of
    reading the parameter goes through the mask.

    Raises:
        ValueError: If the owner has no such parameter, or it has a mask already.
    """
    parameter = owner._parameters.get(name)
    if parameter is None:
        raise ValueError(
            f"{type(owner).__name__} must have a parameter {name!r} "
            f"(got {sorted(owner._parameters)})"
        )
    names = masked_names(owner)
    if name in names:
        raise ValueError(
            f"{name!r} of {type(owner).__name__} has a mask already; one pruner holds "
            "a weight at a time: call its undo() or make_permanent() first"
        )
    if CHILD not in owner._modules:
        owner.add_module(CHILD, ModuleDict())
    mask = WeightMask(parameter)
    _masks(owner)[name] = mask
    owner.__class__ = masked_class(plain_class(owner), (*names, name))
    return mask


def unmask_parameter(owner: Module, name: str) -> None:
    """Take the mask of a parameter away; its full values are read again."""
    left = [other for other in masked_names(owner) if other != name]
    del _masks(owner)[name]
    if left:
        owner.__class__ = masked_class(plain_class(owner), left)
    else:
        del owner._modules[CHILD]
        owner.__class__ = plain_class(owner)


def plain_class(layer: Module) -> type[Module]:
    """The class of a layer without masks."""
    return getattr(type(layer), "_plain_class", type(layer))


def masked_names(layer: Module) -> tuple[str, ...]:
    """Names of the parameters of a layer that have masks."""
    return getattr(type(layer), "_masked_names", ())


def masked_class(kind: type[Module], names: Iterable[str]) -> type[Module]:
    """The subclass of ``kind`` that reads these parameters through masks."""
    key = (kind, tuple(sorted(names)))
    if key not in _CLASSES:
        body: dict[str, Any] = {name: property(_reader(name)) for name in key[1]}
        body |= {"_plain_class": kind, "_masked_names": key[1], "__module__": __name__}
        for method in ("_save_to_state_dict", "reset_parameters"):
            if hasattr(kind, method):
                body[method] = _unmasked(getattr(kind, method))
        body["__reduce_ex__"] = _reduce
        _CLASSES[key] = type(f"Masked{kind.__name__}", (kind,), body)
    return _CLASSES[key]


def _masks(layer: Module) -> ModuleDict:
    return layer._modules[CHILD]  # type: ignore[return-value]


def _reader(name: str) -> Callable[[Module], Tensor]:
    def read(self: Module) -> Tensor:
        parameter = self._parameters[name]
        if self.__dict__.get("_reads_raw", False):
            return parameter  # type: ignore[return-value]
        return _masks(self)[name](parameter)

    return read


def _unmasked(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, in which parameters are what they are without masks."""

    def run(self: Module, *args: Any, **kwargs: Any) -> Any:
        with _raw(self):
            return method(self, *args, **kwargs)

    return run


@contextmanager
def _raw(layer: Module) -> Iterator[None]:
    layer.__dict__["_reads_raw"] = True
    try:
        yield
    finally:
        del layer.__dict__["_reads_raw"]


def _reduce(self: Module, protocol: Any) -> Any:
    """Pickle and copy by the plain class, which can be found by its name."""
    found: Any = super(type(self), self).__reduce_ex__(protocol)
    return _rebuild, (plain_class(self), masked_names(self)), *found[2:]


def _rebuild(kind: type[Module], names: tuple[str, ...]) -> Module:
    cls = masked_class(kind, names)
    return cls.__new__(cls)

"""Masks on the parameters of a layer."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.nn import Embedding, EmbeddingBag, Module, ModuleDict, Parameter, RNNBase

from gsparse.nn.masked_value import MaskedValue, guard, refusal
from gsparse.nn.weight_mask import WeightMask

# ruff: noqa: ANN401 (arguments of a layer's own methods)

#: Name of the child that holds the masks; its buffers are part of checkpoints.
CHILD = "weight_masks"

#: Attributes that a layer has during a call only; they are not copied.
_RUNNING, _RAW = "_runs_now", "_reads_raw"

_CLASSES: dict[tuple[type[Module], tuple[str, ...]], type[Module]] = {}


def mask_parameter(owner: Module, name: str) -> WeightMask:
    """Make ``owner.<name>`` read as its parameter times a mask, initially of ones.

    The parameter stays registered as a leaf with its full values: optimisers,
    ``named_parameters`` and checkpoints see it under its name, and its mask is saved
    with it. The class of the owner becomes a subclass of its former class, so that
    every read of the parameter goes through the mask. Code outside of the owner reads a
    :class:`~gsparse.nn.masked_value.MaskedValue`, which refuses writes.

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
            f"{name!r} of {type(owner).__name__} has a mask already; a weight can have "
            "one pruner at a time: call its undo() or make_permanent() first"
        )
    if CHILD not in owner._modules:
        owner.add_module(CHILD, ModuleDict())
    mask = WeightMask(parameter)
    _masks(owner)[name] = mask
    _set_masked(owner, (*names, name))
    return mask


def unmask_parameter(owner: Module, name: str) -> None:
    """Remove the mask of a parameter; its full values are read again."""
    left = [other for other in masked_names(owner) if other != name]
    del _masks(owner)[name]
    if not left:
        del owner._modules[CHILD]
    _set_masked(owner, left)


def _set_masked(owner: Module, names: Sequence[str]) -> None:
    """Give a layer the class and the parameter dictionary for these masked names."""
    kind = plain_class(owner)
    owner.__class__ = masked_class(kind, names) if names else kind
    parameters = dict(owner._parameters)
    kept = _KeptParameters(parameters, f"{kind.__name__}.", names)
    vars(owner)["_parameters"] = kept if names else parameters
    if isinstance(owner, RNNBase):  # also keeps its weights in a list
        vars(owner).pop("_flat_weights", None)
        owner._init_flat_weights()


class _KeptParameters(dict[str, Parameter | None]):
    """Parameters of a layer; masked ones cannot be deleted."""

    def __init__(
        self,
        parameters: Mapping[str, Parameter | None],
        prefix: str,
        names: Sequence[str],
    ) -> None:
        super().__init__(parameters)
        self.masked = {name: prefix + name for name in names}

    def __delitem__(self, name: str) -> None:
        if name in self.masked:
            raise RuntimeError(refusal(self.masked[name], "del"))
        super().__delitem__(name)

    def __reduce__(self) -> Any:
        return _KeptParameters, (dict(self), "", ()), {"masked": self.masked}


def plain_class(layer: Module) -> type[Module]:
    """Return the class of a layer without masks."""
    return getattr(type(layer), "_plain_class", type(layer))


def masked_names(layer: Module) -> tuple[str, ...]:
    """Return the names of the masked parameters of a layer."""
    return getattr(type(layer), "_masked_names", ())


def masked_class(kind: type[Module], names: Iterable[str]) -> type[Module]:
    """Return the subclass of ``kind`` that reads these parameters through masks."""
    key = (kind, tuple(sorted(names)))
    if key not in _CLASSES:
        body: dict[str, Any] = {
            name: property(_reader(kind, name), _setter(name)) for name in key[1]
        }
        body |= {"_plain_class": kind, "_masked_names": key[1], "__module__": __name__}
        for method in ("_save_to_state_dict", "reset_parameters"):
            if hasattr(kind, method):
                body[method] = _unmasked(getattr(kind, method))
        if issubclass(kind, RNNBase):
            body |= _RNN_BODY
        body["__reduce_ex__"] = _reduce
        body["__call__"] = _marked_as_running(kind.__call__)
        body["register_parameter"] = _refuse_masked(kind.register_parameter)
        _CLASSES[key] = type(f"Masked{kind.__name__}", (kind,), body)
    return _CLASSES[key]


def mask_of(layer: Module, name: str) -> WeightMask:
    """Return the mask of a parameter of a layer."""
    return _masks(layer)[name]  # type: ignore[return-value]


def mask_names(names: Iterable[str]) -> dict[str, str]:
    """Return which of the names in a checkpoint are masks, and of which parameter.

    Example:
        >>> from gsparse.nn.masked_parameters import mask_names
        >>> mask_names(["lin.bias", "lin.weight", "lin.weight_masks.weight.keep"])
        {'lin.weight_masks.weight.keep': 'lin.weight'}
    """
    marked = [name for name in names if CHILD in name.split(".")[-3:-2]]
    return {
        name: ".".join([*name.split(".")[:-3], name.split(".")[-2]]) for name in marked
    }


def _masks(layer: Module) -> ModuleDict:
    return layer._modules[CHILD]  # type: ignore[return-value]


def _reader(kind: type[Module], name: str) -> Callable[[Module], Tensor]:
    owner_and_name = f"{kind.__name__}.{name}"
    embeds = issubclass(kind, Embedding | EmbeddingBag)

    def read(self: Module) -> Tensor:
        try:
            parameter = self._parameters[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no {name!r}") from None
        if self.__dict__.get(_RAW, False):
            return parameter  # type: ignore[return-value]
        value = _masks(self)[name](parameter)
        if embeds and self.sparse and value.requires_grad:
            value.register_hook(_refuse_sparse)
        if (
            self.__dict__.get(_RUNNING, False)
            or type(parameter) is not Parameter  # of a functional call
            or torch.compiler.is_compiling()
            or torch.jit.is_tracing()
            or _is_library_forward(sys._getframe(1))
        ):
            return value
        return guard(value, owner_and_name, parameter.requires_grad)

    return read


def _refuse_sparse(grad: Tensor) -> None:
    """Refuse sparse gradients of an embedding, for which a mask has no derivative."""
    if grad.is_sparse:
        raise ValueError(
            "gradients of a masked embedding must be dense (got sparse ones); set "
            "sparse=False, or call the pruner's undo() or make_permanent() first"
        )


def _is_library_forward(frame: FrameType) -> bool:
    """Return whether the ``forward`` of a library layer reads the parameter.

    Attention, for example, reads its projections. Such reads need no guard, which would
    cost time and keep torch from its fused path for plain tensors.
    """
    return frame.f_code.co_name == "forward" and frame.f_globals.get(
        "__name__", ""
    ).startswith(("torch.nn.modules.", "torch_geometric.nn.", "gsparse.nn."))


def _setter(name: str) -> Callable[[Module, Tensor], None]:
    def write(self: Module, value: Tensor) -> None:
        """Set the value in a replica; other layers have a parameter of that name."""
        self._parameters[name] = value  # type: ignore[assignment]

    return write


def _marked_as_running(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the call of a layer, during which its own reads need no guard against
    writes.
    """

    def run(self: Module, *args: Any, **kwargs: Any) -> Any:
        state = self.__dict__
        hooks = state["_forward_pre_hooks"] or state["_forward_hooks"]
        if hooks or _RUNNING in state or torch.compiler.is_compiling():
            return call(self, *args, **kwargs)
        state[_RUNNING] = True
        try:
            return call(self, *args, **kwargs)
        finally:
            del state[_RUNNING]

    return run


def _refuse_masked(register: Callable[..., None]) -> Callable[..., None]:
    """Return ``register_parameter`` with a check that refuses masked values."""

    def run(self: Module, name: str, param: Tensor | None) -> None:
        if isinstance(param, MaskedValue):
            action = f"register_parameter of {name!r}"
            raise RuntimeError(refusal(param.owner_and_name, action))
        register(self, name, param)

    return run


def _nothing(self: Module) -> None:
    """Replace methods that maintain the weight list of an RNN."""


#: The weight list of an RNN would keep the values of the last read.
_RNN_BODY: dict[str, Any] = {
    "_flat_weights": property(
        lambda self: [getattr(self, name, None) for name in self._flat_weights_names],
        lambda self, value: None,
    ),
    "_init_flat_weights": _nothing,
    "_update_flat_weights": _nothing,
    "flatten_parameters": _nothing,
}


def _unmasked(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method with reads of parameters that ignore masks."""

    def run(self: Module, *args: Any, **kwargs: Any) -> Any:
        self.__dict__[_RAW] = True
        try:
            return method(self, *args, **kwargs)
        finally:
            del self.__dict__[_RAW]

    return run


def _reduce(self: Module, protocol: Any) -> Any:
    """Pickle and copy as the plain class, which can be found by its name."""
    found: Any = super(type(self), self).__reduce_ex__(protocol)
    state = {k: v for k, v in found[2].items() if k not in (_RUNNING, _RAW)}
    return _rebuild, (plain_class(self), masked_names(self)), state, *found[3:]


def _rebuild(kind: type[Module], names: tuple[str, ...]) -> Module:
    cls = masked_class(kind, names)
    return cls.__new__(cls)

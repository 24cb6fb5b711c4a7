"""A read-only tensor for the masked values of a pruned parameter."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.nn import Parameter
from torch.utils._pytree import tree_leaves, tree_map_only

# ruff: noqa: ANN401 (signature of torch's protocol)

_WRITES = {"__setitem__", "__set__"} | {
    f"__i{operation}__"
    for operation in (
        *("add", "sub", "mul", "div", "truediv", "floordiv", "mod", "pow"),
        *("and", "or", "xor", "lshift", "rshift"),
    )
}


class MaskedValue(Tensor):
    """Masked values of a parameter; writing to them raises an error.

    They are computed again at each read, so a write would be lost. Writing to a view
    or to ``.data`` raises too; every other operation returns a plain tensor. Writing
    to the array of ``.numpy()`` cannot be detected.
    """

    owner_and_name: str
    trained: bool | None = None
    """Whether the parameter requires a gradient; ``None`` for views of it."""

    @property
    def _is_param(self) -> bool:
        """Flag set by ``Parameter(value)``, which makes an independent parameter."""
        return False

    @_is_param.setter
    def _is_param(self, _: bool) -> None:
        self.__class__ = Parameter  # type: ignore[assignment]

    def set_(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(refusal(self.owner_and_name, "set_"))

    @classmethod
    def __torch_function__(
        cls,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if torch.compiler.is_compiling():
            # A compiler cannot trace the code below.
            return torch._C._disabled_torch_function_impl(
                func, types, args, dict(kwargs)
            )
        for target in _written(func, args, kwargs):
            name = func.__name__
            action = f"{func.__self__.__name__} = ..." if name == "__set__" else name
            raise RuntimeError(refusal(target.owner_and_name, action))
        with torch._C.DisableTorchFunctionSubclass():
            out = func(*args, **kwargs)
            if not any(isinstance(it, Tensor) for it in tree_leaves(out)):
                return out  # for example a size, which would become a tuple
            values = [v for v in tree_leaves((args, kwargs)) if isinstance(v, cls)]
            return tree_map_only(Tensor, lambda it: _guard_view(it, values), out)

    def __repr__(self, **kwargs: Any) -> str:  # type: ignore[override]
        return repr(_plain(self))

    def __format__(self, format_spec: str) -> str:
        return format(_plain(self), format_spec)

    def __deepcopy__(self, memo: Any) -> Tensor:
        return copy.deepcopy(_plain(self), memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _plain(self).__reduce_ex__(protocol)


def guard(
    value: Tensor, owner_and_name: str, trained: bool | None = None
) -> MaskedValue:
    """Return a read-only view of a tensor."""
    guarded = value.as_subclass(MaskedValue)
    guarded.owner_and_name, guarded.trained = owner_and_name, trained
    return guarded


def refusal(owner_and_name: str, action: str) -> str:
    """Return the error message for a write that would be lost or remove the mask."""
    return (
        f"{owner_and_name} is pruned: it reads as a masked copy, which cannot be "
        f"changed (got {action!r}); write to the parameter itself, "
        "pruner.masks.parameters()[name], under torch.no_grad(), or call the pruner's "
        "undo() or make_permanent() first"
    )


def _plain(value: Tensor) -> Tensor:
    with torch._C.DisableTorchFunctionSubclass():
        return value.as_subclass(Tensor)


def _guard_view(out: Tensor, values: list[MaskedValue]) -> Tensor:
    """Return the result, read-only if it shares memory with one of the values."""
    if isinstance(out, MaskedValue):
        return out
    for value in values:
        if _same_memory(out, value):
            return guard(out, value.owner_and_name)
    return out


def _same_memory(a: Tensor, b: Tensor) -> bool:
    if a.layout != torch.strided or is_functorch_wrapped_tensor(a):
        return False
    return a.untyped_storage()._cdata == b.untyped_storage()._cdata


def _written(
    func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[MaskedValue]:
    """Return the masked values that a call of a torch function would write to."""
    name = func.__name__.partition(".")[0]
    targets: list[Any] = [kwargs.get("out")]
    in_place = name.endswith("_") and not name.endswith("__")
    if in_place or name in _WRITES or kwargs.get("inplace", False):
        targets.append(args[0] if args else kwargs.get("tensor", kwargs.get("input")))
    found = [it for it in tree_leaves(targets) if isinstance(it, MaskedValue)]
    wanted = _wanted_requires_grad(func, args, kwargs)
    return [it for it in found if wanted is None or it.trained is (not wanted)]


def _wanted_requires_grad(
    func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bool | None:
    """Return the ``requires_grad`` that a call sets, or None."""
    if func is Tensor.requires_grad_:
        return bool(args[1] if len(args) > 1 else kwargs.get("requires_grad", True))
    if func == Tensor.requires_grad.__set__:  # type: ignore[attr-defined]
        return bool(args[1])
    return None

"""Base class of layers that replace PyG's code by a kernel where the results
are equal.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.modules.module import _has_any_global_hook
from torch_geometric import EdgeIndex
from torch_geometric.nn.conv import MessagePassing

from gsparse.kernels.graph import Graph
from gsparse.kernels.spmm import SparseMatrix
from gsparse.kernels.tracing import is_beyond_grad, is_recorded

# ruff: noqa: ANN401 (PyG's arguments are unions of tensors, pairs and adjacencies)

#: Steps that a subclass or a user may override; a kernel does all of them at once.
STEPS = ("message", "aggregate", "message_and_aggregate", "update", "edge_update")
#: Methods that PyG compiles for every class.
COMPILED = ("propagate", "edge_updater")
#: Attributes with the hooks of these steps.
HOOKS = tuple(
    f"_{step}_forward{pre}_hooks"
    for step in ("propagate", *STEPS)
    if step != "update"
    for pre in ("_pre", "")
)
_MODULE_HOOKS = (
    "_forward_pre_hooks",
    "_forward_hooks",
    "_backward_pre_hooks",
    "_backward_hooks",
)


def general(name: str) -> Any:
    """Return ``propagate`` or ``edge_updater`` as written for any layer, not compiled.

    Once ``MessagePassing`` itself has been instantiated, its own attribute is compiled.
    """
    return getattr(MessagePassing, f"_orig_{name}", getattr(MessagePassing, name))


def steps_of(kind: type[MessagePassing], **own: Any) -> dict[str, Any]:
    """Return the message passing steps of a class, updated by the given ones."""
    return {name: getattr(kind, name) for name in STEPS} | own


class FastLayer(MessagePassing):
    """A PyG layer whose call is one kernel where that equals PyG's code."""

    #: PyG's layer with the same parameters.
    plain: ClassVar[type[MessagePassing]]
    #: The steps that the kernel stands for.
    steps: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # An explainer needs a propagate that was compiled for this class, not a parent.
        super().__init_subclass__(**kwargs)
        for name in COMPILED:
            found, base = getattr(cls, name), general(name)
            if found in (base, getattr(cls, f"_jinja_{name}", None)):
                setattr(cls, name, base)

    def takes_kernel(self, x: Any, edge_index: Any) -> bool:
        """Return whether a kernel covers everything that this call asks for.

        It does for features ``[N, F]`` and a list of edges or a ``Graph``. PyG's code
        runs if message passing is hooked, explained, overridden, traced or
        differentiated in forward mode.
        """
        return (
            isinstance(x, Tensor)
            and _is_matrix(x)
            and _is_edge_list(edge_index, x)
            and self.node_dim in (0, -2)
            and self.is_untouched()
            and not is_recorded()
            and not is_beyond_grad()
        )

    def is_untouched(self) -> bool:
        """Return whether message passing is PyG's own and has no hooks."""
        own, kind = self.__dict__, type(self)
        if self.explain or not is_quiet(own["_modules"].get("aggr_module")):
            return False
        for name in HOOKS:  # loops, since generators take three times as long
            if own.get(name):
                return False
        for name, step in self.steps.items():
            if getattr(kind, name) is not step or name in own:
                return False
        return all(map(self._is_compiled, COMPILED))

    def _is_compiled(self, name: str) -> bool:
        """Return whether ``propagate`` or ``edge_updater`` is PyG's."""
        kind, base = type(self), general(name)
        known = base, getattr(kind, f"_jinja_{name}", base)
        here = self.__dict__.get(name)
        if here is not None and getattr(here, "__func__", None) not in known:
            return False
        found, before = getattr(kind, name), getattr(kind, f"_orig_{name}", base)
        return found in known and before is base

    def __prepare_scriptable__(self) -> MessagePassing:
        """Return PyG's layer, which ``torch.jit.script`` compiles in place of this one.

        Raises:
            TypeError: If this is a subclass, which may compute something else.
        """
        if "plain" not in type(self).__dict__:
            raise TypeError(
                f"torch.jit.script takes {self.plain.__name__} and its fast twin, no "
                f"subclass (got {type(self).__name__}): script a layer of PyG"
            )
        made = self.plain.__new__(self.plain)  # type: ignore[call-overload]
        made.__setstate__(dict(self.__dict__))
        return made


def as_dtypes_of(hidden: Tensor, other: Tensor) -> Tensor:
    """Return ``hidden`` in the promoted dtype; autocast lowers linear layers only."""
    if not torch.is_autocast_enabled(hidden.device.type):
        return hidden
    return hidden.to(torch.promote_types(hidden.dtype, other.dtype))


def with_long_ids(edge_index: Any) -> Any:
    """Return the edges for PyG's code, with 64-bit ids if they are a dense tensor.

    Torch's ``gather``, and with it the derivative of ``scatter_add``, gives wrong
    results for an expanded 32-bit index.
    """
    is_list = isinstance(edge_index, Tensor) and edge_index.layout is torch.strided
    if not is_list or isinstance(edge_index, EdgeIndex):
        return edge_index
    return edge_index.long() if edge_index.dtype == torch.int32 else edge_index


def is_quiet(module: Module | None) -> bool:
    """Return whether a call has no observers (hooks, a replaced ``forward``)."""
    if module is None or _has_any_global_hook():
        return False
    own = module.__dict__
    for name in _MODULE_HOOKS:
        if own[name]:
            return False
    return "forward" not in own


def _is_matrix(x: Tensor) -> bool:
    """Return whether features are ``[N, F]``."""
    if type(x) is not Tensor and isinstance(getattr(x, "matrix", None), SparseMatrix):
        return True  # sparse features; their dim() would go through __torch_function__
    return x.dim() == 2


def _is_edge_list(edge_index: Any, x: Tensor) -> bool:
    """Return whether edges are a ``Graph`` or a tensor ``[2, E]`` of rows of ``x``."""
    if isinstance(edge_index, Graph):
        return True
    if not isinstance(edge_index, Tensor) or edge_index.layout is not torch.strided:
        return False
    if isinstance(edge_index, EdgeIndex):
        sizes = edge_index.sparse_size()
        if any(size not in (None, x.size(0)) for size in sizes):
            return False
    integers = not (edge_index.is_floating_point() or edge_index.dtype == torch.bool)
    return integers and edge_index.dim() == 2 and edge_index.size(0) == 2

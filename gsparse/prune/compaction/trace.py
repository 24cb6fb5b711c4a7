"""Runs a model once and records where its channels go."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch_geometric.nn import (
    APPNP,
    GCN2Conv,
    GCNConv,
    GINConv,
    GraphConv,
    SAGEConv,
    SGConv,
)
from torch_geometric.nn.conv import MessagePassing

from gsparse.nn.evaluating import evaluating
from gsparse.nn.fast_gcn_conv import FastGCNConv, FastSAGEConv
from gsparse.prune.compaction.attention import ATTENTION, trace_attention
from gsparse.prune.compaction.call import Call, Refused
from gsparse.prune.compaction.functions import RULES, decides, holds_numbers, refusal
from gsparse.prune.compaction.inputs import places_of
from gsparse.prune.compaction.norms import NORMS, refuse_shape
from gsparse.prune.compaction.operations import Value
from gsparse.prune.compaction.recording import Recording
from gsparse.prune.deploy.sparse_linear import SparseLinear

# ruff: noqa: ANN401 (a model's arguments are its own)

PROPAGATES: tuple[type[Module], ...] = (GCNConv, FastGCNConv, SAGEConv, FastSAGEConv)
PROPAGATES += (GINConv, GraphConv, SGConv, APPNP, GCN2Conv)
AGGREGATIONS = ("add", "sum", "mean", "max", "min")


def trace(model: Module, example: tuple[Any, ...]) -> Recording:
    """What one run of a model does to its channels.

    The features are the matrices ``[N, F]`` of floats among the arguments.

    Args:
        model: Any module without masks; hooks are set on it and taken away.
        example: Its arguments.

    Raises:
        ValueError: If it does something to its channels that is not known.
    """
    _check(model, example)
    recording = Recording(model)
    tracer = _Tracer(recording)
    for name, (_, tensor) in places_of(model, example).items():
        units = recording.units.fresh(tensor.size(1))
        dtype = tensor.dtype
        varies = torch.full([tensor.size(1)], torch.nan, dtype=dtype)
        recording.inputs[name] = tracer.set(tensor, recording.value(units, varies))
    with evaluating(model), torch.no_grad(), tracer.watching(model), tracer:
        result = model(*example)
    for leaf in _outputs(result):
        value = tracer.value_of(leaf)
        if value is not None:
            value.is_output = True
    for value in recording.values:  # read by what is not followed, or by nobody
        value.is_output |= not value.consumers
    recording.outputs = [value for value in recording.values if value.is_output]
    return recording


def _check(model: Module, example: tuple[Any, ...]) -> None:
    if not isinstance(example, tuple):
        raise TypeError(
            "'example' must be the tuple of arguments that the model is called with "
            f"(got {type(example).__name__}); write (x, edge_index)"
        )
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise ValueError(
                f"{name!r} must have a shape before it is traced (got a lazy layer, "
                "in_channels=-1); run the model once on its data first"
            )
    for name, module in model.named_modules():
        if isinstance(module, SparseLinear):
            raise ValueError(
                f"{name!r} must be a dense layer (got SparseLinear, whose rows and "
                "columns are stored); compact the model first, then call to_sparse()"
            )


def _outputs(result: Any) -> list[Any]:
    leaves = tree_leaves(result)
    for leaf in leaves:
        if not isinstance(leaf, Tensor | int | float | str | None):
            raise ValueError(
                "'model' must return tensors, or lists, tuples and dicts of them "
                f"(got {type(leaf).__name__})"
            )
    return leaves


class _Tracer(TorchFunctionMode):
    """Sees every call of a torch function and of the layers that have rules."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording
        self.depth = 0  # of layers with a rule of their own
        self.path: list[tuple[str, Module]] = []
        self._values: dict[int, tuple[Tensor, Value]] = {}

    def value_of(self, tensor: Any) -> Value | None:
        """What is known of a tensor, if its channels are followed."""
        return self._values.get(id(tensor), (None, None))[1]

    def set(self, tensor: Tensor, value: Value) -> Value:
        """From now on this is known of a tensor."""
        self._values[id(tensor)] = tensor, value  # held, so that its id stays its own
        return value

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        if self.depth == 0:
            self.depth += 1
            try:
                self._record(function, args, kwargs, result)
            finally:
                self.depth -= 1
        return result

    def _record(
        self, function: Callable[..., Any], args: Any, kwargs: Any, result: Any
    ) -> None:
        call = Call(self.recording, self.value_of, function, args, kwargs, result)
        if not call.values:
            return
        if not holds_numbers(result):
            for value in call.values if decides(call) else ():
                call.fixed(value, f"{call.name} reads every channel")
            return
        if call.name.startswith("new_"):
            return
        path, module = self.path[-1]
        kind, detail = type(module).__name__, ""
        rule = RULES.get(function)
        self._check_in_place(call, path, kind)
        try:
            if rule is None:
                raise Refused
            found = rule(call)
        except Refused as error:
            detail = str(error)
            raise refusal(call, path, kind, detail) from None
        if isinstance(found, list):
            for tensor, value in zip(result, found, strict=True):
                self.set(tensor, value)
        elif found is not None:
            self.set(result if isinstance(result, Tensor) else result[0], found)

    def _check_in_place(self, call: Call, path: str, kind: str) -> None:
        """A write is seen in one tensor; another view of the same memory has it too."""
        first = call.args[0] if call.args else None
        if not (call.result is first and isinstance(first, Tensor)):
            return
        if not call.name.endswith("_") or call.name == "requires_grad_":
            return
        memory = _memory(first)
        for other, _ in self._values.values():
            if other is not first and _memory(other) == memory:
                detail = "; it writes in place where another view is followed"
                raise refusal(call, path, kind, detail)

    @contextmanager
    def watching(self, model: Module) -> Iterator[None]:
        """Hooks on every module, while this lasts."""
        with ExitStack() as stack:
            for path, module in model.named_modules():
                stack.enter_context(self._hooked(path, module))
            yield

    @contextmanager
    def _hooked(self, path: str, module: Module) -> Iterator[None]:
        rule = self._rule_of(path, module)

        def before(module: Module, args: Any, kwargs: Any) -> None:
            self.path.append((path, module))
            self.depth += rule is not None

        def after(module: Module, args: Any, kwargs: Any, result: Any) -> None:
            if rule is not None:
                if self.depth == 1:
                    rule(args, kwargs, result)
                self.depth -= 1
            self.path.pop()

        handles = [
            module.register_forward_pre_hook(before, with_kwargs=True),
            module.register_forward_hook(after, with_kwargs=True),
        ]
        if type(module) in PROPAGATES:
            handles += self._hook_propagation(path, module)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _rule_of(self, path: str, module: Module) -> Callable[..., None] | None:
        if type(module) in NORMS:
            return lambda args, kwargs, out: self._norm(path, module, args, kwargs, out)
        if type(module) in ATTENTION:
            return lambda args, kwargs, out: self._attention(
                path, module, args, kwargs, out
            )
        return None

    def _norm(
        self, path: str, module: Module, args: Any, kwargs: Any, result: Any
    ) -> None:
        tensor = args[0] if args else next(iter(kwargs.values()))
        value = self.value_of(tensor)
        if value is not None:
            refuse_shape(module, path, tensor)
            self.set(result, NORMS[type(module)](self.recording, module, value))

    def _attention(
        self, path: str, conv: Any, args: Any, kwargs: Any, result: Any
    ) -> None:
        names = list(inspect.signature(conv.forward).parameters)
        given = dict(zip(names, args, strict=False)) | kwargs
        x, edge_attr = given["x"], given.get("edge_attr")
        pair = tuple(x) if isinstance(x, tuple | list) else (x, x)
        values = tuple(self.value_of(tensor) for tensor in pair)
        missing = [
            tensor is not None and value is None
            for tensor, value in zip(pair, values, strict=True)
        ]
        if all(missing):
            return
        kind = type(conv).__name__
        if any(missing) or not isinstance(result, Tensor):
            what = "features of one side only" if any(missing) else "attention weights"
            raise ValueError(
                f"{path!r} ({kind}) must be called with features that are followed and "
                f"return its output alone (got {what}); rewrite that step"
            )
        edges = self.value_of(edge_attr)
        has_edges = edge_attr is not None
        value = trace_attention(self.recording, conv, values, edges, has_edges)
        self.set(result, value)

    def _hook_propagation(self, path: str, conv: Any) -> list[Any]:
        def before(module: MessagePassing, inputs: Any) -> None:
            self.depth += 1

        def after(module: MessagePassing, inputs: Any, result: Tensor) -> None:
            self.depth -= 1
            x = inputs[2]["x"]
            value = self.value_of(x[0] if isinstance(x, tuple | list) else x)
            if self.depth or value is None:
                return
            if module.aggr not in AGGREGATIONS:
                raise ValueError(
                    f"{path!r} ({type(conv).__name__}) must aggregate by one of "
                    f"{', '.join(AGGREGATIONS)} (got {module.aggr!r})"
                )
            self.depth += 1
            self.set(result, self.recording.rows(value))
            self.depth -= 1

        return [
            conv.register_propagate_forward_pre_hook(before),
            conv.register_propagate_forward_hook(after),
        ]


def _memory(tensor: Tensor) -> int | None:
    try:
        return tensor.untyped_storage().data_ptr() or None
    except (NotImplementedError, RuntimeError):  # sparse and wrapped tensors
        return None

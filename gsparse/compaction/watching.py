"""Hooks for tracing on the layers of a model."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor
from torch.nn import Module
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

from gsparse.compaction.attention import ATTENTION, trace_attention
from gsparse.compaction.norms import NORMS, refuse_shape
from gsparse.compaction.tracer import Tracer
from gsparse.nn.fast_gcn_conv import FastGCNConv, FastSAGEConv

# ruff: noqa: ANN401 (arguments of any layer)

PROPAGATES: tuple[type[Module], ...] = (GCNConv, FastGCNConv, SAGEConv, FastSAGEConv)
PROPAGATES += (GINConv, GraphConv, SGConv, APPNP, GCN2Conv)
AGGREGATIONS = ("add", "sum", "mean", "max", "min")


@contextmanager
def watching(tracer: Tracer, model: Module) -> Iterator[None]:
    """Let the tracer know the running module and apply the rules of layers in this
    context.
    """
    with ExitStack() as stack:
        for path, module in model.named_modules():
            stack.enter_context(_hooked(tracer, path, module))
        yield


@contextmanager
def _hooked(tracer: Tracer, path: str, module: Module) -> Iterator[None]:
    rule = _rule_of(module)

    def before(module: Module, args: Any, kwargs: Any) -> None:
        tracer.path.append((path, module))
        tracer.called.add(path)
        tracer.depth += rule is not None

    def after(module: Module, args: Any, kwargs: Any, result: Any) -> None:
        if rule is not None:
            if tracer.depth == 1:
                rule(tracer, path, module, args, kwargs, result)
            tracer.depth -= 1
        tracer.path.pop()

    handles = [
        module.register_forward_pre_hook(before, with_kwargs=True),
        module.register_forward_hook(after, with_kwargs=True),
    ]
    if type(module) in PROPAGATES:
        handles += _hook_propagation(tracer, path, module)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _rule_of(module: Module) -> Callable[..., None] | None:
    if type(module) in NORMS:
        return _norm
    return _attention if type(module) in ATTENTION else None


def _norm(
    tracer: Tracer, path: str, module: Module, args: Any, kwargs: Any, result: Any
) -> None:
    tensor = args[0] if args else next(iter(kwargs.values()))
    value = tracer.value_of(tensor)
    if value is None:
        tracer.pin([*module.parameters(), *module.buffers()])
        return
    refuse_shape(module, path, tensor)
    made = NORMS[type(module)](tracer.recording, module, value)
    tracer.set(result, made)
    tracer.note(type(module).__name__, made)


def _attention(
    tracer: Tracer, path: str, conv: Any, args: Any, kwargs: Any, result: Any
) -> None:
    names = list(inspect.signature(conv.forward).parameters)
    given = dict(zip(names, args, strict=False)) | kwargs
    x, edge_attr = given["x"], given.get("edge_attr")
    pair = tuple(x) if isinstance(x, tuple | list) else (x, x)
    values = tuple(tracer.value_of(tensor) for tensor in pair)
    missing = [
        tensor is not None and value is None
        for tensor, value in zip(pair, values, strict=True)
    ]
    if all(missing):
        tracer.pin(conv.parameters())
        return
    kind = type(conv).__name__
    if any(missing) or not isinstance(result, Tensor):
        what = "features of one side only" if any(missing) else "attention weights"
        raise ValueError(
            f"{path!r} ({kind}) must be called with traced features and return its "
            f"output only (got {what}); rewrite that step"
        )
    edges = tracer.value_of(edge_attr)
    has_edges = edge_attr is not None
    value = trace_attention(tracer.recording, conv, values, edges, has_edges)
    tracer.set(result, value)
    tracer.note(kind, value, (has_edges,))


def _hook_propagation(tracer: Tracer, path: str, conv: Any) -> list[Any]:
    def before(module: MessagePassing, inputs: Any) -> None:
        tracer.depth += 1

    def after(module: MessagePassing, inputs: Any, result: Tensor) -> None:
        tracer.depth -= 1
        x = inputs[2]["x"]
        value = tracer.value_of(x[0] if isinstance(x, tuple | list) else x)
        if tracer.depth or value is None:
            return
        if module.aggr not in AGGREGATIONS:
            raise ValueError(
                f"{path!r} ({type(conv).__name__}) must aggregate by one of "
                f"{', '.join(AGGREGATIONS)} (got {module.aggr!r})"
            )
        with tracer.inside():
            made = tracer.recording.rows(value)
            tracer.set(result, made)
        tracer.note(f"{type(conv).__name__}.propagate", made)

    return [
        conv.register_propagate_forward_pre_hook(before),
        conv.register_propagate_forward_hook(after),
    ]

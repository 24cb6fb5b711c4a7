"""Tracing of attention layers: which values and scores are needed."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import GATConv, GATv2Conv, TransformerConv

from gsparse.compaction.operations import (
    AllChannels,
    HeadRecord,
    Needs,
    Operation,
    Value,
)
from gsparse.compaction.recording import Recording
from gsparse.nn.fast_gat_conv import FastGATConv, FastGATv2Conv

# ruff: noqa: ANN401 (arguments of any convolution)

ATTENTION = (GATConv, GATv2Conv, FastGATConv, FastGATv2Conv, TransformerConv)


class Attention(Operation):
    r"""Weighted sums of values, with weights :math:`\alpha` that each head computes
    from scores.

    A head is alive if one of its outputs is needed and not zero. The scores of a head
    are needed only if it is alive, and a channel of them only if it can change
    :math:`\alpha`.

    Args:
        record: Heads of the convolution.
        values: The summed values.
        output: The sums, with the same units.
        scores: Tensors that the scores are computed from, with the relevant channels.
    """

    def __init__(
        self,
        record: HeadRecord,
        values: Value,
        output: Value,
        scores: list[tuple[Value, Tensor]],
    ) -> None:
        super().__init__([values, *(value for value, _ in scores)], output)
        self.record, self.scores = record, scores

    def pull(self, needs: Needs) -> None:
        read = self.output.needed & ~self.output.is_zero
        alive = read.view(self.record.heads, -1).any(dim=1)
        self.record.alive |= alive
        self.inputs[0].needed |= read
        per_channel = alive.repeat_interleave(self.record.channels)
        for value, counts in self.scores:
            value.needed |= counts & per_channel


class HeadMean(Operation):
    """Mean over heads; a head of zeros is not needed."""

    def pull(self, needs: Needs) -> None:
        (x,) = self.inputs
        x.needed |= self.output.needed.repeat(x.size // self.output.size) & ~x.is_zero


def trace_attention(
    recording: Recording, conv: Any, x: Any, edge_attr: Value | None, has_edges: bool
) -> Value:
    """Record the operations of an attention layer.

    Args:
        recording: The recording to extend.
        conv: The layer.
        x: Value of the features, or a pair for sources and targets.
        edge_attr: Value of the edge features, if their channels are traced.
        has_edges: Whether the layer was called with edge features.
    """
    source, target = x if isinstance(x, tuple) else (x, x)
    record = recording.head_record(conv, conv.heads, conv.out_channels)
    if isinstance(conv, TransformerConv):
        return _transformer(recording, conv, record, source, target, edge_attr)
    trace = _gatv2 if isinstance(conv, GATv2Conv) else _gat
    out = trace(recording, conv, record, source, target, edge_attr, has_edges)
    out = _merge_heads(recording, conv, record, out)
    if conv.res is not None and target is not None:
        residual = recording.linear(target, conv.res.weight)
        out = recording.sum(out, residual)
    return out if conv.bias is None else recording.plus(out, conv.bias)


def _gat(
    recording: Recording,
    conv: Any,
    record: HeadRecord,
    source: Value,
    target: Value | None,
    edge_attr: Value | None,
    has_edges: bool,
) -> Value:
    from_source = conv.lin if conv.lin is not None else conv.lin_src
    from_target = conv.lin if conv.lin is not None else conv.lin_dst
    values = recording.linear(source, from_source.weight, heads=record)
    recording.attach(values, [conv.att_src, conv.att_dst, conv.att_edge], record)
    edges = _edge_rows(recording, conv, record, values, edge_attr)
    scores = [(values, _nonzero(conv.att_src) & ~values.is_zero)]
    if target is source and from_source is from_target:
        scores.append((values, _nonzero(conv.att_dst) & ~values.is_zero))
    elif target is not None:
        other = recording.linear(target, from_target.weight, heads=record)
        recording.units.tie(values.units, other.units)
        scores.append((other, _nonzero(conv.att_dst) & ~other.is_zero))
    elif conv.lin_dst is not None:
        recording.units.tie(values.units, recording.axis(conv.lin_dst.weight, 0))
    if conv.lin_edge is not None and has_edges:
        scores.append((values, _nonzero(conv.att_edge) & edges))
    return _attend(recording, record, values, values.is_zero, scores)


def _gatv2(
    recording: Recording,
    conv: Any,
    record: HeadRecord,
    source: Value,
    target: Value,
    edge_attr: Value | None,
    has_edges: bool,
) -> Value:
    left, right = conv.lin_l, conv.lin_r
    values = recording.linear(source, left.weight, left.bias, heads=record)
    other = values
    if not (target is source and left is right):
        other = recording.linear(target, right.weight, right.bias, heads=record)
        recording.units.tie(values.units, other.units)
    recording.attach(values, [conv.att], record)
    counts = values.varies
    if conv.lin_edge is not None:
        counts = counts | _edge_rows(recording, conv, record, values, edge_attr)
    # A channel that is equal for all sources shifts all scores of a target equally.
    counts = _nonzero(conv.att) & counts
    scores = [(values, counts & ~values.is_zero), (other, counts & ~other.is_zero)]
    if conv.lin_edge is not None:
        scores.append((values, counts))
    return _attend(recording, record, values, values.is_zero, scores)


def _transformer(
    recording: Recording,
    conv: Any,
    record: HeadRecord,
    source: Value,
    target: Value,
    edge_attr: Value | None,
) -> Value:
    def mapped(lin: Any, x: Value) -> Value:
        return recording.linear(x, lin.weight, lin.bias, heads=record)

    query, key = mapped(conv.lin_query, target), mapped(conv.lin_key, source)
    values = mapped(conv.lin_value, source)
    recording.units.tie(query.units, key.units)
    counts, is_zero = key.varies & ~query.is_zero, values.is_zero
    if conv.lin_edge is not None:
        recording.units.tie(key.units, values.units)
        edges = _edge_rows(recording, conv, record, values, edge_attr)
        counts, is_zero = (key.varies | edges) & ~query.is_zero, is_zero & ~edges
    record.blocks.append(key.units.view(record.heads, -1))
    scores = [(key, counts), (query, counts)]
    summed = _attend(recording, record, values, is_zero, scores)
    out = _merge_heads(recording, conv, record, summed)
    if not conv.root_weight:  # lin_skip exists but is not used
        recording.attach(out, [conv.lin_skip.bias])
        recording.units.tie(out.units, recording.axis(conv.lin_skip.weight, 0))
        recording.units.tie(
            target.units, recording.axis(conv.lin_skip.weight, 1, "consumer")
        )
        return out
    skip = recording.linear(target, conv.lin_skip.weight, conv.lin_skip.bias)
    if conv.lin_beta is None:
        return recording.sum(out, skip)
    recording.units.tie(out.units, skip.units)
    triple = recording.axis(conv.lin_beta.weight, 1, "consumer")
    recording.units.tie(out.units.repeat(3), triple)
    zero = out.is_zero & skip.is_zero
    mixed = recording.value(out.units, _zero_or_nan(zero, out.constant))
    return recording.add(Gate(out, skip, mixed, conv.lin_beta.weight.detach().cpu()))


class Gate(Operation):
    """Mixture of two tensors by a gate that reads both: the last step of a
    TransformerConv.
    """

    def __init__(self, first: Value, second: Value, out: Value, gate: Tensor) -> None:
        super().__init__([first, second], out)
        one, two, difference = gate.view(3, -1)
        self.reads = [(one != 0) | (difference != 0), (two != 0) | (difference != 0)]

    def pull(self, needs: Needs) -> None:
        opened = bool((self.output.needed & ~self.output.is_zero).any())
        for x, read in zip(self.inputs, self.reads, strict=True):
            x.needed |= (self.output.needed | (read & opened)) & ~x.is_zero


def _attend(
    recording: Recording,
    record: HeadRecord,
    values: Value,
    is_zero: Tensor,
    scores: list[tuple[Value, Tensor]],
) -> Value:
    out = recording.value(values.units, _zero_or_nan(is_zero, values.constant))
    return recording.add(Attention(record, values, out, scores))


def _merge_heads(
    recording: Recording, conv: Any, record: HeadRecord, x: Value
) -> Value:
    blocks = x.units.view(record.heads, -1)
    if conv.concat:
        record.blocks.append(blocks)
        return x
    for block in blocks[1:]:
        recording.units.tie(blocks[0], block)
    record.common.append(blocks[0])
    zero = x.is_zero.view(record.heads, -1).all(dim=0)
    out = recording.value(blocks[0], _zero_or_nan(zero, x.constant))
    return recording.add(HeadMean([x], out))


def _edge_rows(
    recording: Recording,
    conv: Any,
    record: HeadRecord,
    values: Value,
    edge_attr: Value | None,
) -> Tensor:
    """Return which rows of the linear map of edge features are not zero."""
    if conv.lin_edge is None:
        return torch.zeros_like(values.needed)
    weight = conv.lin_edge.weight
    units = recording.axis(weight, 0, heads=record)
    recording.units.tie(values.units, units)
    if edge_attr is not None:
        columns = recording.axis(weight, 1, "consumer")
        recording.units.tie(edge_attr.units, columns)
        reason = "edge features are kept"
        recording.record(
            AllChannels, [edge_attr], edge_attr.constant, -1, reason=reason, always=True
        )
    return (weight.detach() != 0).any(dim=1).cpu()


def _nonzero(vector: Tensor) -> Tensor:
    return (vector.detach() != 0).flatten().cpu()


def _zero_or_nan(zero: Tensor, like: Tensor) -> Tensor:
    return torch.full_like(like[: zero.numel()], torch.nan).masked_fill(zero, 0.0)

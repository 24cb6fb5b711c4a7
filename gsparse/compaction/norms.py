"""Tracing of normalisation layers."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Module
from torch_geometric.nn import (
    GraphNorm,
    GraphSizeNorm,
    InstanceNorm,
    LayerNorm,
    MeanSubtractionNorm,
)

from gsparse.compaction.operations import AllChannels, Channelwise, Rows, Value
from gsparse.compaction.recording import Recording

# ruff: noqa: ANN401 (attributes of layers of any kind)


def _batch_norm(recording: Recording, norm: Any, x: Value) -> Value:
    """Trace a batch norm, which scales and shifts each channel in evaluation.

    A constant stays a constant, and a channel with scale 0 equals its shift.
    """
    statistics = [norm.running_mean, norm.running_var]
    recording.attach(x, [norm.weight, norm.bias, *statistics])
    recording.widths.append((norm, "num_features", x.units))
    if norm.running_mean is None:
        return _of_the_batch(recording, norm, x)
    like = norm.running_mean
    out = Module.__call__(norm, x.constant.to(like).unsqueeze(0)).squeeze(0)
    constant = out.detach().cpu().masked_fill(x.varies, torch.nan)
    if norm.affine:
        still = norm.weight.detach().cpu() == 0
        constant = torch.where(still, norm.bias.detach().to(constant), constant)
    return recording.record(Channelwise, [x], constant)


def _of_the_batch(recording: Recording, norm: Any, x: Value) -> Value:
    """Trace a norm with statistics of the current nodes: a channel of zeros becomes the
    shift.

    Other constants do so only up to rounding, which a variance of 0 amplifies.
    """
    shift = getattr(norm, "bias", None)
    zero = torch.zeros_like(x.constant) if shift is None else shift.detach().cpu()
    constant = torch.where(x.is_zero, zero.to(x.constant), torch.nan)
    return recording.record(Rows, [x], constant)


def _instance_norm(recording: Recording, norm: Any, x: Value) -> Value:
    statistics = [norm.running_mean, norm.running_var]
    recording.attach(x, [norm.weight, norm.bias, *statistics])
    recording.widths.append((norm, "num_features", x.units))
    if norm.running_mean is not None:  # a constant is scaled and shifted
        return recording.record(Rows, [x], x.unknown)
    return _of_the_batch(recording, norm, x)


def _graph_norm(recording: Recording, norm: Any, x: Value) -> Value:
    recording.attach(x, [norm.weight, norm.bias, norm.mean_scale])
    recording.widths.append((norm, "in_channels", x.units))
    return _of_the_batch(recording, norm, x)


def _without_parameters(recording: Recording, norm: Any, x: Value) -> Value:
    return recording.rows(x)


def _layer_norm(recording: Recording, norm: Any, x: Value) -> Value:
    """Trace a layer norm, whose statistics depend on all channels."""
    recording.attach(x, [norm.weight, getattr(norm, "bias", None)])
    own = "in_channels" if isinstance(norm, LayerNorm) else "normalized_shape"
    recording.widths.append((norm, own, x.units))
    reason = "layer norm reads every channel"
    return recording.record(AllChannels, [x], x.unknown, reason=reason)


NORMS: dict[type[Module], Callable[[Recording, Any, Value], Value]] = {
    nn.BatchNorm1d: _batch_norm,
    nn.SyncBatchNorm: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.RMSNorm: _layer_norm,
    LayerNorm: _layer_norm,
    GraphNorm: _graph_norm,
    InstanceNorm: _instance_norm,
    GraphSizeNorm: _without_parameters,
    MeanSubtractionNorm: _without_parameters,
}


def refuse_shape(norm: Module, path: str, x: Tensor) -> None:
    """Refuse norms that are not over the last of two dimensions."""
    shape = getattr(norm, "normalized_shape", (x.size(-1),))
    if x.dim() != 2 or len(shape) != 1:
        raise ValueError(
            f"{path!r} ({type(norm).__name__}) must normalise a matrix [N, C] by its "
            f"channels (got {list(x.shape)}); keep it out of the compacted model"
        )

"""Remove rows, columns, heads and entries of parameters that are not kept."""

from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch_geometric.nn import GATv2Conv, TransformerConv

from gsparse.compaction.dead import Verdict
from gsparse.compaction.operations import HeadRecord
from gsparse.compaction.recording import Axis, Recording
from gsparse.compaction.resize import set_sizes


@torch.no_grad()
def shrink(model: Module, recording: Recording, verdict: Verdict) -> None:
    """Replace the parameters and buffers of a model by their kept parts.

    Args:
        model: The recorded model; changed in place.
        recording: Its recording.
        verdict: The units that are kept.
    """
    for record in recording.heads.values():
        _rescale(record, *verdict.heads[id(record.module)])
    new = _cut_tensors(recording, verdict)
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if id(parameter) in new:
                module._parameters[name] = new[id(parameter)]  # type: ignore[assignment]
        for name, buffer in module._buffers.items():
            if id(buffer) in new:
                module._buffers[name] = new[id(buffer)]
    for record in recording.heads.values():
        alive, record.module.out_channels = verdict.heads[id(record.module)]
        record.module.heads = int(alive.sum())
    for module, name, units in recording.widths:
        width = int(verdict.kept[verdict.classes[units]].sum())
        setattr(module, name, (width,) if name == "normalized_shape" else width)
    set_sizes(model)


def _cut_tensors(recording: Recording, verdict: Verdict) -> dict[int, Tensor]:
    """Return the kept parts by the id of the tensor that they replace."""
    axes: dict[int, list[Axis]] = {}
    for axis in recording.axes.values():
        axes.setdefault(id(axis.tensor), []).append(axis)
    new: dict[int, Tensor] = {}
    for key, found in axes.items():
        old = found[0].tensor
        cut = old.detach()
        for axis in found:
            cut = _cut(cut, axis, verdict)
        if cut.shape == old.shape:
            continue
        cut = cut.clone()
        is_parameter = isinstance(old, Parameter)
        new[key] = Parameter(cut, old.requires_grad) if is_parameter else cut
    return new


def _cut(tensor: Tensor, axis: Axis, verdict: Verdict) -> Tensor:
    keep = verdict.kept[verdict.classes[axis.units]]
    if axis.heads is not None:
        alive, _ = verdict.heads[id(axis.heads.module)]
        if axis.units.numel() == alive.numel() * axis.heads.channels:
            keep = keep & alive.repeat_interleave(axis.heads.channels)
    if keep.all():
        return tensor
    places = keep.nonzero()[:, 0].to(tensor.device)
    if tensor.dim() < 3:
        return tensor.index_select(axis.dim, places)
    assert axis.heads is not None  # only attention vectors have three dimensions
    heads = int(verdict.heads[id(axis.heads.module)][0].sum())
    return tensor.flatten(1).index_select(1, places).view(1, heads, -1)


def _rescale(record: HeadRecord, alive: Tensor, width: int) -> None:
    """Adjust weights, because a layer divides by its number of heads and their width.

    A mean over fewer heads is larger, and dot-product scores are divided by the root of
    the width. The values are multiplied by the first factor and the vectors that
    compute scores from them are divided by it, since the activations in between are
    positively homogeneous.
    """
    conv: Any = record.module
    factor = int(alive.sum()) / record.heads if record.common else 1.0
    if isinstance(conv, TransformerConv):
        scaled, back = [conv.lin_key, conv.lin_value, conv.lin_edge], [conv.lin_query]
        root = sqrt(width / record.channels)
    elif isinstance(conv, GATv2Conv):
        scaled, back, root = [conv.lin_l, conv.lin_r, conv.lin_edge], [], 1.0
    else:
        scaled, back, root = [conv.lin, conv.lin_src, conv.lin_dst], [], 1.0
    _multiply(scaled, factor)
    _multiply(back, root / factor)
    for name in ("att_src", "att_dst", "att"):
        vector = getattr(conv, name, None)
        if vector is not None and factor != 1:
            vector /= factor


def _multiply(layers: list[Any], factor: float) -> None:
    unique = {id(layer): layer for layer in layers if layer is not None}
    for layer in unique.values() if factor != 1 else ():
        layer.weight *= factor
        if layer.bias is not None:
            layer.bias *= factor

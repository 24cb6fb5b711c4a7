"""GAT attention on CUDA in Triton: one program per node and head.

The two passes are those of the CPU. It has only been run by Triton's interpreter and
never been timed on a GPU.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from gsparse.kernels.attention.reference import drop_threshold, mix_seed

try:
    import triton
    import triton.language as tl
except ImportError:  # CPU builds of torch lack it; the functions below need it
    triton, tl = None, SimpleNamespace(constexpr=None)

# ruff: noqa: ANN001, ANN202, N803 (Triton reads its own annotations)
# mypy: disable-error-code="no-untyped-def"

_jit = (lambda function: function) if triton is None else triton.jit
_EDGES = 16  # edges that a program processes at a time


@_jit
def _dropout(slot, head, heads, key, key2, threshold, scale):
    """Return the factors of the CPU kernel: two keyed rounds of murmur3's finaliser."""
    z = (slot * heads + head).to(tl.uint32) ^ key.to(tl.uint32)
    z = (z ^ (z >> 16)) * 0x85EBCA6B
    z = (z ^ (z >> 13)) * 0xC2B2AE35
    z = (z ^ (z >> 16)) + key2.to(tl.uint32)
    z = (z ^ (z >> 16)) * 0x85EBCA6B
    z = (z ^ (z >> 13)) * 0xC2B2AE35
    z = z ^ (z >> 16)
    return tl.where(z.to(tl.int64) >= threshold, scale, 0.0)


@_jit
def _edge_weight(edge_id, weight, slot, here, WEIGHTED: tl.constexpr):
    """Return the weights of slots (1 for added self-loops) and ids of their entries."""
    entry = tl.load(edge_id + slot, here, other=-1).to(tl.int64)
    if WEIGHTED:
        has = here & (entry >= 0)
        factor = tl.load(weight + entry, has, other=1.0)
    else:
        factor = tl.where(here, 1.0, 1.0)
    return tl.where(here, factor, 0.0), entry


@_jit
def _forward(
    indptr, indices, edge_id, alpha_src, alpha_dst, x, weight, out, lse, part, part_sum,
    key, key2, threshold, scale, slope, heads, channels,
    WEIGHTED: tl.constexpr, DROPS: tl.constexpr, SAVE: tl.constexpr,
    BLOCK_E: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    i, h = tl.program_id(0).to(tl.int64), tl.program_id(1)
    low, high = tl.load(indptr + i).to(tl.int64), tl.load(indptr + i + 1).to(tl.int64)
    dst = tl.load(alpha_dst + i * heads + h)
    lane, c = tl.arange(0, BLOCK_E), tl.arange(0, BLOCK_C)
    top = tl.full((), -float("inf"), tl.float32)
    for first in range(low, high, BLOCK_E):
        slot = first + lane
        here = slot < high
        factor, _ = _edge_weight(edge_id, weight, slot, here, WEIGHTED)
        j = tl.load(indices + slot, here, other=0).to(tl.int64)
        src = tl.load(alpha_src + j * heads + h, here, other=0.0)
        top = tl.maximum(top, tl.max(tl.where(factor != 0, src, -float("inf")), 0))
    top += dst
    top = tl.where(top > 0, top, top * slope)
    total = tl.zeros((), tl.float32)
    total_pos = tl.zeros((), tl.float32)
    acc = tl.zeros((BLOCK_C,), tl.float32)
    pos = tl.zeros((BLOCK_C,), tl.float32)
    for first in range(low, high, BLOCK_E):
        slot = first + lane
        here = slot < high
        factor, _ = _edge_weight(edge_id, weight, slot, here, WEIGHTED)
        j = tl.load(indices + slot, here, other=0).to(tl.int64)
        u = tl.load(alpha_src + j * heads + h, here, other=0.0) + dst
        shifted = tl.where(u > 0, u, u * slope) - top
        term = tl.where(factor != 0, factor * tl.exp(tl.minimum(shifted, 80.0)), 0.0)
        total += tl.sum(term, 0)
        total_pos += tl.sum(tl.where(u > 0, term, 0.0), 0)
        if DROPS:
            term *= _dropout(slot, h, heads, key, key2, threshold, scale)
        place = (j * heads + h)[:, None] * channels + c[None, :]
        mask = here[:, None] & (c < channels)[None, :]
        row = term[:, None] * tl.load(x + place, mask, other=0.0)
        acc += tl.sum(row, 0)
        if SAVE:
            pos += tl.sum(tl.where((u > 0)[:, None], row, 0.0), 0)
    inverse = tl.where(total > 0, 1 / total, 0.0)
    place = (i * heads + h) * channels + c
    tl.store(out + place, acc * inverse, c < channels)
    if SAVE:
        tl.store(part + place, pos * inverse, c < channels)
        tl.store(part_sum + i * heads + h, total_pos * inverse)
        value = tl.where(total > 0, top + tl.log(total), float("inf"))
        tl.store(lse + i * heads + h, value)


@_jit
def _backward(
    t_indptr, t_indices, t_perm, edge_id, alpha_src, alpha_dst, lse, delta, x, weight,
    grad, grad_src, grad_x, grad_weight, key, key2, threshold, scale, slope,
    heads, channels,
    WEIGHTED: tl.constexpr, DROPS: tl.constexpr, WEIGHT_GRAD: tl.constexpr,
    BLOCK_E: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    j, h = tl.program_id(0).to(tl.int64), tl.program_id(1)
    low = tl.load(t_indptr + j).to(tl.int64)
    high = tl.load(t_indptr + j + 1).to(tl.int64)
    src = tl.load(alpha_src + j * heads + h)
    lane, c = tl.arange(0, BLOCK_E), tl.arange(0, BLOCK_C)
    own_place = (j * heads + h) * channels + c
    own = tl.load(x + own_place, c < channels, other=0.0)
    total = tl.zeros((), tl.float32)
    acc = tl.zeros((BLOCK_C,), tl.float32)
    for first in range(low, high, BLOCK_E):
        here = first + lane < high
        i = tl.load(t_indices + first + lane, here, other=0).to(tl.int64)
        slot = tl.load(t_perm + first + lane, here, other=0).to(tl.int64)
        factor, entry = _edge_weight(edge_id, weight, slot, here, WEIGHTED)
        u = src + tl.load(alpha_dst + i * heads + h, here, other=0.0)
        shifted = tl.where(u > 0, u, u * slope) - tl.load(
            lse + i * heads + h, here, other=float("inf")
        )
        p = tl.exp(tl.minimum(shifted, 80.0))
        drop = tl.where(here, 1.0, 1.0)
        if DROPS:
            drop = _dropout(slot, h, heads, key, key2, threshold, scale)
        place = (i * heads + h)[:, None] * channels + c[None, :]
        mask = here[:, None] & (c < channels)[None, :]
        rows = tl.load(grad + place, mask, other=0.0)
        t = drop * tl.sum(rows * own[None, :], 1)
        t = p * (t - tl.load(delta + i * heads + h, here, other=0.0))
        if WEIGHT_GRAD:
            tl.store(grad_weight + entry * heads + h, t, here & (entry >= 0))
        t = tl.where(factor != 0, t * factor, 0.0)
        total += tl.sum(tl.where(u > 0, t, t * slope), 0)
        term = tl.where(factor != 0, p * factor * drop, 0.0)
        acc += tl.sum(term[:, None] * rows, 0)
    tl.store(grad_src + j * heads + h, total)
    tl.store(grad_x + own_place, acc, c < channels)


def _settings(seed: Tensor, dropout: float, slope: float, x: Tensor) -> tuple[Any, ...]:
    key, key2 = mix_seed(int(seed))
    threshold, scale = drop_threshold(dropout)
    return key, key2, threshold, scale, slope, x.size(1), x.size(2)


def gat_forward_cuda(
    structure: list[Tensor],
    alpha_src: Tensor,
    alpha_dst: Tensor,
    x: Tensor,
    weight: Tensor,
    att: Tensor,
    bias: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
    save: bool,
) -> list[Tensor]:
    """Run :func:`gsparse.kernels.attention.gat_op.gat_forward` on CUDA."""
    num_nodes, heads, channels = x.shape
    kept = num_nodes if save else 0
    x, (indptr, indices, edge_id) = x.contiguous(), structure[:3]
    if att.numel():
        alpha_src, alpha_dst = torch.einsum("nhc,thc->tnh", x, att).unbind()
    alphas = (alpha_src.contiguous(), alpha_dst.contiguous())
    out, part = x.new_empty(x.shape), x.new_empty(kept, heads, channels)
    lse, part_sum = x.new_empty(kept, heads), x.new_empty(kept, heads)
    if num_nodes:
        _forward[(num_nodes, heads)](
            indptr, indices, edge_id, *alphas, x, weight.contiguous(),
            out, lse, part, part_sum, *_settings(seed, dropout, negative_slope, x),
            WEIGHTED=weight.numel() > 0, DROPS=dropout > 0, SAVE=save,
            BLOCK_E=_EDGES, BLOCK_C=triton.next_power_of_2(channels),
        )  # fmt: skip
    if bias.numel():
        out += bias.view(heads, channels)
    made = alphas if save and att.numel() else (x.new_empty(0), x.new_empty(0))
    return [out, lse, part, part_sum, *made]


def gat_backward_cuda(
    structure: list[Tensor],
    alpha_src: Tensor,
    alpha_dst: Tensor,
    x: Tensor,
    weight: Tensor,
    att: Tensor,
    bias: Tensor,
    seed: Tensor,
    forward: list[Tensor],
    grad: Tensor,
    negative_slope: float,
    dropout: float,
    weight_grad: bool,
) -> list[Tensor]:
    """Run :func:`gsparse.kernels.attention.gat_op.gat_backward` on CUDA."""
    num_nodes, heads, channels = x.shape
    _, _, edge_id, t_indptr, t_indices, t_perm, _, _ = structure
    out, lse, part, part_sum, *scores = forward
    if att.numel():
        alpha_src, alpha_dst = scores
    x, grad = x.contiguous(), grad.contiguous()
    if bias.numel():
        out = out - bias.view(heads, channels)
    delta = (grad * out).sum(dim=-1)
    above = (grad * part).sum(dim=-1) - delta * part_sum
    grad_dst = above * (1 - negative_slope)
    grad_src, grad_x = torch.empty_like(delta), torch.empty_like(x)
    entries = weight.numel() if weight_grad else 0
    grad_weight = x.new_zeros(entries, heads)
    if num_nodes:
        _backward[(num_nodes, heads)](
            t_indptr, t_indices, t_perm, edge_id,
            alpha_src.contiguous(), alpha_dst.contiguous(), lse, delta, x,
            weight.contiguous(), grad, grad_src, grad_x, grad_weight,
            *_settings(seed, dropout, negative_slope, x),
            WEIGHTED=weight.numel() > 0, DROPS=dropout > 0, WEIGHT_GRAD=weight_grad,
            BLOCK_E=_EDGES, BLOCK_C=triton.next_power_of_2(channels),
        )  # fmt: skip
    sums = grad.sum(dim=0).flatten()[: bias.numel()]
    if not att.numel():
        empty = att.new_empty(0)
        return [grad_src, grad_dst, grad_x, grad_weight.sum(dim=1), empty, sums]
    both = torch.stack([grad_src, grad_dst])
    grad_x += torch.einsum("tnh,thc->nhc", both, att)
    grad_att = torch.einsum("tnh,nhc->thc", both, x)
    none = x.new_empty(0)
    return [none, none.clone(), grad_x, grad_weight.sum(dim=1), grad_att, sums]

"""GAT attention as torch custom ops: registration, shapes, derivative, CPU calls."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.attention_cpu import (
    backward_kernel,
    forward_kernel,
    target_kernel,
)
from gsparse.kernels.attention_reference import drop_threshold, mix_seed
from gsparse.kernels.threads import run_blocks

#: With at least this many ``E * H * C`` products a kernel is compiled for the shape
#: (about 5 s, kept on disk); smaller inputs use the kernel for any shape.
SPECIALISE_WORK = 2_000_000

_Grads = tuple[Tensor, Tensor, Tensor, Tensor]


def _arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)


def _shape_key(x: Tensor, work: int) -> tuple[int, int]:
    _, heads, channels = x.shape
    return (heads, channels) if work >= SPECIALISE_WORK else (0, 0)


def _drop_rule(seed: Tensor, dropout: float, kind: Any) -> tuple[Any, ...]:  # noqa: ANN401
    key, key2 = mix_seed(int(seed))
    threshold, scale = drop_threshold(dropout)
    return np.uint32(key), np.uint32(key2), np.uint32(threshold), kind(scale)


@torch.library.custom_op("gsparse::gat_forward", mutates_args=(), device_types="cpu")
def gat_forward(
    structure: list[Tensor],
    alpha_src: Tensor,
    alpha_dst: Tensor,
    x: Tensor,
    weight: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Attention output, and with ``save`` what its derivative needs.

    Returns ``out [N, H, C]``, the log of the softmax's denominator ``[N, H]``, and
    the part of ``out`` and of the softmax's sum that came from scores above zero,
    ``[N, H, C]`` and ``[N, H]``: the slope of the leaky ReLU is 1 there, so the
    gradient of ``alpha_dst`` follows from them without another pass over the edges.
    ``weight`` is empty where edges have none.
    """
    indptr, indices, edge_id, _, _, _, blocks, _ = structure
    outputs = _empty(x, save)
    work = indices.numel() * x[0].numel() if x.numel() else 0
    arrays = _arrays(*outputs)
    kind = arrays[0].dtype.type
    run_blocks(
        forward_kernel(*_shape_key(x, work)),
        work,
        _arrays(blocks, indptr, indices, edge_id),
        _arrays(alpha_src, alpha_dst, x, weight),
        (kind(negative_slope), save),
        _drop_rule(seed, dropout, kind),
        arrays,
    )
    return outputs


def _empty(x: Tensor, save: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    num_nodes, heads, channels = x.shape
    kept = num_nodes if save else 0
    return (
        x.new_empty(num_nodes, heads, channels),
        x.new_empty(kept, heads),
        x.new_empty(kept, heads, channels),
        x.new_empty(kept, heads),
    )


@gat_forward.register_fake
def _(
    structure: list[Tensor],
    alpha_src: Tensor,
    alpha_dst: Tensor,
    x: Tensor,
    weight: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _empty(x, save)


@torch.library.custom_op("gsparse::gat_backward", mutates_args=(), device_types="cpu")
def gat_backward(
    structure: list[Tensor],
    alpha_src: Tensor,
    alpha_dst: Tensor,
    x: Tensor,
    weight: Tensor,
    seed: Tensor,
    forward: list[Tensor],
    grad: Tensor,
    negative_slope: float,
    dropout: float,
    weight_grad: bool,
) -> _Grads:
    """Gradients of ``alpha_src, alpha_dst, x, weight`` (the last may be empty)."""
    _, _, edge_id, t_indptr, t_indices, t_perm, blocks, t_blocks = structure
    num_nodes, heads, _ = x.shape
    grads = _empty_grads(alpha_src, alpha_dst, x, weight, weight_grad)
    work = t_indices.numel() * x[0].numel() if x.numel() else 0
    record = x.new_empty(num_nodes, 3, heads)
    x_array, grad_array = _arrays(x, grad)
    kind = x_array.dtype.type
    key = _shape_key(x, work)
    run_blocks(
        target_kernel(*key),
        x.numel(),
        blocks.numpy(),
        (*_arrays(alpha_dst, *forward), grad_array),
        kind(negative_slope),
        _arrays(record, grads[1]),
    )
    run_blocks(
        backward_kernel(*key),
        work,
        _arrays(t_blocks, t_indptr, t_indices, t_perm, edge_id),
        (*_arrays(alpha_src, record), x_array, *_arrays(weight), grad_array),
        (kind(negative_slope), weight_grad),
        _drop_rule(seed, dropout, kind),
        _arrays(grads[0], grads[2], grads[3]),
    )
    return grads


def _empty_grads(
    alpha_src: Tensor, alpha_dst: Tensor, x: Tensor, weight: Tensor, weight_grad: bool
) -> _Grads:
    grad_weight = weight.new_zeros(weight.shape if weight_grad else (0,))
    return (
        alpha_src.new_empty(alpha_src.shape),
        alpha_dst.new_empty(alpha_dst.shape),
        x.new_empty(x.shape),
        grad_weight,
    )


@gat_backward.register_fake
def _(
    structure: list[Tensor],
    alpha_src: Tensor,
    alpha_dst: Tensor,
    x: Tensor,
    weight: Tensor,
    seed: Tensor,
    forward: list[Tensor],
    grad: Tensor,
    negative_slope: float,
    dropout: float,
    weight_grad: bool,
) -> _Grads:
    return _empty_grads(alpha_src, alpha_dst, x, weight, weight_grad)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401
    structure, *tensors, slope, dropout, _ = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*structure, *tensors, *output)
    ctx.settings, ctx.count = (slope, dropout), len(structure)


def _derive(ctx: Any, grad: Tensor | None, *_: Tensor) -> tuple[Any, ...]:  # noqa: ANN401
    if grad is None:
        return ([None] * ctx.count, *(None,) * 8)
    saved, count = ctx.saved_tensors, ctx.count
    structure, tensors = list(saved[:count]), saved[count : count + 5]
    weight_grad = bool(ctx.needs_input_grad[4])
    grads = gat_backward(
        structure, *tensors, list(saved[count + 5 :]), grad, *ctx.settings, weight_grad
    )
    grad_weight = grads[3] if weight_grad else None
    return ([None] * count, *grads[:3], grad_weight, *(None,) * 4)


gat_forward.register_autograd(_derive, setup_context=_keep)


def refuse_second_derivative(ctx: Any, *grads: Tensor) -> None:  # noqa: ANN401
    """The kernels know their first derivative only."""
    raise RuntimeError(
        "fused attention has no second derivative: use attention='reference' "
        "(or gat_attention_reference) where gradients of gradients are needed"
    )


gat_backward.register_autograd(refuse_second_derivative)

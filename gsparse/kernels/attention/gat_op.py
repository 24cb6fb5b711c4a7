"""GAT attention as torch operators: shapes, calls of the kernels, registration."""

from typing import Any

import torch
from torch import Tensor

from gsparse.kernels.attention.gat_backward_cpu import sources_kernel, targets_kernel
from gsparse.kernels.attention.gat_forward_cpu import forward_kernel, scores_kernel
from gsparse.kernels.attention.operators import (
    arrays,
    check_messages,
    check_structure,
    drop_rule,
    empty_gradients,
    register_derivative,
    shape_key,
)
from gsparse.kernels.checks import check_shape
from gsparse.kernels.threads import run_blocks

# ruff: noqa: ANN401 (numpy scalars and autograd contexts)


@torch.library.custom_op("gsparse::gat_forward", mutates_args=(), device_types="cpu")
def gat_forward(
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
    """Compute the attention output and, with ``save``, what its derivative needs.

    Scores are given as ``alpha_src`` and ``alpha_dst`` ``[N, H]``, or by ``att``
    ``[2, H, C]``; the others are empty. ``weight`` and ``bias`` may be empty.

    Returns ``out [N, H, C]``, the log of the softmax's denominator ``[N, H]``, the
    parts of ``out`` and of the softmax's sum that come from scores above zero,
    ``[N, H, C]`` and ``[N, H]``, and the two scores if they are computed here.
    """
    indptr, indices, edge_id, _, _, _, blocks, _ = structure
    _check(structure, alpha_src, alpha_dst, x, weight, att, bias)
    made = _outputs(x, att, save)
    key, width = shape_key(x, indices.numel()), x[:1].numel()
    blocks_array, x_array = *arrays(blocks), *arrays(x)
    kind = x_array.dtype.type
    if att.numel():
        alpha_src, alpha_dst = (made[4], made[5]) if save else _scores_like(x)
        given = x_array, *arrays(att.flatten())
        scores = arrays(alpha_src, alpha_dst)
        run_blocks(scores_kernel(*key), x.numel(), blocks_array, given, scores)
    run_blocks(
        forward_kernel(*key),
        indices.numel() * width,
        (blocks_array, *arrays(indptr, indices, edge_id)),
        (*arrays(alpha_src, alpha_dst), x_array, *arrays(weight, _or_zeros(bias, x))),
        (kind(negative_slope), save),
        drop_rule(seed, dropout, kind),
        arrays(*made[:4]),
    )
    return made


@gat_forward.register_kernel("cuda")
def _(*arguments: Any) -> list[Tensor]:
    # Imported here: Triton comes only with CUDA builds of torch and loads slowly.
    from gsparse.kernels.attention.gat_triton import gat_forward_cuda

    _check(*arguments[:7])
    return gat_forward_cuda(*arguments)


def _check(
    structure: list[Tensor],
    alpha_src: Tensor,
    alpha_dst: Tensor,
    x: Tensor,
    weight: Tensor,
    att: Tensor,
    bias: Tensor,
) -> None:
    """Raise an error for sizes and indices that do not match."""
    num_nodes, _ = check_structure(structure, weight)
    check_messages(x, num_nodes)
    if att.numel():
        check_shape("att", att, (2, *x.shape[1:]), x.dtype)
    else:
        check_shape("alpha_src", alpha_src, x.shape[:2], x.dtype)
        check_shape("alpha_dst", alpha_dst, x.shape[:2], x.dtype)
    if bias.numel():
        check_shape("bias", bias, (x.size(1) * x.size(2),), x.dtype)


def _check_saved(
    x: Tensor,
    weight: Tensor,
    att: Tensor,
    bias: Tensor,
    seed: Tensor,
    forward: list[Tensor],
    grad: Tensor,
) -> None:
    """Raise an error for a gradient or saved outputs that do not match ``x``."""
    out, lse, part, part_sum, *scores = forward
    for name, tensor in (("grad", grad), ("out", out), ("part", part)):
        check_shape(name, tensor, x.shape, x.dtype)
    for tensor in (lse, part_sum, *(scores if att.numel() else ())):
        check_shape("forward", tensor, x.shape[:2], x.dtype)


def _or_zeros(bias: Tensor, x: Tensor) -> Tensor:
    return bias if bias.numel() else x.new_zeros(x.size(1) * x.size(2))


def _scores_like(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape[:2]), x.new_empty(x.shape[:2])


def _outputs(x: Tensor, att: Tensor, save: bool) -> list[Tensor]:
    num_nodes, heads, channels = x.shape
    kept = num_nodes if save else 0
    scored = num_nodes if save and att.numel() else 0
    return [
        x.new_empty(num_nodes, heads, channels),
        x.new_empty(kept, heads),
        x.new_empty(kept, heads, channels),
        x.new_empty(kept, heads),
        x.new_empty(scored, heads),
        x.new_empty(scored, heads),
    ]


@gat_forward.register_fake
def _(structure: list[Tensor], *arguments: Any) -> list[Tensor]:
    return _outputs(arguments[2], arguments[4], save=arguments[-1])


@torch.library.custom_op("gsparse::gat_backward", mutates_args=(), device_types="cpu")
def gat_backward(
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
    """Compute the gradients of ``alpha_src, alpha_dst, x, weight, att, bias``.

    Those of empty inputs are empty; so is that of ``weight`` unless ``weight_grad``.
    """
    _, _, edge_id, t_indptr, t_indices, t_perm, blocks, t_blocks = structure
    _check(structure, alpha_src, alpha_dst, x, weight, att, bias)
    _check_saved(x, weight, att, bias, seed, forward, grad)
    weight_grad = weight_grad and weight.numel() > 0
    width, num_blocks = x.size(1) * x.size(2), blocks.numel() - 1
    key = shape_key(x, t_indices.numel())
    if att.numel():
        alpha_src, alpha_dst = forward[4:]
    record = x.new_empty(x.size(0), 3, x.size(1))
    grad_src, grad_dst = _scores_like(x)
    grad_x, grad_bias = x.new_empty(x.shape), x.new_zeros(num_blocks, width)
    grad_weight = weight.new_zeros(weight.shape if weight_grad else (0,))
    grad_att = x.new_zeros(num_blocks, 2 * width) if att.numel() else x.new_zeros(0, 0)
    x_array, grad_array = arrays(x, grad)
    kind = x_array.dtype.type
    run_blocks(
        targets_kernel(*key),
        x.numel(),
        *arrays(blocks),
        (*arrays(alpha_dst, *forward[:4]), grad_array, *arrays(_or_zeros(bias, x))),
        kind(negative_slope),
        arrays(record, grad_dst, grad_bias),
    )
    run_blocks(
        sources_kernel(*key),
        t_indices.numel() * width,
        arrays(t_blocks, t_indptr, t_indices, t_perm, edge_id),
        (
            *arrays(alpha_src, record),
            x_array,
            *arrays(weight),
            grad_array,
            *arrays(att.flatten(), grad_dst),
        ),
        (kind(negative_slope), weight_grad),
        drop_rule(seed, dropout, kind),
        arrays(grad_src, grad_x, grad_weight, grad_att),
    )
    to_bias = grad_bias.sum(dim=0)[: bias.numel()]
    if att.numel():
        to_att = grad_att.sum(dim=0).view(att.shape)
        none = grad_src.new_empty(0)
        return [none, none.clone(), grad_x, grad_weight, to_att, to_bias]
    return [grad_src, grad_dst, grad_x, grad_weight, att.new_empty(0), to_bias]


@gat_backward.register_kernel("cuda")
def _(*arguments: Any) -> list[Tensor]:
    from gsparse.kernels.attention.gat_triton import (
        gat_backward_cuda,
    )  # imported here as above

    _check(*arguments[:7])
    _check_saved(*arguments[3:10])
    return gat_backward_cuda(*arguments)


@gat_backward.register_fake
def _(structure: list[Tensor], *arguments: Any) -> list[Tensor]:
    return empty_gradients(arguments[:6], 3, weight_grad=arguments[-1])


register_derivative(gat_forward, gat_backward, num_inputs=6)

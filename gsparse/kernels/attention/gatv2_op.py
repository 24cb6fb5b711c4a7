"""GATv2 attention as torch operators; see :mod:`gsparse.kernels.attention.gat_op`."""

import torch
from torch import Tensor

from gsparse.kernels.attention.call import arrays, drop_rule, shape_key
from gsparse.kernels.attention.derivative import register_derivative
from gsparse.kernels.attention.gatv2_backward_cpu import sources_kernel, targets_kernel
from gsparse.kernels.attention.gatv2_forward_cpu import forward_kernel
from gsparse.kernels.attention.inputs import check_messages, check_structure
from gsparse.kernels.checks import check_shape
from gsparse.kernels.threads import run_blocks


@torch.library.custom_op("gsparse::gatv2_forward", mutates_args=(), device_types="cpu")
def gatv2_forward(
    structure: list[Tensor],
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    weight: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
) -> list[Tensor]:
    """Return output ``[N, H, C]`` and log of the softmax's denominator ``[N, H]``."""
    indptr, indices, edge_id, _, _, _, blocks, _ = structure
    _check(structure, x_src, x_dst, att, weight)
    made = [x_src.new_empty(x_src.shape), x_src.new_empty(x_src.shape[:2])]
    outputs = arrays(*made)
    kind = outputs[0].dtype.type
    run_blocks(
        forward_kernel(*shape_key(x_src, indices.numel())),
        indices.numel() * x_src[:1].numel(),
        arrays(blocks, indptr, indices, edge_id),
        arrays(x_src, x_dst, att, weight),
        kind(negative_slope),
        drop_rule(seed, dropout, kind),
        outputs,
    )
    return made


def _check(
    structure: list[Tensor], x_src: Tensor, x_dst: Tensor, att: Tensor, weight: Tensor
) -> None:
    """Raise an error for sizes and indices that do not match."""
    num_nodes, _ = check_structure(structure, weight)
    check_messages(x_src, num_nodes)
    check_shape("x_dst", x_dst, x_src.shape, x_src.dtype)
    check_shape("att", att, x_src.shape[1:], x_src.dtype)


@gatv2_forward.register_fake
def _(
    structure: list[Tensor],
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    weight: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
) -> list[Tensor]:
    return [x_src.new_empty(x_src.shape), x_src.new_empty(x_src.shape[:2])]


@torch.library.custom_op("gsparse::gatv2_backward", mutates_args=(), device_types="cpu")
def gatv2_backward(
    structure: list[Tensor],
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    weight: Tensor,
    seed: Tensor,
    forward: list[Tensor],
    grad: Tensor,
    negative_slope: float,
    dropout: float,
    weight_grad: bool,
) -> list[Tensor]:
    """Return the gradients of ``x_src, x_dst, att`` and, if asked for, ``weight``."""
    indptr, indices, edge_id, t_indptr, t_indices, t_perm, blocks, t_blocks = structure
    _check(structure, x_src, x_dst, att, weight)
    check_shape("grad", grad, x_src.shape, x_src.dtype)
    weight_grad = weight_grad and weight.numel() > 0
    check_shape("out", forward[0], x_src.shape, x_src.dtype)
    check_shape("forward", forward[1], x_src.shape[:2], x_src.dtype)
    key, width = shape_key(x_src, indices.numel()), x_src[:1].numel()
    record = x_src.new_empty(x_src.size(0), 2, x_src.size(1))
    grad_src, grad_dst = x_src.new_empty(x_src.shape), x_src.new_empty(x_src.shape)
    grad_att = x_src.new_zeros(blocks.numel() - 1, att.numel())
    grad_weight = weight.new_zeros(weight.shape if weight_grad else (0,))
    inputs = arrays(x_src, x_dst, att, weight, grad)
    kind = inputs[0].dtype.type
    rule, work = drop_rule(seed, dropout, kind), 2 * indices.numel() * width
    run_blocks(
        targets_kernel(*key),
        work,
        arrays(blocks, indptr, indices, edge_id),
        (*inputs, *arrays(*forward)),
        (kind(negative_slope), weight_grad),
        rule,
        arrays(grad_dst, grad_att, grad_weight, record),
    )
    run_blocks(
        sources_kernel(*key),
        work,
        arrays(t_blocks, t_indptr, t_indices, t_perm, edge_id),
        (*inputs, *arrays(record)),
        kind(negative_slope),
        rule,
        *arrays(grad_src),
    )
    return [grad_src, grad_dst, grad_att.sum(dim=0).view(att.shape), grad_weight]


@gatv2_backward.register_fake
def _(
    structure: list[Tensor],
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    weight: Tensor,
    seed: Tensor,
    forward: list[Tensor],
    grad: Tensor,
    negative_slope: float,
    dropout: float,
    weight_grad: bool,
) -> list[Tensor]:
    tensors = (x_src, x_dst, att, weight if weight_grad else None)
    return [x_src.new_empty(0) if t is None else t.new_empty(t.shape) for t in tensors]


register_derivative(gatv2_forward, gatv2_backward, num_inputs=4)

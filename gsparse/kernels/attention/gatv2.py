"""Fused GATv2 attention; see :mod:`gsparse.kernels.attention.gat`."""

from typing import Any

import torch
from torch import Tensor

from gsparse.kernels.attention.gatv2_cpu import (
    forward_kernel,
    sources_kernel,
    targets_kernel,
)
from gsparse.kernels.attention.operators import (
    arrays,
    check_edges,
    check_messages,
    check_structure,
    drop_rule,
    empty_gradients,
    is_fused,
    one_weight,
    register_derivative,
    shape_key,
    structure,
    working_dtype,
)
from gsparse.kernels.attention.reference import gatv2_attention_reference
from gsparse.kernels.checks import check_shape
from gsparse.kernels.graph import Graph
from gsparse.kernels.threads import run_blocks
from gsparse.kernels.tracing import is_transformed

# ruff: noqa: ANN401 (arguments of operators)


def gatv2_attention(
    graph: Graph,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    weight: Tensor | None = None,
    *,
    log_weight: Tensor | None = None,
    negative_slope: float = 0.2,
    dropout: float = 0.0,
    seed: Tensor | None = None,
) -> Tensor:
    r"""Compute the attention of `"How Attentive are Graph Attention Networks?"
    <https://arxiv.org/abs/2105.14491>`_.

    Like :func:`gat_attention`, with the score :math:`\langle att,
    \mathrm{LeakyReLU}(x^{src}_j + x^{dst}_i) \rangle` and messages
    :math:`x^{src}_j`. The backward pass walks in-edges and out-edges and costs
    about twice that of GAT. CUDA uses the reference.

    Args:
        graph: Structure.
        x_src: Messages.
        x_dst: Vector that each node adds to the scores of its in-edges.
        att: One vector per head.
        weight: As for :func:`gat_attention`.
        log_weight: As for :func:`gat_attention`.
        negative_slope: Slope of the leaky ReLU below zero.
        dropout: Probability that a coefficient is dropped, in [0, 1].
        seed: One int64; needed for ``dropout``.

    Shapes:
        - **x_src, x_dst, output:** :math:`(N, H, C)`
        - **att:** :math:`(H, C)`

    Raises:
        ValueError: If a shape does not fit, or ``dropout`` has no seed.
    """
    weight = one_weight(weight, log_weight)
    check_shape("x_src", x_src, (graph.num_nodes, *x_src.shape[1:]))
    check_shape("x_dst", x_dst, tuple(x_src.shape))
    check_shape("att", att, tuple(x_src.shape[1:]))
    check_edges(graph, weight, dropout, seed)
    slope, dropout = float(negative_slope), float(dropout)
    if not is_fused(x_src) or is_transformed():
        options: dict[str, Any] = {"negative_slope": slope, "dropout": dropout}
        return gatv2_attention_reference(
            graph, x_src, x_dst, att, weight, seed=seed, **options
        )
    weight = x_src.new_empty(0) if weight is None else weight
    given = [t.to(working_dtype(x_src)) for t in (x_src, x_dst, att, weight)]
    seed = torch.zeros((), dtype=torch.int64) if seed is None else seed
    out = gatv2_forward(structure(graph), *given, seed, slope, dropout)[0]
    return out.to(x_src.dtype)


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
def _(structure: list[Tensor], x_src: Tensor, *rest: Any) -> list[Tensor]:
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
def _(structure: list[Tensor], *arguments: Any) -> list[Tensor]:
    return empty_gradients(arguments[:4], 3, weight_grad=arguments[-1])


register_derivative(gatv2_forward, gatv2_backward, num_inputs=4)

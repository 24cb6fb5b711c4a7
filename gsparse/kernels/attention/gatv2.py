"""Fused GATv2 attention; see :mod:`gsparse.kernels.attention.gat`."""

from typing import Any

import torch
from torch import Tensor

from gsparse.kernels.attention.gatv2_op import gatv2_forward
from gsparse.kernels.attention.inputs import (
    check_edges,
    is_fused,
    one_weight,
    structure,
    working_dtype,
)
from gsparse.kernels.attention.reference import gatv2_attention_reference
from gsparse.kernels.checks import check_shape
from gsparse.kernels.graph import Graph
from gsparse.kernels.tracing import is_transformed


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

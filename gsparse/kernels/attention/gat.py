"""Fused GAT attention, without a tensor of edges times channels."""

from typing import Any

import torch
from torch import Tensor

from gsparse.kernels.attention.gat_op import gat_forward
from gsparse.kernels.attention.operators import (
    check_edges,
    is_fused,
    one_weight,
    structure,
    working_dtype,
)
from gsparse.kernels.attention.reference import gat_attention_reference
from gsparse.kernels.checks import check_shape
from gsparse.kernels.graph import Graph
from gsparse.kernels.tracing import is_transformed


def gat_attention(
    graph: Graph,
    alpha_src: Tensor,
    alpha_dst: Tensor,
    x: Tensor,
    weight: Tensor | None = None,
    *,
    log_weight: Tensor | None = None,
    negative_slope: float = 0.2,
    dropout: float = 0.0,
    seed: Tensor | None = None,
) -> Tensor:
    r"""Compute the attention of `"Graph Attention Networks"
    <https://arxiv.org/abs/1710.10903>`_.

    For each node :math:`i` and head :math:`h`, with :math:`u_{ij} = a^{src}_j +
    a^{dst}_i` (``alpha_src``, ``alpha_dst``),

    .. math::
        y_i = \sum_{j \to i} m_{ij} p_{ij} x_j, \qquad
        p_{ij} \propto w_{ij} \exp(\mathrm{LeakyReLU}(u_{ij})),
        \quad \sum_j p_{ij} = 1,

    where :math:`m` is dropout. A node without in-edges gets 0.

    The forward pass walks the in-edges once; the backward pass walks the out-edges
    once and computes the softmax again. Memory: two arrays of the size of ``x`` and
    nothing of the size of the edges. The result does not depend on the number of
    threads. The CPU has numba kernels, CUDA has Triton kernels; bfloat16 and float16
    are summed in float32. Other devices use :func:`gat_attention_reference`. There is
    no second derivative; the reference has one, and it also runs in forward mode and
    within the transforms of ``torch.func``.

    Args:
        graph: Structure.
        alpha_src: Score of each node as a source.
        alpha_dst: Score of each node as a target.
        x: Messages.
        weight: Non-negative weight of each column of the graph's ``edge_index``;
            added self-loops have 1. An edge of weight 0 is absent, with a finite
            gradient, which learned masks need.
        log_weight: Logarithm of the weight, given instead of ``weight``.
        negative_slope: Slope of the leaky ReLU below zero.
        dropout: Probability that a coefficient is dropped, in [0, 1].
        seed: One int64; equal seeds drop equal coefficients. Needed for ``dropout``.

    Returns:
        The aggregated messages.

    Shapes:
        - **alpha_src, alpha_dst:** :math:`(N, H)`
        - **x, output:** :math:`(N, H, C)`
        - **weight, log_weight:** :math:`(E_{in},)`, ``graph.num_entries``

    Raises:
        ValueError: If a shape does not fit, or ``dropout`` has no seed.

    Example:
        >>> import torch
        >>> from gsparse.kernels import Graph, gat_attention
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 1], [2, 2]]), 3)
        >>> zeros, x = torch.zeros(3, 1), torch.tensor([[[2.0]], [[4.0]], [[8.0]]])
        >>> gat_attention(graph, zeros, zeros, x).flatten()
        tensor([0., 0., 3.])
        >>> weight = torch.tensor([1.0, 3.0])
        >>> gat_attention(graph, zeros, zeros, x, weight).flatten()
        tensor([0.0000, 0.0000, 3.5000])
    """
    weight = one_weight(weight, log_weight)
    heads = (graph.num_nodes, x.size(1))
    check_shape("x", x, (*heads, x.size(-1)))
    check_shape("alpha_src", alpha_src, heads)
    check_shape("alpha_dst", alpha_dst, heads)
    check_edges(graph, weight, dropout, seed)
    options: dict[str, Any] = {"negative_slope": negative_slope, "dropout": dropout}
    if not is_fused(x, on_cuda=True) or is_transformed():
        return gat_attention_reference(
            graph, alpha_src, alpha_dst, x, weight, seed=seed, **options
        )
    empty = x.new_empty(0)
    tensors = (alpha_src, alpha_dst, x, weight, empty, empty)
    return _run(graph, tensors, **options, seed=seed)


def gat_layer(
    graph: Graph,
    x: Tensor,
    att_src: Tensor,
    att_dst: Tensor,
    bias: Tensor | None = None,
    weight: Tensor | None = None,
    *,
    negative_slope: float = 0.2,
    dropout: float = 0.0,
    seed: Tensor | None = None,
) -> Tensor:
    r"""Compute the scores of :func:`gat_attention` from ``x``, and add a bias.

    .. math::
        a^{src}_j = \langle att_{src}, x_j \rangle, \qquad
        a^{dst}_i = \langle att_{dst}, x_i \rangle.

    In one operator, the gradients of ``x`` need not be added up in memory.

    Args:
        graph: Structure.
        x: Messages.
        att_src: One vector per head.
        att_dst: One vector per head.
        bias: Added to the output.
        weight: As for :func:`gat_attention`.
        negative_slope: Slope of the leaky ReLU below zero.
        dropout: Probability that a coefficient is dropped, in [0, 1].
        seed: One int64; needed for ``dropout``.

    Shapes:
        - **x, output:** :math:`(N, H, C)`
        - **att_src, att_dst:** :math:`(H, C)`; **bias:** :math:`(H \cdot C,)`

    Raises:
        ValueError: If a shape does not fit, or ``dropout`` has no seed.
    """
    check_shape("x", x, (graph.num_nodes, *x.shape[1:]))
    check_shape("att_src", att_src, tuple(x.shape[1:]))
    check_shape("att_dst", att_dst, tuple(x.shape[1:]))
    check_edges(graph, weight, dropout, seed)
    options: dict[str, Any] = {
        "negative_slope": negative_slope,
        "dropout": dropout,
        "seed": seed,
    }
    if not is_fused(x, on_cuda=True) or is_transformed():
        alpha_src, alpha_dst = (x * att_src).sum(-1), (x * att_dst).sum(-1)
        out = gat_attention(graph, alpha_src, alpha_dst, x, weight, **options)
        return out if bias is None else out + bias.view(x.shape[1:])
    empty = x.new_empty(0)
    att = torch.stack([att_src, att_dst])
    return _run(graph, (empty, empty, x, weight, att, bias), **options)


def _run(
    graph: Graph,
    tensors: tuple[Tensor | None, ...],
    *,
    negative_slope: float,
    dropout: float,
    seed: Tensor | None,
) -> Tensor:
    x = tensors[2]
    assert x is not None
    given = [x.new_empty(0) if t is None else t for t in tensors]
    given = [t.to(working_dtype(x)) for t in given]
    save = torch.is_grad_enabled() and any(t.requires_grad for t in given)
    seed = torch.zeros((), dtype=torch.int64) if seed is None else seed
    slope, dropout = float(negative_slope), float(dropout)
    out = gat_forward(structure(graph), *given, seed, slope, dropout, save)[0]
    return out.to(x.dtype)

"""GAT and GATv2 attention in plain torch: oracle and fallback of the kernels.

It is differentiable any number of times on any device. It stores tensors ``[E, heads,
channels]``, so use it for small graphs, for Hessians and for comparison.
"""

import torch
from torch import Tensor
from torch.nn import functional

from gsparse.kernels.graph import Graph

_M32 = 0xFFFFFFFF


def mix_seed(seed: int) -> tuple[int, int]:
    """Return two 32-bit keys for a seed of 64 bits: one step of splitmix64."""
    z = (seed + 0x9E3779B97F4A7C15) & (2**64 - 1)
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    z ^= z >> 31
    return z & _M32, z >> 32


def drop_threshold(dropout: float) -> tuple[int, float]:
    """Return the threshold below which 32 bits drop a slot, and the others' factor."""
    scale = 0.0 if dropout == 1 else 1 / (1 - dropout)
    return min(int(dropout * 2**32), _M32), scale


def random_bits_reference(count: int, seed: int, like: Tensor) -> Tensor:
    """Return the 32 random bits of the counters 0 to ``count - 1``.

    They are a hash of the counter (mod 2^32) and the seed: two keyed rounds of the
    murmur3 finaliser.
    """
    key, key2 = mix_seed(seed)
    z = torch.arange(count, device=like.device) & _M32 ^ key
    for after in (key2, 0):
        z = ((z ^ (z >> 16)) * 0x85EBCA6B) & _M32
        z = ((z ^ (z >> 13)) * 0xC2B2AE35) & _M32
        z = ((z ^ (z >> 16)) + after) & _M32
    return z


def attention_dropout(
    num_edges: int, heads: int, dropout: float, seed: int, like: Tensor
) -> Tensor:
    """Return the dropout factors, 0 or ``1 / (1 - dropout)``, that every kernel draws.

    The bits of slot ``k`` and head ``h`` are those of the counter ``k * heads + h``.

    Shapes:
        - **output:** :math:`(E, H)`, dtype and device of ``like``
    """
    threshold, scale = drop_threshold(dropout)
    keep = random_bits_reference(num_edges * heads, seed, like) >= threshold
    return (keep.to(like.dtype) * scale).view(num_edges, heads)


def weighted_softmax(
    score: Tensor, index: Tensor, num_nodes: int, weight: Tensor | None = None
) -> Tensor:
    r"""Compute the softmax over the edges of each node with positive edge weights.

    .. math::
        a_e = \frac{w_e \exp(s_e)}{\sum_{e'} w_{e'} \exp(s_{e'})},

    that is, with ``log w`` added to the scores. An edge of weight 0 is absent; its
    gradient is finite.

    Shapes:
        - **score:** :math:`(E, H)`; **index:** :math:`(E,)`; **weight:** :math:`(E,)`
        - **output:** :math:`(E, H)`
    """
    high = score.detach()
    if weight is not None:
        high = high.masked_fill((weight == 0).unsqueeze(-1), -torch.inf)
    index = index.long()  # torch misreads an expanded index of 32 bits
    at = index.unsqueeze(-1).expand_as(score)
    top = score.new_full((num_nodes, score.size(1)), -torch.inf)
    top = top.scatter_reduce(0, at, high, "amax")[index]
    # Scores of absent edges may exceed the maximum of the others: keep exp finite.
    term = (score - torch.where(top == -torch.inf, 0, top)).clamp(max=80).exp()
    if weight is not None:
        term = term * weight.unsqueeze(-1)
    total = term.new_zeros(num_nodes, term.size(1)).scatter_add(0, at, term)
    total = total[index]  # 0 if all edges of a node are absent, which gives no gradient
    return torch.where(total == 0, 0, term / torch.where(total == 0, 1, total))


def _slot_weight(graph: Graph, weight: Tensor | None) -> Tensor | None:
    if weight is None:
        return None
    padded = torch.cat([weight, weight.new_ones(1)])  # id -1: an added self-loop
    return padded[graph.edge_id.long()]


def _aggregate(
    graph: Graph,
    score: Tensor,
    x: Tensor,
    weight: Tensor | None,
    dropout: float,
    seed: Tensor | None,
) -> Tensor:
    source, target = graph.edge_index
    share = weighted_softmax(
        score, target, graph.num_nodes, _slot_weight(graph, weight)
    )
    if dropout > 0:
        bits = 0 if seed is None else int(seed)
        share = share * attention_dropout(
            share.size(0), share.size(1), dropout, bits, share
        )
    return torch.zeros_like(x).index_add(0, target, share.unsqueeze(-1) * x[source])


def gat_attention_reference(
    graph: Graph,
    alpha_src: Tensor,
    alpha_dst: Tensor,
    x: Tensor,
    weight: Tensor | None = None,
    *,
    negative_slope: float = 0.2,
    dropout: float = 0.0,
    seed: Tensor | None = None,
) -> Tensor:
    """Compute :func:`~gsparse.kernels.gat_attention` in plain torch."""
    source, target = graph.edge_index
    score = alpha_src[source] + alpha_dst[target]
    score = functional.leaky_relu(score, negative_slope)
    return _aggregate(graph, score, x, weight, dropout, seed)


def gatv2_attention_reference(
    graph: Graph,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    weight: Tensor | None = None,
    *,
    negative_slope: float = 0.2,
    dropout: float = 0.0,
    seed: Tensor | None = None,
) -> Tensor:
    """Compute :func:`~gsparse.kernels.gatv2_attention` in plain torch."""
    source, target = graph.edge_index
    hidden = functional.leaky_relu(x_src[source] + x_dst[target], negative_slope)
    score = (hidden * att).sum(dim=-1)
    return _aggregate(graph, score, x_src, weight, dropout, seed)

"""The effect of compaction on PyG's layers and torch's operations."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric import nn as gnn

from gsparse import nn as fast
from gsparse.compaction import compact

FEATURES, WIDTH, DEAD = 5, 6, 2
FOLLOWED, KEPT, REFUSED = "followed", "kept whole", "refused"


class Between(nn.Module):
    """A linear map of which some units are 0, one step, another linear map."""

    def __init__(self, layer: nn.Module, step: Callable[..., Tensor]) -> None:
        super().__init__()
        self.first, self.layer, self.last = nn.Linear(FEATURES, WIDTH), layer, None
        self.step = step

    def hidden(self, x: Tensor, *edges: Tensor) -> Tensor:
        return self.step(self.layer, self.first(x), *edges)

    def forward(self, x: Tensor, *edges: Tensor) -> Tensor:
        return self.last(self.hidden(x, *edges))


def outcome(layer: nn.Module, step: Callable[..., Tensor]) -> str:
    """Whether the dead units in front of a step go, stay, or the model is refused."""
    torch.manual_seed(61_553)
    generator = torch.Generator().manual_seed(33_211)
    x = torch.randn(8, FEATURES, generator=generator)
    edges = torch.randint(6, (2, 14), generator=generator)
    attributes = torch.rand(14, 3, generator=generator)
    types = torch.randint(2, (14,), generator=generator)
    batch = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2])
    example = x, edges, attributes, types, batch
    model = Between(layer, step).eval()
    with torch.no_grad():
        model.first.weight[:DEAD] = 0
        model.first.bias[:DEAD] = 0
        model.last = nn.LazyLinear(3)
        model(*example)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # beta features, unread modules
                small = compact(model, example, inputs="sliced")
        except (ValueError, RuntimeError):
            return REFUSED
    return FOLLOWED if small.first.out_features == WIDTH - DEAD else KEPT


def graph_layer(layer: Any, h: Tensor, edges: Tensor, *more: Tensor) -> Tensor:
    return layer(h, edges)


def with_attributes(
    layer: Any, h: Tensor, edges: Tensor, attributes: Tensor, *more: Tensor
) -> Tensor:
    return layer(h, edges, attributes)


def with_types(
    layer: Any, h: Tensor, edges: Tensor, attributes: Tensor, types: Tensor, *more: Any
) -> Tensor:
    return layer(h, edges, types)


def with_batch(layer: Any, h: Tensor, *more: Tensor) -> Tensor:
    return layer(h, more[-1])


def alone(layer: Any, h: Tensor, *more: Tensor) -> Tensor:
    return layer(h)


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 4), nn.ReLU(), nn.Linear(4, WIDTH))


W = WIDTH
CONVS: dict[str, tuple[Callable[[], nn.Module], Callable[..., Tensor]]] = {
    "GCNConv": (lambda: gnn.GCNConv(W, 4), graph_layer),
    "FastGCNConv": (lambda: fast.FastGCNConv(W, 4), graph_layer),
    **{
        f"SAGEConv(aggr={aggr!r})": (
            lambda aggr=aggr: gnn.SAGEConv(W, 4, aggr=aggr),
            graph_layer,
        )
        for aggr in ("mean", "max", "sum", "std", "softmax")
    },
    "SAGEConv(project=True)": (lambda: gnn.SAGEConv(W, 4, project=True), graph_layer),
    "SAGEConv(normalize=True)": (
        lambda: gnn.SAGEConv(W, 4, normalize=True),
        graph_layer,
    ),
    "FastSAGEConv": (lambda: fast.FastSAGEConv(W, 4), graph_layer),
    "GraphConv": (lambda: gnn.GraphConv(W, 4), graph_layer),
    "GINConv": (lambda: gnn.GINConv(_mlp()), graph_layer),
    "GINEConv": (lambda: gnn.GINEConv(_mlp(), edge_dim=3), with_attributes),
    "GATConv": (lambda: gnn.GATConv(W, 4, heads=2), graph_layer),
    "GATConv(edge_dim)": (lambda: gnn.GATConv(W, 4, edge_dim=3), with_attributes),
    "FastGATConv": (lambda: fast.FastGATConv(W, 4, heads=2), graph_layer),
    "GATv2Conv": (lambda: gnn.GATv2Conv(W, 4, heads=2), graph_layer),
    "FastGATv2Conv": (lambda: fast.FastGATv2Conv(W, 4, heads=2), graph_layer),
    "TransformerConv": (lambda: gnn.TransformerConv(W, 4, heads=2), graph_layer),
    "TransformerConv(beta=True)": (
        lambda: gnn.TransformerConv(W, 4, beta=True),
        graph_layer,
    ),
    "SGConv": (lambda: gnn.SGConv(W, 4, K=2), graph_layer),
    "SSGConv": (lambda: gnn.SSGConv(W, 4, alpha=0.1, K=2), graph_layer),
    "APPNP": (lambda: gnn.APPNP(2, 0.1), graph_layer),
    "GCN2Conv": (
        lambda: gnn.GCN2Conv(W, alpha=0.2),
        lambda layer, h, edges, *more: layer(h, h, edges),
    ),
    "ChebConv": (lambda: gnn.ChebConv(W, 4, K=2), graph_layer),
    "TAGConv": (lambda: gnn.TAGConv(W, 4, K=2), graph_layer),
    "ARMAConv": (lambda: gnn.ARMAConv(W, 4), graph_layer),
    "LEConv": (lambda: gnn.LEConv(W, 4), graph_layer),
    "ClusterGCNConv": (lambda: gnn.ClusterGCNConv(W, 4), graph_layer),
    "MFConv": (lambda: gnn.MFConv(W, 4), graph_layer),
    "EdgeConv": (lambda: gnn.EdgeConv(nn.Linear(2 * W, 4)), graph_layer),
    "NNConv": (lambda: gnn.NNConv(W, 4, nn.Linear(3, 4 * W)), with_attributes),
    "CGConv": (lambda: gnn.CGConv(W, dim=3), with_attributes),
    "RGCNConv": (lambda: gnn.RGCNConv(W, 4, num_relations=2), with_types),
    "FiLMConv": (lambda: gnn.FiLMConv(W, 4), graph_layer),
    "GatedGraphConv": (lambda: gnn.GatedGraphConv(W, 2), graph_layer),
    "ResGatedGraphConv": (lambda: gnn.ResGatedGraphConv(W, 4), graph_layer),
    "PNAConv": (
        lambda: gnn.PNAConv(W, 4, ["mean"], ["identity"], torch.tensor([1, 3, 2])),
        graph_layer,
    ),
    "GENConv": (lambda: gnn.GENConv(W, 4), graph_layer),
    "SuperGATConv": (lambda: gnn.SuperGATConv(W, 4), graph_layer),
    "AGNNConv": (lambda: gnn.AGNNConv(), graph_layer),
}
NORMS = {
    "BatchNorm1d": lambda: nn.BatchNorm1d(W),
    "BatchNorm1d(track_running_stats=False)": lambda: nn.BatchNorm1d(
        W, track_running_stats=False
    ),
    "torch.nn.LayerNorm": lambda: nn.LayerNorm(W),
    "RMSNorm": lambda: nn.RMSNorm(W),
    "BatchNorm": lambda: gnn.BatchNorm(W),
    "LayerNorm": lambda: gnn.LayerNorm(W),
    "GraphNorm": lambda: gnn.GraphNorm(W),
    "InstanceNorm": lambda: gnn.InstanceNorm(W),
    "PairNorm": lambda: gnn.PairNorm(),
    "GraphSizeNorm": lambda: gnn.GraphSizeNorm(),
    "MeanSubtractionNorm": lambda: gnn.MeanSubtractionNorm(),
    "DiffGroupNorm": lambda: gnn.DiffGroupNorm(W, groups=2),
    "MessageNorm": lambda: gnn.MessageNorm(),
}
ACTIVATIONS = [
    nn.ReLU(),
    nn.ReLU(inplace=True),
    nn.LeakyReLU(),
    nn.ELU(),
    nn.SELU(),
    nn.CELU(),
    nn.GELU(),
    nn.SiLU(),
    nn.Mish(),
    nn.Tanh(),
    nn.Hardtanh(),
    nn.Hardswish(),
    nn.Softsign(),
    nn.PReLU(),
    nn.PReLU(W),
    nn.Softmax(dim=-1),
    nn.LogSoftmax(dim=-1),
    nn.GLU(),
    nn.Dropout(),
    nn.Identity(),
]
POOLS = {
    "global_add_pool": gnn.global_add_pool,
    "global_mean_pool": gnn.global_mean_pool,
    "global_max_pool": gnn.global_max_pool,
}
AGGREGATIONS = {
    "SumAggregation": gnn.SumAggregation,
    "MeanAggregation": gnn.MeanAggregation,
    "MaxAggregation": gnn.MaxAggregation,
    "StdAggregation": gnn.StdAggregation,
    "SoftmaxAggregation": gnn.SoftmaxAggregation,
    "MedianAggregation": gnn.MedianAggregation,
}


def _assigned(h: Tensor, index: Any, value: Any) -> Tensor:
    h = h.clone()
    h[index] = value
    return h


def _written(h: Tensor) -> Tensor:
    h[:, :3].zero_()
    return h


OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "h + h": lambda h, *e: h + h.tanh(),
    "h * number": lambda h, *e: 0.5 * h,
    "h * number of nodes": lambda h, *e: h / len(h) ** 0.5,
    "h * h.mean()": lambda h, *e: h * h.mean(),
    "h * degree": lambda h, *e: h * torch.bincount(e[0][1], minlength=len(h))[:, None],
    "torch.maximum": lambda h, *e: torch.maximum(h, h.tanh()),
    "torch.where(mask of nodes)": lambda h, *e: torch.where(
        (e[-1] > 0)[:, None], h, torch.zeros_like(h)
    ),
    "torch.where(h > 0)": lambda h, *e: torch.where(h > 0, h, 2 * h),
    "masked_fill(mask of nodes)": lambda h, *e: h.masked_fill((e[-1] > 0)[:, None], 0),
    "h[mask of nodes] = 0": lambda h, *e: _assigned(h, e[-1] > 0, 0.0),
    "h[mask of nodes] = other": lambda h, *e: _assigned(h, e[-1] > 0, h[e[-1] > 0] * 2),
    "h[:, 3] = 0": lambda h, *e: _assigned(h, (slice(None), 3), 0.0),
    "h[h < 0] = 0": lambda h, *e: _assigned(h, h < 0, 0.0),
    "write through a view": lambda h, *e: _written(h),
    "torch.cat(channels)": lambda h, *e: torch.cat([h, h.tanh()], dim=-1),
    "torch.cat(nodes)": lambda h, *e: torch.cat([h, h.tanh()]),
    "torch.stack": lambda h, *e: torch.stack([h, h.tanh()], dim=-1).sum(dim=-1),
    "JumpingKnowledge('cat')": lambda h, *e: gnn.JumpingKnowledge("cat")([h, h.tanh()]),
    "JumpingKnowledge('max')": lambda h, *e: gnn.JumpingKnowledge("max")([h, h.tanh()]),
    "h[nodes]": lambda h, *e: h[torch.arange(len(h)).flip(0)],
    "h[:, :3]": lambda h, *e: h[:, :3],
    "h[:, permutation]": lambda h, *e: h[:, torch.arange(6).flip(0)],
    "gather(nodes)": lambda h, *e: h.gather(
        0, torch.arange(len(h))[:, None].expand_as(h)
    ),
    "split(channels)": lambda h, *e: h.split([3, 3], dim=-1)[0],
    "chunk(channels)": lambda h, *e: sum(h.chunk(2, dim=-1)),
    "unbind": lambda h, *e: torch.stack(h.unbind(dim=-1), dim=-1),
    "view(-1, h.size(-1))": lambda h, *e: h.view(-1, h.size(-1)),
    "view(-1, 6)": lambda h, *e: h.view(-1, 6),
    "view(-1, heads, channels)": lambda h, *e: h.view(-1, 2, 3).mean(dim=1),
    "flatten": lambda h, *e: h.flatten(1),
    "h.t()": lambda h, *e: h.t().t(),
    "permute": lambda h, *e: h.permute(1, 0).permute(1, 0),
    "unsqueeze, squeeze": lambda h, *e: h.unsqueeze(1).squeeze(1),
    "scatter_add": lambda h, *e: torch.zeros_like(h).scatter_add(
        0, e[0][1][:, None].expand(-1, h.size(1)), h[e[0][0]]
    ),
    "index_add": lambda h, *e: torch.zeros_like(h).index_add(0, e[0][1], h[e[0][0]]),
    "matrix over nodes @ h": lambda h, *e: torch.ones(len(h), len(h)) @ h,
    "h @ h.t()": lambda h, *e: (h @ h.t()) @ h,
    "einsum": lambda h, *e: torch.einsum("nc,nc->nc", h, h),
    "mean(nodes)": lambda h, *e: h + h.mean(dim=0),
    "sum(channels)": lambda h, *e: h * h.sum(dim=-1, keepdim=True),
    "softmax(nodes)": lambda h, *e: h.softmax(dim=0),
    "F.normalize": lambda h, *e: F.normalize(h, dim=-1),
    "norm(channels)": lambda h, *e: h / (1 + h.norm(dim=-1, keepdim=True)),
    "argmax": lambda h, *e: h * (1 + h.argmax(dim=-1, keepdim=True)),
    "sort(channels)": lambda h, *e: h.sort(dim=-1)[0],
    "cumsum(nodes)": lambda h, *e: h.cumsum(0),
    "branch on len(h)": lambda h, *e: h.relu() if len(h) > 1 else h,
    "branch on h": lambda h, *e: h if bool(h.sum() > 0) else -h,
    "F.dropout": lambda h, *e: F.dropout(h, 0.5, training=False),
    "torch.rand_like": lambda h, *e: h + 0 * torch.rand_like(h),
}


def _entries() -> Iterator[tuple[str, nn.Module, Callable[..., Tensor]]]:
    for name, (make, step) in CONVS.items():
        yield name, make(), step
    for name, make_norm in NORMS.items():
        one = isinstance(make_norm(), gnn.MessageNorm)
        yield name, make_norm(), (lambda m, h, *e: m(h, h)) if one else alone
    for act in ACTIVATIONS:
        yield f"torch.nn.{act}", act, alone
    for name, pool in POOLS.items():
        yield name, nn.Identity(), lambda m, h, *e, pool=pool: pool(h, e[-1])
    for name, aggregation in AGGREGATIONS.items():
        yield name, aggregation(), with_batch
    for name, function in OPERATIONS.items():
        yield (
            name,
            nn.Identity(),
            lambda m, h, *e, function=function: function(h, *e),
        )


def rows() -> list[tuple[str, str, str]]:
    """Layer or operation, an empty cell, and what compaction does with it."""
    return [(name, "", outcome(layer, step)) for name, layer, step in _entries()]

"""Random models of every supported kind, and random units of them switched off."""

import itertools

import torch
from hypothesis import strategies as st
from torch import nn
from torch_geometric.nn import (
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    GraphConv,
    SAGEConv,
    TransformerConv,
)
from torch_geometric.nn.models import GAT, GCN, GIN, GraphSAGE

from gsparse.compaction import channel_groups
from gsparse.nn import FastGATConv, FastGATv2Conv, FastGCNConv, FastSAGEConv
from gsparse.train.models import build_model

FEATURES, CLASSES, NODES = 5, 3, 8

CONVS = {
    "GCN": lambda a, b, h: GCNConv(a, b * h),
    "FastGCN": lambda a, b, h: FastGCNConv(a, b * h, improved=True),
    "SAGE mean": lambda a, b, h: SAGEConv(a, b * h),
    "SAGE max": lambda a, b, h: SAGEConv(a, b * h, aggr="max", root_weight=False),
    "SAGE project": lambda a, b, h: SAGEConv(a, b * h, project=True, normalize=True),
    "FastSAGE": lambda a, b, h: FastSAGEConv(a, b * h),
    "Graph": lambda a, b, h: GraphConv(a, b * h),
    "GIN": lambda a, b, h: GINConv(
        nn.Sequential(nn.Linear(a, 4), nn.ELU(), nn.Linear(4, b * h))
    ),
    "GAT": lambda a, b, h: GATConv(a, b, heads=h),
    "GAT residual": lambda a, b, h: GATConv(a, b, heads=h, residual=True),
    "GAT mean": lambda a, b, h: GATConv(a, b * h, heads=2, concat=False),
    "FastGAT": lambda a, b, h: FastGATConv(a, b, heads=h),
    "GATv2": lambda a, b, h: GATv2Conv(a, b, heads=h),
    "GATv2 mean": lambda a, b, h: GATv2Conv(
        a, b * h, heads=3, concat=False, share_weights=True, residual=True
    ),
    "FastGATv2": lambda a, b, h: FastGATv2Conv(a, b, heads=h, add_self_loops=False),
    "Transformer": lambda a, b, h: TransformerConv(a, b, heads=h),
    "Transformer mean": lambda a, b, h: TransformerConv(
        a, b * h, heads=2, concat=False
    ),
    "Transformer beta": lambda a, b, h: TransformerConv(a, b, heads=h, beta=True),
    "Transformer no root": lambda a, b, h: TransformerConv(
        a, b, heads=h, root_weight=False
    ),
}
NORMS = {
    "none": lambda width: nn.Identity(),
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "batch of the graph": lambda w: nn.BatchNorm1d(w, track_running_stats=False),
}


class Mixed(nn.Module):
    """Any convolutions, norms, skips and a head that reads all layers."""

    def __init__(self, kinds, widths, heads, norms, skip, jump, act):
        super().__init__()
        sizes = [FEATURES] + [w * heads for w in widths]
        self.convs = nn.ModuleList(
            CONVS[kind](size, width, heads)
            for kind, size, width in zip(kinds, sizes, widths, strict=False)
        )
        self.norms = nn.ModuleList(
            NORMS[norm](size) for norm, size in zip(norms, sizes[1:], strict=False)
        )
        pairs = itertools.pairwise(sizes)
        self.skips = [skip and first == second for first, second in pairs]
        self.jump = jump
        self.act = act
        width = sum(sizes[1:]) if jump else sizes[-1]
        self.lin = nn.Linear(width, CLASSES)

    def forward(self, x, edge_index):
        layers = []
        for conv, norm, skip in zip(self.convs, self.norms, self.skips, strict=True):
            out = self.act(norm(conv(x, edge_index)))
            if skip:
                out = out + 0.5 * x
            x = nn.functional.dropout(out, 0.5, self.training)
            layers.append(x)
        return self.lin(torch.cat(layers, dim=-1) if self.jump else x)


@st.composite
def mixed_models(draw):
    depth = draw(st.integers(1, 4))

    def several(options):
        return [draw(st.sampled_from(options)) for _ in range(depth)]

    same = draw(st.booleans())
    widths = several([1, 2, 3])
    return Mixed(
        several(sorted(CONVS)),
        [widths[0]] * depth if same else widths,
        draw(st.integers(1, 3)),
        several(sorted(NORMS)),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.sampled_from([nn.ReLU(), nn.ELU(), nn.Sigmoid(), nn.PReLU()])),
    )


@st.composite
def library_models(draw):
    options = {
        "norm": draw(st.sampled_from([None, "batch", "layer", "graph", "instance"])),
        "act": draw(st.sampled_from(["relu", "tanh"])),
        "act_first": draw(st.booleans()),
        "jk": draw(st.sampled_from([None, "cat", "max", "last"])),
    }
    kind = draw(st.sampled_from([GCN, GraphSAGE, GIN, GAT]))
    if kind is GAT:
        options |= {"heads": draw(st.sampled_from([1, 2]))}
        options |= {"v2": draw(st.booleans())}
    return kind(FEATURES, 4, draw(st.integers(1, 3)), CLASSES, **options)


@st.composite
def own_models(draw):
    options = {"hidden_channels": 4, "num_layers": draw(st.integers(1, 3))}
    name = draw(st.sampled_from(["gcn", "gat", "sage", "mlp"]))
    if name == "gat":
        options |= {"heads": 2, "output_heads": 3}
    if name == "gcn":
        options |= {"batch_norm": draw(st.booleans()), "self_loop": draw(st.booleans())}
    return build_model(name, FEATURES, CLASSES, **options)


def any_model():
    return st.one_of(mixed_models(), library_models(), own_models())


def graph(seed, dtype=torch.float64):
    """Features, and edges that leave some nodes alone."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(NODES, FEATURES, generator=generator, dtype=dtype)
    return x, torch.randint(0, NODES - 2, (2, 14), generator=generator)


@torch.no_grad()
def shake(model, seed):
    """Random values for everything, statistics and vectors included."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator))
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
            if name.endswith("eps"):
                buffer.fill_(0.1)
    return model.double().eval()


@torch.no_grad()
def kill(model, example, share, biases, seed):
    """Zeros in random rows, columns and heads; units that read or are read no more."""
    generator = torch.Generator().manual_seed(seed)
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    for group in channel_groups(model, example):
        gone = torch.rand(group.size, generator=generator) < share
        if group.heads > 1 and torch.rand((), generator=generator) < 0.5:
            head = torch.rand(group.heads, generator=generator) < share
            gone = head.repeat_interleave(group.size // group.heads)
        for members, sort in ((group.producers, 0), (group.consumers, 1)):
            if torch.rand((), generator=generator) < 0.5 or group.kind == "output":
                continue
            for member in members:
                vector = sort == 0 and tensors[member.parameter].dim() == 1
                if vector and (not biases or "weight" in member.parameter):
                    continue
                rows = member.rows(tensors[member.parameter], group.size)
                rows[gone] = 0
    return model

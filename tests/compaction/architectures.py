"""Random models: convolutions, norms, residuals, jumps, branches on sizes."""

import torch
from torch import nn
from torch_geometric.nn import (
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    GraphConv,
    GraphNorm,
    JumpingKnowledge,
    SAGEConv,
    SGConv,
    TAGConv,
    TransformerConv,
)

from gsparse.compaction import channel_groups
from gsparse.prune import Magnitude, Pruner, Units
from tests.compaction.models import kill

FEATURES, CLASSES = 6, 3


def mlp(first, last):
    return nn.Sequential(nn.Linear(first, last), nn.ReLU(), nn.Linear(last, last))


CONVS = {
    "GCN": GCNConv,
    "GCN improved": lambda a, b: GCNConv(a, b, improved=True, bias=False),
    "SAGE": SAGEConv,
    "SAGE max": lambda a, b: SAGEConv(a, b, aggr="max"),
    "SAGE project": lambda a, b: SAGEConv(a, b, project=True, normalize=True),
    "GIN": lambda a, b: GINConv(mlp(a, b), train_eps=True),
    "Graph": GraphConv,
    "Graph mean": lambda a, b: GraphConv(a, b, aggr="mean"),
    "GAT": lambda a, b: GATConv(a, b // 2, heads=2),
    "GAT mean": lambda a, b: GATConv(a, b, heads=2, concat=False),
    "GATv2": lambda a, b: GATv2Conv(a, b // 2, heads=2, residual=True),
    "Transformer": lambda a, b: TransformerConv(a, b // 2, heads=2),
    "Transformer beta": lambda a, b: TransformerConv(a, b, beta=True),
    "SG": lambda a, b: SGConv(a, b, K=2),
    "TAG": lambda a, b: TAGConv(a, b, K=2),
}
NORMS = {
    "none": lambda width: nn.Identity(),
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "graph": GraphNorm,
}
ACTS = (nn.ReLU, nn.ELU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.LeakyReLU)


def _degree(h, edge_index):
    return torch.bincount(edge_index[1], minlength=len(h)).to(h)


def _mask_lonely(h, edge_index):
    h = h.clone()
    h[_degree(h, edge_index) == 0] = 0.0
    return h


def _virtual_node(h, edge_index):
    return h + h.mean(dim=0, keepdim=True)


def _several_nodes_only(h, edge_index):
    return h - h.mean(dim=0) if h.size(0) > 1 else h


def _edges_only(h, edge_index):
    return h.relu() if edge_index.size(1) == 0 else h


#: What people write between layers. Most of it depends on the graph.
STEPS = {
    "nothing": lambda h, edge_index: h,
    "size": lambda h, edge_index: h / len(h) ** 0.5,
    "mean degree": lambda h, edge_index: h * _degree(h, edge_index).mean(),
    "degree": lambda h, edge_index: h * _degree(h, edge_index).view(-1, 1),
    "shift": lambda h, edge_index: h + edge_index.size(1) / 10,
    "lonely": _mask_lonely,
    "where": lambda h, edge_index: torch.where(
        (_degree(h, edge_index) > 1).view(-1, 1), h, torch.zeros_like(h)
    ),
    "virtual node": _virtual_node,
    "branch on nodes": _several_nodes_only,
    "branch on edges": _edges_only,
    "literal": lambda h, edge_index: 0.5 * h + 1,
    "view": lambda h, edge_index: h.view(-1, h.size(-1)),
}


class Network(nn.Module):
    """Layers of one width, and a head."""

    def __init__(self, pick, width):
        super().__init__()
        depth = pick(range(1, 5))
        shared = depth > 2 and pick([False, False, True])
        self.embed = nn.Linear(FEATURES, width) if pick([True, False]) else None
        sizes = [width if self.embed else FEATURES] + [width] * depth
        self.convs = nn.ModuleList(
            CONVS[pick(CONVS)](a, width) for a in sizes[: 2 if shared else depth]
        )
        self.norms = nn.ModuleList(NORMS[pick(NORMS)](width) for _ in range(depth))
        self.act = pick(ACTS)()
        self.order = [0] + [1] * (depth - 1) if shared else range(depth)
        self.residual = pick([None, "sum", "scaled", "concat first"])
        self.steps = [pick(["nothing", pick(STEPS)]) for _ in range(depth)]
        self.guarded = pick([False, False, True])
        self.jump = pick([None, None, "cat", "max", "own cat", "lstm"])
        self.jk = None
        if self.jump in ("cat", "max"):
            self.jk = JumpingKnowledge(self.jump)
        elif self.jump == "lstm" and pick([True, False, False]):
            self.jk = JumpingKnowledge("lstm", width, depth)
        last = depth * width if self.jump in ("cat", "own cat") else width
        last += FEATURES if self.residual == "concat first" else 0
        self.head = pick([nn.Linear(last, CLASSES), mlp(last, CLASSES)])

    def forward(self, x, edge_index):
        first, layers = x, []
        if self.embed is not None:
            x = self.act(self.embed(x))
        for norm, index, step in zip(self.norms, self.order, self.steps, strict=True):
            h = self.convs[index](x, edge_index)
            if not self.guarded or h.size(0) > 1:
                h = norm(h)
            h = STEPS[step](self.act(h), edge_index)
            if self.residual in ("sum", "scaled") and h.shape == x.shape:
                h = h + (x if self.residual == "sum" else 0.5 * x)
            x = nn.functional.dropout(h, 0.3, self.training)
            layers.append(x)
        if self.jk is not None:
            x = self.jk(layers)
        elif self.jump == "own cat":
            x = torch.cat(layers, dim=-1)
        if self.residual == "concat first":
            x = torch.cat([x, first], dim=-1)
        return self.head(x)


@torch.no_grad()
def network(seed):
    """A model with random numbers in all of its tensors."""
    generator = torch.Generator().manual_seed(seed)

    def pick(options):
        options = list(options)
        return options[int(torch.randint(len(options), (), generator=generator))]

    model = Network(pick, 2 * pick([2, 3, 4])).double().eval()
    for parameter in model.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return model


def prune(model, example, seed):
    """Remove half of the hidden units by a pruner, or random rows and columns."""
    if seed % 3 == 0:
        return kill(model, example, 0.5, True, seed)
    groups = channel_groups(model, example)
    made_by = {
        member.parameter
        for group in groups
        if group.kind == "hidden"
        for member in group.producers
    }
    if made_by:
        targets = lambda name, _: name in made_by  # noqa: E731
        pruner = Pruner(
            model, Magnitude(), sparsity=0.5, structure=Units(groups), targets=targets
        )
        pruner.make_permanent()
    return model


def graph(seed, num_nodes, num_edges):
    """Features and edges that leave some nodes alone, if there are several."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_nodes, FEATURES, generator=generator, dtype=torch.float64)
    ends = (2, num_edges)
    return x, torch.randint(max(num_nodes - 2, 1), ends, generator=generator)

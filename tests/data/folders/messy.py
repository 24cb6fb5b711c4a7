"""Random graphs with everything that a graph folder must handle."""

import torch
from torch_geometric.data import Data


def messy_graph(seed, *, num_nodes=60, num_pairs=150, weighted=False, copies=True):
    """Draw a graph with self-loops, parallel edges and isolated nodes, unsorted.

    Weights are multiples of 1/8, whose sums are exact.
    """
    draw = torch.Generator().manual_seed(seed)
    ends = torch.randint(num_nodes - 5, (2, num_pairs), generator=draw)
    ends = ends[:, ends[0] != ends[1]]
    if not copies:
        ends = ends.sort(dim=0).values.unique(dim=1)
    loops = torch.randint(num_nodes - 5, (1, 7), generator=draw).expand(2, -1)
    edge_index = torch.cat([ends, ends.flip(0), loops], dim=1)
    order = torch.randperm(edge_index.size(1), generator=draw)
    data = Data(edge_index=edge_index[:, order], num_nodes=num_nodes)
    if weighted:
        weight = torch.randint(0, 40, (ends.size(1),), generator=draw) / 8
        of_loops = torch.ones(loops.size(1)) * 0.625
        data.edge_weight = torch.cat([weight, weight, of_loops])[order]
    return data


def summed(data):
    """Return {(u, v): weight} with u <= v: copies added up, in plain Python."""
    weights = data.get("edge_weight")
    values = [1.0] * data.num_edges if weights is None else weights.tolist()
    total = {}
    for (u, v), value in zip(data.edge_index.t().tolist(), values, strict=True):
        if u <= v:
            total[u, v] = total.get((u, v), 0.0) + value
    return total

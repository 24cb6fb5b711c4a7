"""Sparsify the edge types of a heterogeneous graph."""

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.typing import EdgeType

from gsparse.edges import (
    SplitBatch,
    cut_store,
    edge_graphs,
    rebuild_slices,
    require_edge_index,
    require_single_form,
)
from gsparse.transforms.decision import Decision, each_graph, join_decisions, named


def sparsify_hetero(decide: Callable[[Data], Decision], data: HeteroData) -> HeteroData:
    """Apply a sparsifier to every edge type, each with its own budget.

    An edge type between two node types is treated as an undirected graph over both.
    An edge type within one node type is used as listed, or as an undirected graph if
    its reverse is an edge type of its own. A ``rev_`` type keeps the reverse of the
    edges that its forward type keeps. Each graph of a batch has its own budgets.

    Args:
        decide: Function that decides about the edges of a homogeneous graph.
        data: Heterogeneous graph or a batch of them; it is not modified.

    Raises:
        ValueError: If the sparsifier refuses an edge type; the message names it.
    """
    for edge_type in data.edge_types:
        with named(f"relation {edge_type}"):
            require_edge_index(data[edge_type])
            require_single_form(data[edge_type])
    out = copy.copy(data)
    if not isinstance(data, Batch):
        for edge_type, decision in _decide_all(decide, data).items():
            cut_store(out[edge_type], *decision)
        return out
    batch = SplitBatch(data)
    decide_all = partial(_decide_all, decide)
    found = [*each_graph(decide_all, batch.graphs)]
    graphs = {kind: edge_graphs(data, data[kind]) for kind in data.edge_types}
    for kind in data.edge_types:
        keep, weight = join_decisions(batch, [it[kind] for it in found], kind)
        cut_store(out[kind], keep, weight, graphs[kind])
    rebuild_slices(data, out, graphs)
    return out


def _decide_all(
    decide: Callable[[Data], Decision], data: HeteroData
) -> dict[EdgeType, Decision]:
    """Decide about every edge type; reverse types follow their forward types."""
    forward = {kind: _forward_type(data, kind) for kind in data.edge_types}
    found: dict[EdgeType, Decision] = {}
    for kind in sorted(forward, key=lambda kind: forward[kind] is not None):
        ahead = forward[kind]
        with named(f"relation {kind}"):
            if ahead is None:
                found[kind] = _decide(decide, data, kind)
            else:
                found[kind] = _follow(data, found[ahead], ahead, kind)
    return found


def _forward_type(data: HeteroData, edge_type: EdgeType) -> EdgeType | None:
    """Return the forward type of a ``rev_`` type, if the graph has it."""
    src, relation, dst = edge_type
    forward = (dst, relation.removeprefix("rev_"), src)
    if relation.startswith("rev_") and forward in data.edge_types:
        return forward
    return None


def _decide(
    decide: Callable[[Data], Decision], data: HeteroData, edge_type: EdgeType
) -> Decision:
    src, relation, dst = edge_type
    store = data[edge_type]
    edge_index = require_edge_index(store)
    num_edges, num_nodes = edge_index.size(1), data[src].num_nodes
    weight = store.get("edge_weight")
    has_reverse = (dst, f"rev_{relation}", src) in data.edge_types
    if src != dst or has_reverse:
        shift = 0 if src == dst else num_nodes
        both = edge_index.as_subclass(Tensor) + torch.tensor(
            [[0], [shift]], device=edge_index.device
        )
        edge_index = torch.cat([both, both.flip(0)], dim=1)
        weight = None if weight is None else torch.cat([weight, weight])
        num_nodes = num_nodes if src == dst else num_nodes + data[dst].num_nodes
    graph = Data(edge_index=edge_index, num_nodes=num_nodes)
    if weight is not None:
        graph.edge_weight = weight
    for key, value in _node_features(data, src, dst).items():
        graph[key] = value
    keep, new = decide(graph)
    return Decision(keep[:num_edges], None if new is None else new[:num_edges])


def _follow(
    data: HeteroData, decision: Decision, forward: EdgeType, reverse: EdgeType
) -> Decision:
    """Keep the entries of a reverse type whose forward entries are kept."""
    num_dst = data[forward[2]].num_nodes
    old = data[forward].edge_index
    new = old[:, decision.keep]
    key = new[0] * num_dst + new[1]
    back = data[reverse].edge_index
    back_key = back[1] * num_dst + back[0]
    if not torch.isin(back_key, old[0] * num_dst + old[1]).all():
        raise ValueError(
            f"{reverse} must hold the reversed edges of {forward}; "
            "rename it if it is an edge type of its own"
        )
    keep = torch.isin(back_key, key)
    weight = decision.edge_weight
    if weight is None:
        weight = data[forward].get("edge_weight")
    if weight is None:
        return Decision(keep)
    weight = weight[decision.keep]
    order = key.argsort(stable=True)
    place = torch.searchsorted(key[order], back_key).clamp(max=max(key.numel() - 1, 0))
    spread = weight.new_zeros(back_key.shape)
    if key.numel():
        spread[keep] = weight[order][place[keep]]
    return Decision(keep, spread)


def _node_features(data: HeteroData, src: str, dst: str) -> dict[str, Tensor]:
    """Join the node-level tensors that both node types have, such as features."""
    found = {}
    for key, value in data[src].items():
        other = data[dst].get(key)
        if isinstance(value, Tensor) and value.dim() == 2 and other is not None:
            if src == dst:
                found[key] = value
            elif value.shape[1:] == other.shape[1:]:
                found[key] = torch.cat([value, other])
    return found

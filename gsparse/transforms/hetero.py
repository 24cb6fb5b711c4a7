"""Sparsify each relation of a heterogeneous graph, reverse relations in step."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.typing import EdgeType

from gsparse.edges import cut_store, require_edge_index


def sparsify_hetero(transform: Callable[[Data], Data], data: HeteroData) -> HeteroData:
    """Apply a transform to every edge type, each with a budget of its own.

    A relation between two node types becomes one undirected graph over both; a
    relation within one type is taken as it stands, and as an undirected graph where
    its reverse is a relation of its own. ``rev_`` relations hold the reversed entries
    of what their forward relation keeps.

    Args:
        transform: Function of a homogeneous graph that sets ``e_id``.
        data: The heterogeneous graph; it is not changed.
    """
    out = copy.copy(data)
    for edge_type in data.edge_types:
        if _forward_type(data, edge_type) is None:
            keep, weight = _decide(transform, data, edge_type)
            cut_store(out[edge_type], keep, weight)
    for edge_type in data.edge_types:
        forward = _forward_type(data, edge_type)
        if forward is not None:
            keep, weight = _follow(data, out, forward, edge_type)
            cut_store(out[edge_type], keep, weight)
    return out


def _forward_type(data: HeteroData, edge_type: EdgeType) -> EdgeType | None:
    """The relation a ``rev_`` relation reverses, where there is one."""
    src, relation, dst = edge_type
    forward = (dst, relation.removeprefix("rev_"), src)
    if relation.startswith("rev_") and forward in data.edge_types:
        return forward
    return None


def _decide(
    transform: Callable[[Data], Data], data: HeteroData, edge_type: EdgeType
) -> tuple[Tensor, Tensor | None]:
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
    cut = transform(graph)
    kept = cut.e_id
    new = cut.get("edge_weight")
    keep = torch.zeros(num_edges, dtype=torch.bool, device=edge_index.device)
    keep[kept[kept < num_edges]] = True
    if new is None:
        return keep, None
    out = new.new_zeros(num_edges)
    out[kept[kept < num_edges]] = new[kept < num_edges]
    return keep, out


def _follow(
    data: HeteroData, out: HeteroData, forward: EdgeType, reverse: EdgeType
) -> tuple[Tensor, Tensor | None]:
    """Keep the entries of a reverse relation whose forward entry survived."""
    num_dst = data[forward[2]].num_nodes
    old, new = data[forward].edge_index, out[forward].edge_index
    key = new[0] * num_dst + new[1]
    back = data[reverse].edge_index
    back_key = back[1] * num_dst + back[0]
    if not torch.isin(back_key, old[0] * num_dst + old[1]).all():
        raise ValueError(
            f"{reverse} must hold the reversed edges of {forward}; "
            "rename it if it is a relation of its own"
        )
    keep = torch.isin(back_key, key)
    if "edge_weight" not in out[forward]:
        return keep, None
    weight = out[forward].edge_weight
    order = key.argsort(stable=True)
    place = torch.searchsorted(key[order], back_key).clamp(max=max(key.numel() - 1, 0))
    spread = weight.new_zeros(back_key.shape)
    if key.numel():
        spread[keep] = weight[order][place[keep]]
    return keep, spread


def _node_features(data: HeteroData, src: str, dst: str) -> dict[str, Tensor]:
    """What every node of the graph over both types has, such as features."""
    found = {}
    for key, value in data[src].items():
        other = data[dst].get(key)
        if isinstance(value, Tensor) and value.dim() == 2 and other is not None:
            if src == dst:
                found[key] = value
            elif value.shape[1:] == other.shape[1:]:
                found[key] = torch.cat([value, other])
    return found

"""Cut a graph: the one place where edge-aligned tensors are sliced."""

import copy

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.data.storage import BaseStorage

EDGE_KEYS = ("edge_index", "edge_weight", "edge_attr", "edge_type", "e_id")
NODE_KEYS = ("x", "y", "pos", "batch", "ptr", "n_id", "node_label", "kept_features")


def apply_edge_mask(
    data: Data, keep: Tensor, edge_weight: Tensor | None = None
) -> Data:
    """Return the graph with only the entries in ``keep``; the input is untouched.

    All nodes stay. ``edge_weight``, ``edge_attr``, ``edge_type``, ``e_id`` and
    every other tensor or list that PyG takes for edge-level follow. ``edge_label*``,
    ``y`` and ``*_mask`` are supervision and stay as they are, whatever their length.
    The original positions are in ``e_id``.

    Args:
        data: A graph with an ``edge_index``.
        keep: True for the entries that survive.
        edge_weight: New weight of every entry, before the cut.

    Shapes:
        - **keep**, **edge_weight:** :math:`(E,)`

    Raises:
        TypeError: If the graph is stored as ``adj_t``.
        ValueError: If ``keep`` does not fit the edges.
    """
    num_nodes = data.num_nodes
    out = copy.copy(data)
    cut_store(out._store, keep, edge_weight)
    out.num_nodes = num_nodes
    return out


def cut_store(
    store: BaseStorage, keep: Tensor, edge_weight: Tensor | None = None
) -> None:
    """Replace the edge-level values of a store that was copied beforehand."""
    edge_index = require_edge_index(store)
    if keep.dtype != torch.bool or keep.shape != edge_index.shape[1:]:
        raise ValueError(
            f"'keep' must be a bool tensor of shape [{edge_index.size(1)}] "
            f"(got {keep.dtype}, {list(keep.shape)})"
        )
    edge_keys = [key for key in store.to_dict() if is_edge_level(store, key)]
    for key in edge_keys:
        dim = store._parent().__cat_dim__(key, store[key], store)
        store[key] = _slice(store[key], keep, dim)
    if edge_weight is not None:
        store.edge_weight = edge_weight[keep]
    if "e_id" not in edge_keys:
        store.e_id = keep.nonzero().view(-1)


def require_edge_index(store: BaseStorage) -> Tensor:
    """The ``edge_index`` of a store, or a refusal that says what to do."""
    if "edge_index" not in store or store["edge_index"] is None:
        if "adj_t" in store or "adj" in store:
            raise TypeError(
                "graphs stored as 'adj_t' are not supported; build 'edge_index' "
                "first, or apply ToSparseTensor() after the sparsifier"
            )
        raise ValueError(f"'data' must have an 'edge_index' (got {store.keys()})")
    return store["edge_index"]


def is_edge_level(store: BaseStorage, key: str) -> bool:
    """Does this attribute have one value per entry of ``edge_index``?

    PyG decides by length, and where there are as many nodes as entries by whether
    the name contains ``edge``; supervision is excluded by name here.
    """
    if key in EDGE_KEYS:
        return store[key] is not None
    if key in NODE_KEYS or key.startswith("edge_label") or key.endswith("_mask"):
        return False
    return store.is_edge_attr(key)


def _slice(value: Tensor | list, keep: Tensor, dim: int) -> Tensor | list:
    if isinstance(value, EdgeIndex):
        return EdgeIndex(
            value.as_subclass(Tensor)[:, keep],
            sparse_size=value.sparse_size(),
            sort_order=value.sort_order,
            is_undirected=value.is_undirected,
        )
    if isinstance(value, Tensor):
        kept = keep.nonzero().view(-1).to(value.device)
        return value.index_select(dim, kept)
    return [item for item, kept in zip(value, keep.tolist(), strict=True) if kept]

"""Validate graphs that are read from or written to files."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data.file_bytes import physical_memory
from gsparse.edges.check import check_edge_index

MAX_NODES = 3_037_000_499  # its square, the number of node pairs, is below 2**63
FEW_NODES = 10_000_000
NODES_PER_EDGE = 100

_IDS = (torch.int8, torch.int16, torch.int32, torch.int64)
_MASKS = ("train_mask", "val_mask", "test_mask")
_EDGE_LEVEL = ("edge_weight", "edge_attr", "edge_type")


def check_graph(data: Data, where: object) -> Data:
    """Check that all tensors of a graph fit each other, and set ``num_nodes``.

    The number of nodes is ``num_nodes`` if given, or the length of ``x``, of a mask or
    of ``y``, or the largest id plus one. The last one must not exceed both ten million
    and a hundred times the number of edges, because such ids are probably labels and
    not positions.

    Args:
        data: Graph to check.
        where: Name of the file for error messages.

    Returns:
        The same graph.

    Raises:
        ValueError: If ``edge_index`` is not ``[2, E]`` with ids below the number of
            nodes, a node-level or edge-level tensor has another length, or a weight is
            not finite.
    """
    edge_index = data.get("edge_index")
    if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
        raise ValueError(f"{where} must hold a dense tensor 'edge_index'")
    if edge_index.dtype not in _IDS:
        raise ValueError(
            f"'edge_index' in {where} must hold integers (got {edge_index.dtype})"
        )
    num_nodes = _stated_nodes(data, where)
    try:
        used = check_edge_index(edge_index)
        if num_nodes is None:
            num_nodes = _nodes_of_labels(data, used)
        if num_nodes is None:
            num_nodes = check_largest(used, edge_index.size(1))
        check_edge_index(edge_index, num_nodes)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    check_num_nodes(num_nodes, where)
    if not isinstance(data.get("x"), Tensor):  # otherwise PyG guesses and warns
        data.num_nodes = num_nodes
    _check_nodes(data, num_nodes, where)
    _check_edges(data, edge_index.size(1), where)
    return data


def make_data(values: Mapping[Any, Any], where: object) -> Data:
    """Build a graph from a mapping of attributes.

    Raises:
        ValueError: If a name is not a string, starts with ``_``, or is reserved by
            ``Data``.
    """
    for key in values:
        if not isinstance(key, str) or key.startswith("_"):
            raise ValueError(
                f"{where} must name attributes of a graph (got {key!r:.60})"
            )
    try:
        return Data.from_dict(dict(values))
    except (AttributeError, TypeError) as error:
        raise ValueError(f"{where} must hold attributes of a graph ({error})") from None


def check_num_nodes(num_nodes: int, where: object) -> None:
    """Refuse more nodes than fit into int64 pair numbers or into memory."""
    if num_nodes > MAX_NODES:
        raise ValueError(
            f"{where} must have at most {MAX_NODES:,} nodes (got {num_nodes:,})"
        )
    if 8 * num_nodes > physical_memory():
        raise ValueError(
            f"{where} must fit into memory (got {num_nodes:,} nodes; one number per "
            f"node takes {8e-9 * num_nodes:,.1f} GB)"
        )


def check_largest(num_nodes: int, num_edges: int) -> int:
    """Refuse a largest id that is too large for the number of edges."""
    limit = max(FEW_NODES, NODES_PER_EDGE * num_edges)
    if num_nodes > limit:
        raise ValueError(
            f"the largest node id must be below {limit:,} with {num_edges:,} edges "
            f"(got {num_nodes - 1}); number the nodes from 0 with relabel=True "
            "(--relabel), or state the number of nodes"
        )
    return num_nodes


def _stated_nodes(data: Data, where: object) -> int | None:
    """Return ``num_nodes`` as an integer, or the length of ``x``, or None."""
    stated = data._store.get("num_nodes")
    if isinstance(stated, Tensor) and stated.numel() == 1:
        stated = stated.item()
    if stated is not None and (type(stated) is not int or stated < 0):
        raise ValueError(
            f"'num_nodes' in {where} must be a non-negative integer (got {stated})"
        )
    if stated is not None:
        data.num_nodes = stated
        return stated
    x = data.get("x")
    return x.size(0) if isinstance(x, Tensor) and x.dim() else None


def _nodes_of_labels(data: Data, used: int) -> int | None:
    """Return the length of a mask, or of ``y`` if it is long enough, or None."""
    for key in (*_MASKS, "y"):
        value = data.get(key)
        if not isinstance(value, Tensor) or not value.dim():
            continue
        if key != "y" or value.size(0) >= max(used, 2):
            return value.size(0)
    return None


def _check_nodes(data: Data, num_nodes: int, where: object) -> None:
    for key in ("x", "y", *_MASKS):
        value = data.get(key)
        if not isinstance(value, Tensor):
            continue
        length = value.size(0) if value.dim() else None
        of_graph = key == "y" and length in (None, 1)
        if length != num_nodes and not of_graph:
            raise ValueError(
                f"{key!r} in {where} must have one row for each of the {num_nodes} "
                f"nodes (got shape {list(value.shape)})"
            )


def _check_edges(data: Data, num_edges: int, where: object) -> None:
    for key in _EDGE_LEVEL:
        value = data.get(key)
        if value is None:
            continue
        if not isinstance(value, Tensor) or not value.dim():
            raise ValueError(f"{key!r} in {where} must be a tensor of the edges")
        if value.size(0) != num_edges:
            raise ValueError(
                f"{key!r} in {where} must have one row for each of the {num_edges} "
                f"edges (got shape {list(value.shape)})"
            )
    weight = data.get("edge_weight")
    if weight is None:
        return
    if weight.dim() != 1 or weight.is_complex() or weight.layout != torch.strided:
        raise ValueError(
            f"'edge_weight' in {where} must hold one real number for each edge "
            f"(got {weight.dtype}, shape {list(weight.shape)})"
        )
    if weight.is_floating_point() and not weight.isfinite().all():
        bad = int((~weight.isfinite()).nonzero()[0])
        raise ValueError(
            f"'edge_weight' in {where} must be finite "
            f"(got {weight[bad].item()} at edge {bad})"
        )

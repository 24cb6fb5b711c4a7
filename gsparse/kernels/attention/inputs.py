"""Check the inputs of attention and tell which of them have a kernel."""

from importlib.util import find_spec

import torch
from torch import Tensor

from gsparse.kernels.attention.lanes import MAX_HEADS, MAX_WIDTH
from gsparse.kernels.checks import check_once, check_pointers, check_range, check_shape
from gsparse.kernels.graph import Graph

_HALVES = (torch.bfloat16, torch.float16)
_HAS_TRITON = find_spec("triton") is not None


def is_fused(x: Tensor, *, on_cuda: bool = False) -> bool:
    """Whether a kernel exists for messages ``x [N, H, C]``.

    Args:
        x: Messages.
        on_cuda: Whether the operator has a CUDA kernel.
    """
    heads, width = x.size(1), x.size(1) * x.size(2)
    if x.device.type == "cuda" and not (on_cuda and _HAS_TRITON):
        return False
    floats: tuple[torch.dtype, ...] = (torch.float32, *_HALVES)
    if x.device.type == "cpu":
        floats += (torch.float64,)
    fits = 0 < heads <= MAX_HEADS and 0 < width <= MAX_WIDTH
    return x.device.type in ("cpu", "cuda") and x.dtype in floats and fits


def working_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of sums, which is float32 for half precision."""
    return torch.float32 if x.dtype in _HALVES else x.dtype


def one_weight(weight: Tensor | None, log_weight: Tensor | None) -> Tensor | None:
    """Return the weight, given by itself or by its logarithm."""
    if log_weight is None:
        return weight
    if weight is not None:
        raise ValueError("give 'weight' or 'log_weight', not both")
    return log_weight.exp()


def structure(graph: Graph) -> list[Tensor]:
    """Return the tensors of a graph in the order of the operators' arguments."""
    forward = [graph.indptr, graph.indices, graph.edge_id]
    backward = [graph.t_indptr, graph.t_indices, graph.t_perm]
    return [*forward, *backward, graph.blocks, graph.t_blocks]


def check_edges(
    graph: Graph, weight: Tensor | None, dropout: float, seed: Tensor | None
) -> None:
    """Raise an error unless weight, dropout and seed can be used with the graph."""
    if weight is not None:
        check_shape("weight", weight, (graph.num_entries,))
    if not 0 <= dropout <= 1:
        raise ValueError(f"'dropout' must be in [0, 1] (got {dropout})")
    if dropout > 0 and seed is None:
        raise ValueError(f"'seed' is needed with dropout (got dropout={dropout})")


def check_structure(structure: list[Tensor], weight: Tensor) -> tuple[int, int]:
    """Raise an error for a graph or weights that would lead out of an array.

    Returns:
        Numbers of nodes and edges.

    Raises:
        ValueError: If sizes do not match, or an index is out of range.
    """
    indptr, indices, edge_id, t_indptr, t_indices, t_perm, *blocks = structure
    num_entries = check_once(structure, _check_contents)
    check_shape("t_indptr", t_indptr, indptr.shape)
    check_shape("t_blocks", blocks[1], blocks[0].shape)  # one sum per block in both
    slots = {"edge_id": edge_id, "t_indices": t_indices, "t_perm": t_perm}
    for name, tensor in slots.items():
        check_shape(name, tensor, indices.shape)
    if weight.dim() != 1 or 0 < weight.numel() < num_entries:
        raise ValueError(
            f"'weight' must have shape [{num_entries}], or more entries "
            f"(got {list(weight.shape)})"
        )
    return indptr.numel() - 1, indices.numel()


def _check_contents(*structure: Tensor) -> int:
    """Check the ranges of indices; return the number of weights that are needed."""
    indptr, indices, edge_id, t_indptr, t_indices, t_perm, blocks, t_blocks = structure
    num_nodes, num_edges = indptr.numel() - 1, indices.numel()
    check_pointers("indptr", indptr, num_edges)
    check_pointers("t_indptr", t_indptr, num_edges)
    check_pointers("blocks", blocks, num_nodes)
    check_pointers("t_blocks", t_blocks, num_nodes)
    check_range("indices", indices, 0, num_nodes)
    check_range("t_indices", t_indices, 0, num_nodes)
    check_range("t_perm", t_perm, 0, num_edges)
    return int(edge_id.max()) + 1 if edge_id.numel() else 0


def check_messages(x: Tensor, num_nodes: int) -> None:
    """Raise an error for messages of a shape that the kernels do not support.

    Raises:
        ValueError: If they are not ``[N, H, C]``, or a row is too wide.
    """
    if x.dim() != 3 or x.size(0) != num_nodes:
        raise ValueError(
            f"'x' must have shape [{num_nodes}, H, C] (got {list(x.shape)})"
        )
    heads, width = x.size(1), x.size(1) * x.size(2)
    if not (0 < heads <= MAX_HEADS and 0 < width <= MAX_WIDTH):
        raise ValueError(
            f"'x' must have 1 to {MAX_HEADS} heads and 1 to {MAX_WIDTH} numbers a row "
            f"(got {heads} heads, {width} numbers)"
        )

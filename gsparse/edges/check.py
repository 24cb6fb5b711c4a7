"""Validate edges, edge weights and sparsities."""

import torch
from torch import Tensor


def check_edge_index(edge_index: Tensor, num_nodes: int | None = None) -> int:
    """Validate an ``edge_index`` and return the number of nodes.

    Args:
        edge_index: Node ids, one column per directed entry.
        num_nodes: Number of nodes. The default is the largest id plus one.

    Returns:
        The number of nodes.

    Shapes:
        - **edge_index:** :math:`(2, E)`

    Raises:
        TypeError: If the ids are not integers.
        ValueError: If the shape is wrong or an id is out of range.
    """
    if not isinstance(edge_index, Tensor):
        raise TypeError(
            f"'edge_index' must be a Tensor (got {type(edge_index).__name__})"
        )
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(
            f"'edge_index' must have shape [2, E] (got {list(edge_index.shape)})"
        )
    if edge_index.is_floating_point() or edge_index.dtype in (torch.bool, torch.uint8):
        raise TypeError(
            f"'edge_index' must hold integer node ids (got {edge_index.dtype}); "
            "convert it with edge_index.long()"
        )
    if num_nodes is not None and num_nodes < 0:
        raise ValueError(f"'num_nodes' must not be negative (got {num_nodes})")
    if edge_index.numel() == 0:
        return num_nodes or 0
    lowest, highest = (int(v) for v in torch.aminmax(edge_index))
    if lowest < 0:
        raise ValueError(f"'edge_index' must not hold negative ids (got {lowest})")
    if num_nodes is not None and highest >= num_nodes:
        raise ValueError(
            f"'edge_index' must hold ids below num_nodes={num_nodes} (got {highest})"
        )
    return highest + 1 if num_nodes is None else num_nodes


def check_edge_weight(edge_weight: Tensor | None, num_edges: int) -> None:
    """Refuse edge weights unless they are finite, non-negative and one per entry.

    Shapes:
        - **edge_weight:** :math:`(E,)`
    """
    if edge_weight is None:
        return
    if edge_weight.dim() != 1 or edge_weight.numel() != num_edges:
        raise ValueError(
            f"'edge_weight' must have shape [{num_edges}] "
            f"(got {list(edge_weight.shape)}); features belong in 'edge_attr'"
        )
    if not edge_weight.is_floating_point():
        raise TypeError(
            f"'edge_weight' must be floating point (got {edge_weight.dtype})"
        )
    finite = torch.isfinite(edge_weight)
    if not finite.all():
        bad = int((~finite).nonzero()[0])
        raise ValueError(
            f"'edge_weight' must be finite (got {edge_weight[bad].item()} at {bad})"
        )
    if num_edges and edge_weight.min() < 0:
        bad = int(edge_weight.argmin())
        raise ValueError(
            f"'edge_weight' must not be negative "
            f"(got {edge_weight[bad].item()} at {bad})"
        )


def check_sparsity(sparsity: float) -> None:
    """Refuse a sparsity outside [0, 1)."""
    if not 0 <= sparsity < 1:
        raise ValueError(f"'sparsity' must be in [0, 1) (got {sparsity})")

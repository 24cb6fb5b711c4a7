"""What every graph must satisfy before anything is computed from it."""

import torch
from torch import Tensor
from torch_geometric.data import Data


def check_edge_index(edge_index: Tensor, num_nodes: int | None = None) -> int:
    """Refuse an ``edge_index`` that is not a graph, and return its number of nodes.

    Args:
        edge_index: Node ids, one column per directed entry.
        num_nodes: Number of nodes; the largest id plus one if left out.

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


def check_data(data: object, name: str) -> None:
    """Refuse what is not a graph, such as a bare tensor.

    Args:
        data: What was given.
        name: Of the method that it was given to.

    Raises:
        TypeError: If it is no :class:`~torch_geometric.data.Data`.
    """
    if not isinstance(data, Data):
        raise TypeError(
            f"{name} takes a graph, a Data of PyG (got {type(data).__name__}); give it "
            "Data(edge_index=..., num_nodes=...)"
        )


def check_edge_weight(edge_weight: Tensor | None, num_edges: int) -> None:
    """Refuse weights that are not one finite, non-negative number per entry.

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
    """Refuse a fraction of removed edges outside [0, 1)."""
    if not 0 <= sparsity < 1:
        raise ValueError(f"'sparsity' must be in [0, 1) (got {sparsity})")

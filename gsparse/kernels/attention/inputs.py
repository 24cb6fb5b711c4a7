"""What attention takes: which inputs have a kernel, and which are refused."""

from importlib.util import find_spec

import torch
from torch import Tensor

from gsparse.kernels.attention.lanes import MAX_HEADS, MAX_WIDTH
from gsparse.kernels.graph import Graph

_HALVES = (torch.bfloat16, torch.float16)
_HAS_TRITON = find_spec("triton") is not None


def is_fused(x: Tensor, *, on_cuda: bool = False) -> bool:
    """Whether a kernel exists for messages ``x [N, H, C]``.

    Args:
        x: Messages.
        on_cuda: Whether the op has a CUDA body.
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
    """The dtype sums are made in: float32 for halves."""
    return torch.float32 if x.dtype in _HALVES else x.dtype


def one_weight(weight: Tensor | None, log_weight: Tensor | None) -> Tensor | None:
    """The weight, from itself or from its logarithm."""
    if log_weight is None:
        return weight
    if weight is not None:
        raise ValueError("give 'weight' or 'log_weight', not both")
    return log_weight.exp()


def structure(graph: Graph) -> list[Tensor]:
    """The tensors of a graph, in the order the ops take them."""
    forward = [graph.indptr, graph.indices, graph.edge_id]
    backward = [graph.t_indptr, graph.t_indices, graph.t_perm]
    return [*forward, *backward, graph.blocks, graph.t_blocks]


def check_edges(
    graph: Graph, weight: Tensor | None, dropout: float, seed: Tensor | None
) -> None:
    """Raise unless weight, dropout and seed can be used with the graph."""
    if weight is not None:
        check_shape("weight", weight, (graph.num_entries,))
    if not 0 <= dropout <= 1:
        raise ValueError(f"'dropout' must be in [0, 1] (got {dropout})")
    if dropout > 0 and seed is None:
        raise ValueError(f"'seed' is needed with dropout (got dropout={dropout})")


def check_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Raise unless a tensor has this shape."""
    if tuple(tensor.shape) != shape:
        got = list(tensor.shape)
        raise ValueError(f"'{name}' must have shape {list(shape)} (got {got})")

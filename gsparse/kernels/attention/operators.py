"""Checks, arguments of kernels and derivatives that GAT and GATv2 share."""

from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.attention.chunks import MAX_HEADS, MAX_WIDTH
from gsparse.kernels.attention.reference import drop_threshold, mix_seed
from gsparse.kernels.checks import check_once, check_pointers, check_range, check_shape
from gsparse.kernels.graph import Graph
from gsparse.kernels.threads import array
from gsparse.kernels.tracing import is_transformed

# ruff: noqa: ANN401 (operators and autograd contexts)

#: From this many ``E * H * C`` products on, a kernel is compiled for the shape, which
#: takes some seconds and is kept on disk. Smaller inputs use the kernel for any shape,
#: which takes 1.6 to 2 times as long for few narrow heads.
SPECIALISE_WORK = 300_000

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


def arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    """Return the arrays that numba takes for tensors."""
    return tuple(map(array, tensors))


def shape_key(x: Tensor, num_edges: int) -> tuple[int, int]:
    """Return the heads and channels to compile for; (0, 0) for small inputs."""
    _, heads, channels = x.shape
    work = num_edges * heads * channels
    return (heads, channels) if work >= SPECIALISE_WORK else (0, 0)


def drop_rule(seed: Tensor, dropout: float, kind: type) -> tuple[Any, ...]:
    """Return keys, threshold and scale of dropout as numbers of fixed size."""
    key, key2 = mix_seed(int(seed))
    threshold, scale = drop_threshold(dropout)
    return np.uint32(key), np.uint32(key2), np.uint32(threshold), kind(scale)


def empty_gradients(
    tensors: tuple[Tensor, ...], weight: int, *, weight_grad: bool
) -> list[Tensor]:
    """Return empty gradients of the tensors; that of ``weight`` only if wanted."""
    return [
        tensor.new_empty(tensor.shape if weight_grad or place != weight else 0)
        for place, tensor in enumerate(tensors)
    ]


def register_derivative(forward: Any, backward: Any, num_inputs: int) -> None:
    """Make one attention operator the derivative of another.

    Args:
        forward: Takes the structure, ``num_inputs`` tensors, the fourth argument being
            the weights of the edges, the seed, slope, dropout, and further settings.
        backward: Takes the same up to the seed, the outputs, the gradient, slope,
            dropout, and whether the weights need a gradient.
        num_inputs: Number of differentiable tensors.
    """

    def save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
        structure, *tensors = inputs[: num_inputs + 2]
        settings = inputs[num_inputs + 2 :]
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*structure, *tensors, *output)
        ctx.settings, ctx.rest = settings[:2], [None] * (1 + len(settings))
        ctx.count = len(structure)

    def derive(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
        count, grad, needed = ctx.count, grads[0], ctx.needs_input_grad
        none: list[None] = [None] * count
        if grad is None:
            return none, *[None] * num_inputs, *ctx.rest
        refuse_batches()
        saved = ctx.saved_tensors
        tensors = saved[count : count + num_inputs + 1]
        outputs = list(saved[count + num_inputs + 1 :])
        settings = grad, *ctx.settings, bool(needed[4])
        made = backward(list(saved[:count]), *tensors, outputs, *settings)
        wanted = zip(made, needed[1 : num_inputs + 1], strict=True)
        return none, *(found if need else None for found, need in wanted), *ctx.rest

    forward.register_autograd(derive, setup_context=save)
    backward.register_autograd(refuse_second_derivative)


def refuse_batches() -> None:
    """Raise an error in a derivative that is asked for several gradients at a time.

    Raises:
        RuntimeError: Within a transform of ``torch.func``, or for batched gradients.
    """
    if is_transformed():
        raise RuntimeError(
            "fused attention takes one gradient at a time: use "
            "attention='reference' (or gat_attention_reference) for batched gradients"
        )


def refuse_second_derivative(ctx: Any, grads: list[Tensor]) -> None:
    """Raise an error: the kernels have a first derivative only."""
    raise RuntimeError(
        "fused attention has no second derivative: use attention='reference' "
        "(or gat_attention_reference) where gradients of gradients are needed"
    )

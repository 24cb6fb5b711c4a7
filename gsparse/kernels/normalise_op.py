"""Symmetric normalisation of weighted edges as a torch operator."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.checks import check_shape
from gsparse.kernels.csr_pattern import (
    NO_WALK,
    BothWalks,
    HasTranspose,
    arrays,
    check_walks,
    walks,
)
from gsparse.kernels.differentiable import differentiable, operator
from gsparse.kernels.scalar import data
from gsparse.kernels.threads import array, jit, run_blocks, take_block
from gsparse.kernels.tracing import is_beyond_grad

# ruff: noqa: ANN401 (torch's contexts are untyped)


@jit(fastmath={"contract", "reassoc", "nsz"})
def _roots_kernel(
    counter: np.ndarray,
    blocks: np.ndarray,
    indptr: np.ndarray,
    values: np.ndarray,
    scale: np.ndarray,
) -> None:
    r"""Compute :math:`d_i^{-1/2}` of the sums of rows; 0 for a sum of 0, NaN below."""
    v, one, zero = data(values), values.dtype.type(1), values.dtype.type(0)
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for i in range(blocks[block], blocks[block + 1]):
            total = zero
            for e in range(indptr[i], indptr[i + 1]):
                total += v[e]
            scale[i] = zero if total == zero else one / np.sqrt(total)
        block = take_block(counter)


@jit()
def _scale_kernel(
    counter: np.ndarray,
    blocks: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray,
    scale: np.ndarray,
    out: np.ndarray,
) -> None:
    """Compute ``out[e] = scale[i] * values[e] * scale[j]``."""
    v, s, j, o = data(values), data(scale), data(indices), data(out)
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for i in range(blocks[block], blocks[block + 1]):
            mine = scale[i]
            for e in range(indptr[i], indptr[i + 1]):
                o[e] = v[e] * (mine * s[np.intp(j[e])])
        block = take_block(counter)


@jit(fastmath={"contract", "reassoc", "nsz"})
def _row_pulls_kernel(
    counter: np.ndarray,
    blocks: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    grad: np.ndarray,
    values: np.ndarray,
    scale: np.ndarray,
    products: np.ndarray,
    pulls: np.ndarray,
) -> None:
    """Compute ``products = grad * values`` and the gradients of the scales of rows.

    The latter are ``pulls[i] = sum_e products[e] scale[j]``.
    """
    g, v, p = data(grad), data(values), data(products)
    s, j, zero = data(scale), data(indices), values.dtype.type(0)
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for i in range(blocks[block], blocks[block + 1]):
            total = zero
            for e in range(indptr[i], indptr[i + 1]):
                product = g[e] * v[e]
                p[e] = product
                total += product * s[np.intp(j[e])]
            pulls[i] = total
        block = take_block(counter)


@jit(fastmath={"contract", "reassoc", "nsz"})
def _column_pulls_kernel(
    counter: np.ndarray,
    blocks: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    perm: np.ndarray,
    products: np.ndarray,
    scale: np.ndarray,
    pulls: np.ndarray,
) -> None:
    """Add the gradients of the scales of columns; ``perm`` permutes the products."""
    p, s, j, q = data(products), data(scale), data(indices), data(perm)
    zero = products.dtype.type(0)
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for i in range(blocks[block], blocks[block + 1]):
            total = zero
            for e in range(indptr[i], indptr[i + 1]):
                total += p[np.intp(q[e])] * s[np.intp(j[e])]
            pulls[i] += total
        block = take_block(counter)


@jit()
def _weights_kernel(
    counter: np.ndarray,
    blocks: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    grad: np.ndarray,
    scale: np.ndarray,
    pulls: np.ndarray,
    out: np.ndarray,
) -> None:
    """Compute ``out[e] = grad[e] scale[i] scale[j] - pulls[i] scale[i] ** 3 / 2``."""
    g, s, j, o = data(grad), data(scale), data(indices), data(out)
    half = grad.dtype.type(0.5)
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for i in range(blocks[block], blocks[block + 1]):
            mine = scale[i]
            shift = half * pulls[i] * mine * mine * mine
            for e in range(indptr[i], indptr[i + 1]):
                o[e] = g[e] * (mine * s[np.intp(j[e])]) - shift
        block = take_block(counter)


def normalised_values(pattern: HasTranspose, values: Tensor) -> Tensor:
    r"""Return the entries of :math:`D^{-1/2} A D^{-1/2}`; :math:`D` holds row sums.

    A node whose weights sum to 0 gets zeros, one with a negative sum NaN.
    Differentiable any number of times; the first derivative walks the edges three times
    and stores two numbers per node.

    Args:
        pattern: Sparsity pattern; rows are the targets.
        values: The weights :math:`A`, not negative, in the order of the rows.

    Shapes:
        - **values**, **output:** :math:`(nnz,)`

    Raises:
        ValueError: If the pattern is not square, or has no entry for each value.
    """
    known = values.dtype in (torch.float32, torch.float64)
    if values.device.type != "cpu" or not known:
        return normalised_reference(pattern, values)
    return _normalise(values, *walks(pattern))[0]


def normalised_reference(pattern: HasTranspose, values: Tensor) -> Tensor:
    """Compute :func:`normalised_values` in plain torch, with any derivatives."""
    num_nodes = pattern.indptr.numel() - 1
    nodes = torch.arange(num_nodes, device=values.device)
    row = nodes.repeat_interleave(pattern.indptr.diff().long())
    degree = values.new_zeros(num_nodes).index_add(0, row, values)
    scale = torch.where(degree == 0, 1, degree).rsqrt() * (degree != 0)
    return values * scale[row] * scale[pattern.indices.long()]


def _check(values: Tensor, walk: list[Tensor], back: list[Tensor]) -> None:
    num_rows, num_cols, size = check_walks(walk, back)
    if num_rows != num_cols:
        raise ValueError(
            f"'pattern' must be square (got {num_rows} rows, {num_cols} columns)"
        )
    check_shape("values", values, (size,))


def _normalised(
    values: Tensor, walk: list[Tensor], back: list[Tensor]
) -> tuple[Tensor, Tensor]:
    _check(values, walk, back)
    out = values.new_empty(values.shape)
    scale = values.new_empty(walk[0].numel() - 1)
    weights, roots = array(values), scale.numpy()
    blocks, indptr, indices, _ = arrays(walk)
    run_blocks(_roots_kernel, weights.size, blocks, indptr, weights, roots)
    ends = blocks, indptr, indices
    run_blocks(_scale_kernel, weights.size, *ends, weights, roots, out.numpy())
    return out, scale


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    values, ctx.walk, ctx.back = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(values, output[1])


def _backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Any, ...]:
    values, scale = ctx.saved_tensors
    # With gradients enabled, the derivative will be differentiated.
    if torch.is_grad_enabled() and not is_beyond_grad():
        out = normalised_reference(BothWalks.of(ctx.walk, ctx.back), values)
        (found,) = torch.autograd.grad(out, values, grad, create_graph=True)
    else:
        found = _grads(grad, values, scale, ctx.walk, ctx.back)
    return found, NO_WALK, NO_WALK


def _derived(
    grad: Tensor, values: Tensor, scale: Tensor, walk: list[Tensor], back: list[Tensor]
) -> Tensor:
    """Compute the gradient of the values."""
    _check(values, walk, back)
    check_shape("perm", back[2], values.shape)
    check_shape("grad", grad, values.shape, values.dtype)
    check_shape("scale", scale, (walk[0].numel() - 1,), values.dtype)
    g, v, s = map(array, (grad, values, scale))
    found, size = scale.new_empty(values.shape), values.numel()
    pulls, out, ends = torch.empty_like(scale).numpy(), found.numpy(), arrays(walk)[:3]
    run_blocks(_row_pulls_kernel, size, *ends, g, v, s, out, pulls)
    run_blocks(_column_pulls_kernel, size, *arrays(back), out, s, pulls)
    run_blocks(_weights_kernel, size, *ends, g, s, pulls, out)
    return found


def _derived_reference(
    grad: Tensor, values: Tensor, scale: Tensor, walk: list[Tensor], back: list[Tensor]
) -> Tensor:
    indptr, indices = walk[0], walk[1].long()
    nodes = torch.arange(indptr.numel() - 1, device=indptr.device)
    row = nodes.repeat_interleave(indptr.diff().long())
    product = grad * values
    pulls = torch.zeros_like(scale).index_add(0, row, product * scale[indices])
    pulls = pulls.index_add(0, indices, product * scale[row])
    return grad * scale[row] * scale[indices] - (pulls * scale**3 / 2)[row]


_normalise = differentiable(
    "gsparse::normalise",
    _normalised,
    fake=lambda values, walk, back: (
        values.new_empty(values.shape),
        values.new_empty(walk[0].shape[0] - 1),
    ),
    save=_save,
    backward=_backward,
    reference=lambda values, walk, back: (
        normalised_reference(BothWalks.of(walk, back), values),
    ),
)
_grads = operator(
    "gsparse::normalise_grads",
    _derived,
    fake=lambda grad, values, *rest: grad.new_empty(values.shape),
    reference=_derived_reference,
)

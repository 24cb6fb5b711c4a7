"""Scores of pairs of nodes as a torch operator.

The scores take one walk over the pairs, their derivatives one in each direction.
"""

from typing import Any

import torch
from torch import Tensor

from gsparse.kernels.checks import check_once, check_range, check_shape
from gsparse.kernels.csr_pattern import (
    NO_WALK,
    HasTranspose,
    arrays,
    check_walks,
    walks,
)
from gsparse.kernels.differentiable import (
    differentiable,
    operator,
    refuse_second_derivative,
)
from gsparse.kernels.pair_scores_cpu import grads_kernel, scores_kernel
from gsparse.kernels.threads import array, run_blocks

# ruff: noqa: ANN401 (torch's contexts are untyped)


def pair_scores(
    pattern: HasTranspose,
    pair: tuple[Tensor, Tensor],
    hidden: Tensor,
    product: Tensor,
    left: Tensor,
    right: Tensor,
) -> Tensor:
    r"""Sum weighted inner products of end points and a term for each end point.

    .. math::
        s_{pk} = \sum_c w_{kc} h_{ic} h_{jc} + l_{ik} + r_{jk}

    Differentiable once in all factors, on the CPU.

    Args:
        pattern: Sparsity pattern of the pairs: one end point is the row, the other the
            column.
        pair: The pair of each entry, in the order of rows and in that of columns.
        hidden: :math:`h`.
        product: :math:`w`.
        left: :math:`l`.
        right: :math:`r`.

    Shapes:
        - **pair:** :math:`(M,)` each
        - **hidden:** :math:`(N, d)`; **product:** :math:`(K, d)`
        - **left, right:** :math:`(N, K)`
        - **output:** :math:`(M, K)`

    Raises:
        ValueError: If shapes do not match, or a pair is out of range.
        RuntimeError: In forward mode and within ``vmap``.
    """
    return _scores(hidden, product, left, right, list(pair), *walks(pattern))


def _check(
    hidden: Tensor,
    product: Tensor,
    pair: list[Tensor],
    walk: list[Tensor],
    back: list[Tensor],
) -> None:
    num_rows, num_cols, size = check_walks(walk, back)
    if num_rows != num_cols or hidden.dim() != 2 or product.dim() != 2:
        raise ValueError(
            "'pattern' must be square, 'hidden' and 'product' matrices (got "
            f"{num_rows} rows, {num_cols} columns, {list(hidden.shape)} and "
            f"{list(product.shape)})"
        )
    check_shape("hidden", hidden, (num_rows, product.size(1)), product.dtype)
    for places in pair:
        check_shape("pair", places, (size,))
        check_once([places], _check_places)


def _check_places(places: Tensor) -> int:
    check_range("pair", places, 0, places.numel())
    return 0


def _scored(
    hidden: Tensor,
    product: Tensor,
    left: Tensor,
    right: Tensor,
    pair: list[Tensor],
    walk: list[Tensor],
    back: list[Tensor],
) -> Tensor:
    size, num_scores = pair[0].numel(), product.size(0)
    _check(hidden, product, pair, walk, back)
    for name, end in (("left", left), ("right", right)):
        check_shape(name, end, (hidden.size(0), num_scores), hidden.dtype)
    out = hidden.new_empty(size, num_scores)
    factors = (array(it) for it in (hidden, product, left, right, out))
    ends = (*arrays(walk)[:3], array(pair[0]))
    run_blocks(scores_kernel, size * product.numel(), *ends, *factors)
    return out


def _derived(
    grad: Tensor,
    hidden: Tensor,
    product: Tensor,
    pair: list[Tensor],
    walk: list[Tensor],
    back: list[Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute the gradients of hidden, product, left and right."""
    num_scores, work = product.size(0), grad.numel() * product.size(1)
    _check(hidden, product, pair, walk, back)
    check_shape("grad", grad, (pair[0].numel(), num_scores), hidden.dtype)
    to_hidden = torch.zeros_like(hidden, memory_format=torch.contiguous_format)
    given = array(grad), array(hidden), array(product), to_hidden.numpy()
    to_ends, to_product = [], []
    for way, order in zip((walk, back), pair, strict=True):
        blocks, indptr, indices, _ = arrays(way)
        ends = hidden.new_empty(hidden.size(0), num_scores)
        parts = hidden.new_zeros(len(blocks) - 1, *product.shape)
        where = blocks, indptr, indices, array(order)
        out = ends.numpy(), parts.numpy()
        run_blocks(grads_kernel, work, *where, *given, *out)
        to_ends.append(ends)
        to_product.append(parts)
    left, right = to_ends
    return to_hidden, to_product[0].sum(0), left, right


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    hidden, product, _, _, ctx.pair, ctx.walk, ctx.back = inputs
    ctx.save_for_backward(hidden, product)


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    refuse_second_derivative()
    found = _grads(grad, *ctx.saved_tensors, ctx.pair, ctx.walk, ctx.back)
    return *found, [None, None], NO_WALK, NO_WALK


_scores = differentiable(
    "gsparse::pair_scores",
    _scored,
    fake=lambda hidden, product, left, right, pair, walk, back: hidden.new_empty(
        pair[0].shape[0], product.shape[0]
    ),
    save=_save,
    backward=_backward,
)
_grads = operator(
    "gsparse::pair_grads",
    _derived,
    fake=lambda grad, hidden, product, *rest: (
        hidden.new_empty(hidden.shape),
        product.new_empty(product.shape),
        hidden.new_empty(hidden.shape[0], product.shape[0]),
        hidden.new_empty(hidden.shape[0], product.shape[0]),
    ),
)

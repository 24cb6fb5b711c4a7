"""Node features stored sparse: product, gradient and dropout on stored values only."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_map

from gsparse.kernels.dropout import drop_values
from gsparse.kernels.spmm import SparseMatrix, spmm

# ruff: noqa: ANN401 (torch functions take and return anything)


class SparseFeatures(Tensor):
    r"""A sparse feature matrix that models take as if it were dense.

    ``x @ W``, ``torch.nn.functional.linear`` and ``dropout`` work on the stored values;
    everything else sees the dense matrix, correct but slow. So a PyG layer that begins
    with a linear map (``GCNConv``, ``GATConv``, a plain ``Linear``) runs on it without
    an edit, at a cost proportional to the non-zeros: PubMed's features are 10 %
    non-zero, Physics' 0.4 %. Features get no gradient.

    Use :func:`sparse_features` to make one.

    Shapes:
        - :math:`(N, F)`
    """

    matrix: SparseMatrix

    @staticmethod
    def __new__(cls, matrix: SparseMatrix) -> "SparseFeatures":
        csr = matrix.csr
        out = Tensor._make_wrapper_subclass(
            cls, csr.shape, dtype=csr.dtype, device=csr.device
        )
        out.matrix = matrix
        return out

    def __init__(self, matrix: SparseMatrix) -> None:
        pass

    def to_dense(self, *args: Any, **kwargs: Any) -> Tensor:
        """The same features as a dense matrix."""
        return self.matrix.csr.to_dense(*args, **kwargs)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        stored = self.matrix.csr.values().numel()
        return f"SparseFeatures(size={tuple(self.shape)}, stored={stored})"

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _HANDLERS and isinstance(args[0], SparseFeatures):
            return _HANDLERS[func](*args, **kwargs)
        return super().__torch_function__(func, types, args, kwargs)

    @classmethod
    def __torch_dispatch__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        def dense(value: Any) -> Any:
            return value.to_dense() if isinstance(value, SparseFeatures) else value

        return func(*tree_map(dense, args), **tree_map(dense, kwargs or {}))


def _linear(x: SparseFeatures, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    out = spmm(x.matrix, weight.t())
    return out if bias is None else out + bias


def _matmul(x: SparseFeatures, other: Tensor) -> Tensor:
    return spmm(x.matrix, other)


def _dropout(
    x: SparseFeatures, p: float = 0.5, training: bool = True, inplace: bool = False
) -> SparseFeatures:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability must be in [0, 1] (got {p})")
    if not training or p == 0:
        return x
    values = x.matrix.csr.values()
    if p == 1:
        return SparseFeatures(x.matrix.with_values(torch.zeros_like(values)))
    seed = int(torch.randint(2**62, ()))
    return SparseFeatures(
        x.matrix.with_values(
            drop_values(values, p, seed),
            drop_values(x.matrix.transpose.values(), p, seed, x.matrix.order),
        )
    )


_HANDLERS: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.linear: _linear,
    functional.dropout: _dropout,
    torch.matmul: _matmul,
    torch.mm: _matmul,
    Tensor.matmul: _matmul,
    Tensor.mm: _matmul,
    Tensor.__matmul__: _matmul,
    Tensor.to_dense: SparseFeatures.to_dense,
}


def sparse_features(x: Tensor, threshold: float = 0.25) -> Tensor:
    """Store features sparse where that is the smaller work.

    Args:
        x: Features, dense or ``torch.sparse_csr``.
        threshold: Largest share of non-zeros that is worth it.

    Returns:
        :class:`SparseFeatures`, or the dense features where more is non-zero.

    Shapes:
        - **x**, **output:** :math:`(N, F)`

    Example:
        >>> import torch
        >>> from gsparse.train import sparse_features
        >>> sparse_features(torch.eye(8))
        SparseFeatures(size=(8, 8), stored=8)
    """
    if isinstance(x, SparseFeatures):
        return x
    if x.dim() != 2 or not x.is_floating_point():
        raise ValueError(
            "'x' must be a floating-point matrix [N, F] "
            f"(got {x.dtype}, {list(x.shape)})"
        )
    if x.layout == torch.sparse_csr:
        share = x.values().numel() / max(x.numel(), 1)
        return (
            SparseFeatures(SparseMatrix.from_csr(x))
            if share < threshold
            else x.to_dense()
        )
    share = int(torch.count_nonzero(x)) / max(x.numel(), 1)
    if share >= threshold:
        return x
    return SparseFeatures(SparseMatrix.from_csr(x.detach().to_sparse_csr()))

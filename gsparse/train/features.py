"""Node features stored sparse: product, gradient and dropout on stored values only."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_map

from gsparse.kernels.csr_pattern import CsrPattern
from gsparse.kernels.dropout import dropout
from gsparse.kernels.spmm import SparseMatrix, spmm
from gsparse.kernels.tensor_cache import TensorCache

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
    def __new__(cls: type["SparseFeatures"], matrix: SparseMatrix) -> "SparseFeatures":
        values = matrix.values
        out = Tensor._make_wrapper_subclass(
            cls, matrix.shape, dtype=values.dtype, device=values.device
        )
        out.matrix = matrix
        return out

    def __init__(self, matrix: SparseMatrix) -> None:
        pass

    def to_dense(self, *args: Any, **kwargs: Any) -> Tensor:
        """The same features as a dense matrix."""
        return self.matrix.csr.to_dense(*args, **kwargs)

    def __repr__(  # type: ignore[override]
        self, *, tensor_contents: Any = None
    ) -> str:
        stored = self.matrix.values.numel()
        return f"SparseFeatures(size={tuple(self.shape)}, stored={stored})"

    def to_csr(self) -> Tensor:
        """The same features as ``torch.sparse_csr``."""
        return self.matrix.csr

    def __deepcopy__(self, memo: dict[int, Any]) -> "SparseFeatures":
        values = self.matrix.values.clone()
        return SparseFeatures(self.matrix.with_values(values))

    def __reduce_ex__(self, protocol: Any) -> Any:
        matrix = self.matrix
        return _rebuild, (matrix.pattern, matrix.values)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        first = args[0] if args else kwargs.get("input")
        if func in _HANDLERS and isinstance(first, SparseFeatures):
            return _HANDLERS[func](*args, **kwargs)
        with torch._C.DisableTorchFunctionSubclass():  # results are plain tensors
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch's stub lacks the class
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func in _COPIES:  # what Data.to, Data.clone and detach come down to
            return _copied(*args, **(kwargs or {}))

        def dense(value: Any) -> Any:
            if isinstance(value, SparseFeatures) and value.matrix.values.requires_grad:
                raise RuntimeError(
                    f"the values of these SparseFeatures get a gradient, which {func} "
                    "would lose; the model must begin with linear maps: use dense "
                    "features with others (FeatureMask(..., dense=True))"
                )
            return value.to_dense() if isinstance(value, SparseFeatures) else value

        return func(*tree_map(dense, args), **tree_map(dense, kwargs or {}))


def _rebuild(pattern: CsrPattern, values: Tensor) -> SparseFeatures:
    return SparseFeatures(SparseMatrix(pattern, values))


def _copied(
    x: SparseFeatures,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    **options: Any,
) -> SparseFeatures:
    """Copies, casts and moves stay sparse."""
    values = x.matrix.values.to(device=device, dtype=dtype, copy=True)
    return _rebuild(x.matrix.pattern.to(values.device), values)


_PRODUCTS: TensorCache[Tensor] = TensorCache(max_entries=2)


def _linear(
    input: SparseFeatures, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    if weight.requires_grad or input.matrix.values.requires_grad:
        out = spmm(input.matrix, weight.t())
    else:  # of a frozen layer, which is asked again and again
        of = (input.matrix.values, weight)
        out = _PRODUCTS.get(of, None, lambda: spmm(input.matrix, weight.t()))
    return out if bias is None else out + bias


def _matmul(input: SparseFeatures, other: Tensor) -> Tensor:
    if isinstance(other, SparseFeatures):
        other = other.to_dense()
    if other.dim() == 1:
        return spmm(input.matrix, other.unsqueeze(1)).squeeze(1)
    return spmm(input.matrix, other)


def _dropout(
    input: SparseFeatures, p: float = 0.5, training: bool = True, inplace: bool = False
) -> SparseFeatures:
    values = dropout(input.matrix.values, p, training)
    if values is input.matrix.values:
        return input
    return SparseFeatures(input.matrix.with_values(values))


def _no_gradient(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError(
        "SparseFeatures get no gradient; use x.to_dense() for derivatives by features"
    )


_COPIES = (
    torch.ops.aten.detach.default,
    torch.ops.aten.clone.default,
    torch.ops.aten._to_copy.default,
)
_HANDLERS: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.linear: _linear,
    functional.dropout: _dropout,
    dropout: _dropout,
    torch.matmul: _matmul,
    torch.mm: _matmul,
    Tensor.matmul: _matmul,
    Tensor.mm: _matmul,
    Tensor.__matmul__: _matmul,
    Tensor.to_dense: SparseFeatures.to_dense,
    Tensor.requires_grad_: _no_gradient,
    Tensor.requires_grad.__set__: _no_gradient,  # type: ignore[attr-defined]
}


@torch.inference_mode(False)  # what is made once must serve training as well
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

"""Sparse node features: product, gradient and dropout on stored values only."""

import warnings
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
    r"""A sparse feature matrix that models can use like a dense one.

    ``x @ W``, ``torch.nn.functional.linear`` and ``dropout`` work on the stored values;
    every other operation uses the dense matrix, which is correct but slow. A PyG layer
    that begins with a linear map (``GCNConv``, ``GATConv``, a plain ``Linear``) works
    unchanged, at a cost proportional to the non-zeros: 10 % of PubMed's features are
    non-zero and 0.4 % of those of Physics. Features get no gradient.

    Use :func:`sparse_features` to create one.

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
        """Return the features as a dense matrix."""
        return self.matrix.csr.to_dense(*args, **kwargs)

    def __repr__(  # type: ignore[override]
        self, *, tensor_contents: Any = None
    ) -> str:
        stored = self.matrix.values.numel()
        return f"SparseFeatures(size={tuple(self.shape)}, stored={stored})"

    def to_csr(self) -> Tensor:
        """Return the features as ``torch.sparse_csr``."""
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
        if func in _COPIES:  # called by Data.to, Data.clone and detach
            return _copied(*args, **(kwargs or {}))

        def dense(value: Any) -> Any:
            if isinstance(value, SparseFeatures) and value.matrix.values.requires_grad:
                raise RuntimeError(
                    f"the values of these SparseFeatures require a gradient, which "
                    f"{func} would lose; use dense features for models that do not "
                    "begin with linear maps (FeatureMask(..., dense=True))"
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
    """Copy, cast or move sparse features."""
    values = x.matrix.values.to(device=device, dtype=dtype, copy=True)
    return _rebuild(x.matrix.pattern.to(values.device), values)


_PRODUCTS: TensorCache[Tensor] = TensorCache(max_entries=2)


def _linear(
    input: SparseFeatures, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    if weight.requires_grad or input.matrix.values.requires_grad:
        out = spmm(input.matrix, weight.t())
    else:  # a frozen layer, which computes the same product in every call
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
        "SparseFeatures get no gradient; use x.to_dense() to differentiate by features"
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


@torch.inference_mode(False)  # the cached result must be usable in training
def sparse_features(x: Tensor, threshold: float = 0.25) -> Tensor:
    """Convert features to sparse storage if few of them are non-zero.

    Args:
        x: Features, dense or ``torch.sparse_csr``.
        threshold: Fraction of non-zeros from which features are stored dense.

    Returns:
        :class:`SparseFeatures`, or the dense features.

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
    if not isinstance(x, Tensor):
        raise TypeError(
            f"'x' must be a feature matrix, such as data.x (got {type(x).__name__})"
        )
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
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        csr = x.detach().to_sparse_csr()
    return SparseFeatures(SparseMatrix.from_csr(csr))

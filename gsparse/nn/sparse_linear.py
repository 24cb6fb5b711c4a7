"""Linear layers that store and multiply only the non-zero weights of a pruned model."""

from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import Module
from torch.nn.parameter import is_lazy
from torch_geometric.nn import Linear

from gsparse.kernels.sparse_weight import SparseWeight, sparse_linear
from gsparse.kernels.spmm import SparseMatrix, spmm
from gsparse.nn.final_masks import check_final, unmasked_copy
from gsparse.nn.replace_modules import replace_modules

_CSR = ("indptr", "indices", "values")
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")


class SparseLinear(Module):
    r"""A linear layer that stores the non-zeros of its weight, for inference.

    .. math::
        Y = X W^T + b

    with :math:`W` in CSR: see :func:`~gsparse.kernels.sparse_weight.sparse_linear`. All
    tensors are buffers and none is trained. A gradient with respect to ``x`` is
    computed with the dense weight. :class:`~gsparse.train.SparseFeatures` are
    multiplied by the dense weight too, at the cost of the non-zeros of the features.

    Args:
        layer: A ``torch.nn.Linear`` or PyG ``Linear``; not changed.

    Shapes:
        - **x:** :math:`(*, F)`
        - **output:** :math:`(*, C)`

    Example:
        >>> import torch
        >>> from gsparse.nn import SparseLinear
        >>> layer = torch.nn.Linear(4, 2, bias=False)
        >>> _ = torch.nn.init.eye_(layer.weight)
        >>> SparseLinear(layer)
        SparseLinear(4, 2, bias=False, nnz=2, sparsity=75.00%)
        >>> SparseLinear(layer)(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
        tensor([[1., 2.]])
    """

    indptr: Tensor
    indices: Tensor
    values: Tensor
    starts: Tensor
    places: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Linear | Linear) -> None:
        super().__init__()
        if not isinstance(layer, nn.Linear | Linear):
            raise TypeError(
                f"'layer' must be a linear layer (got {type(layer).__name__})"
            )
        bias = None if layer.bias is None else layer.bias.detach().clone()
        self.out_features, self.in_features = map(int, layer.weight.shape)
        self._hold(SparseWeight.from_dense(layer.weight))
        self.register_buffer("bias", bias)
        self.training = layer.training

    def _hold(self, weight: SparseWeight) -> None:
        for name in _CSR:
            self.register_buffer(name, getattr(weight, name))
        for name in ("starts", "places"):  # computed from the others
            self.register_buffer(name, getattr(weight, name), persistent=False)

    @property
    def sparse_weight(self) -> SparseWeight:
        """The weight in the format of the kernel."""
        return SparseWeight(
            self.indptr,
            self.indices,
            self.values,
            self.in_features,
            self.starts,
            self.places,
        )

    @property
    def weight(self) -> Tensor:
        """The dense weight, computed in every call."""
        return self.sparse_weight.to_dense()

    @property
    def sparsity(self) -> float:
        """Fraction of the weights that are zero."""
        return 1 - self.values.numel() / max(self.in_features * self.out_features, 1)

    def product(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``x @ W.T``, plus the bias if one is given."""
        matrix = getattr(x, "matrix", None)
        if isinstance(matrix, SparseMatrix):
            out = spmm(matrix, self.weight.t())
            return out if bias is None else out + bias
        return sparse_linear(x, self.sparse_weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x, self.bias)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Load a state that may have another number of non-zeros at other positions."""
        found = {n: state_dict[prefix + n] for n in _CSR if prefix + n in state_dict}
        if len(found) == 3 and found["indptr"].shape == self.indptr.shape:
            self.indices = self.indices.new_zeros(found["indices"].shape)
            self.values = self.values.new_zeros(found["values"].shape)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        csr = self.indptr, self.indices, self.values
        self._hold(SparseWeight.from_csr(*csr, self.in_features))

    def extra_repr(self) -> str:
        """Return the sizes and the number of non-zeros."""
        return (
            f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, "
            f"nnz={self.values.numel()}, sparsity={self.sparsity:.2%}"
        )


def to_sparse(model: Module, min_sparsity: float = 0.9) -> Module:
    r"""Return a copy of a pruned model for inference with sparse linear layers.

    Every ``torch.nn.Linear`` and PyG ``Linear`` with enough zeros, including those
    inside convolutions, becomes a :class:`SparseLinear`. All other parameters stay
    dense, with their zeros written: other linear layers, ``HeteroLinear``, the weights
    of ``GCN2Conv``, attention vectors, subclasses, and layers with hooks. The copy has
    no masks and none of its parameters is trained; fine-tune the model itself.

    Do not use it at a sparsity of one half, where it is not faster than the dense
    product. Layers with few outputs gain little at any sparsity, since reading the
    features takes longer than multiplying them; ``docs/speed.md`` has the numbers. On
    devices other than the CPU there is no gain.

    Args:
        model: A model with masks, or after ``make_permanent()``; not changed.
        min_sparsity: Smallest fraction of zeros of a layer that is replaced, in [0, 1],
            rounded to the nearest weight as pruners do.

    Raises:
        ValueError: If no layer has enough zeros, or a pruner may still change the
            model.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import Pruner, RandomWeight
        >>> from gsparse.nn import to_sparse
        >>> model = GCN(500, 16, num_layers=2, out_channels=3)
        >>> pruner = Pruner(model, RandomWeight(), sparsity=0.98, seed=41203)
        >>> to_sparse(model).convs[0].lin
        SparseLinear(500, 16, bias=False, nnz=160, sparsity=98.00%)
    """
    if not 0 <= min_sparsity <= 1:
        raise ValueError(f"'min_sparsity' must be in [0, 1] (got {min_sparsity})")
    check_final(model)
    model = unmasked_copy(model)
    layers = {
        name: module
        for name, module in model.named_modules()
        if is_plain_linear(module)
    }
    new: dict[Module, SparseLinear] = {
        layer: SparseLinear(layer)
        for layer in layers.values()
        if _num_kept(layer) <= (1 - min_sparsity) * layer.weight.numel() + 0.5
    }
    if not new:
        found = [
            f"{name or 'itself'}: {1 - _num_kept(it) / max(it.weight.numel(), 1):.1%}"
            for name, it in layers.items()
        ]
        raise ValueError(
            f"a linear layer of {type(model).__name__} must have at least "
            f"{min_sparsity:.1%} zeros (got {', '.join(found) or 'no such layer'}); "
            "prune it further, or lower 'min_sparsity'"
        )
    return replace_modules(model, new).requires_grad_(False)


def is_plain_linear(module: Module) -> TypeGuard[nn.Linear]:
    """Return whether another layer with the same inputs and outputs can replace this
    one.
    """
    weight = module._parameters.get("weight")
    if type(module) not in (nn.Linear, Linear) or weight is None or is_lazy(weight):
        return False
    return not any(getattr(module, hooks) for hooks in _HOOKS)


def _num_kept(layer: nn.Linear) -> int:
    return int(torch.count_nonzero(layer.weight))

"""A linear layer that stores its weights as low-bit integer codes."""

import copy
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import Module, Parameter
from torch_geometric.nn import Linear

_SAVED = ("codes", "scale", "has_row", "has_column")


class Quantised(NamedTuple):
    """Weights as integer multiples of a step size.

    Shapes:
        - **codes:** shape of the weights
        - **scale:** :math:`()`, or :math:`(R, 1, ...)` with one step per row
    """

    codes: Tensor
    """Codes as int8; 0 for pruned weights and for no others."""
    scale: Tensor
    """Step between two levels, in the dtype of the weights."""

    @property
    def values(self) -> Tensor:
        """The weights that these codes represent."""
        return self.codes.to(self.scale.dtype) * self.scale


class QuantisedLinear(Module):
    r"""A linear layer that stores its weight as int8 codes and a scale, for inference.

    .. math::
        Y = X W^T + b, \qquad W = q \, a

    Only the rows and columns of :math:`q` that are not all zero are stored, so that
    pruned rows, columns and units take no space. :math:`W` is computed in every call:
    this saves space in files and, between calls, in memory, but no time. The bias is
    not quantised.

    All tensors are buffers and none is trained. A checkpoint loads into a layer of the
    same sizes, even if other rows and columns were pruned there.

    Args:
        layer: A ``torch.nn.Linear`` or PyG ``Linear``; not changed.
        weight: Its weight as codes; see :func:`~gsparse.prune.quantise`.

    Raises:
        TypeError: If ``layer`` is not a linear layer.
        ValueError: If the codes do not have the shape of its weight.

    Shapes:
        - **x:** :math:`(*, F)`
        - **output:** :math:`(*, C)`

    Example:
        >>> import torch
        >>> from gsparse.prune import quantise
        >>> from gsparse.nn import QuantisedLinear
        >>> layer = torch.nn.Linear(3, 2, bias=False)
        >>> layer.weight.data = torch.tensor([[0.0, 1.0, -3.0], [0.0, 0.0, 0.0]])
        >>> small = QuantisedLinear(layer, quantise(layer.weight, bits=3))
        >>> small.codes, small.scale
        (tensor([[ 1, -3]], dtype=torch.int8), tensor(1.))
        >>> small
        QuantisedLinear(3, 2, bias=False, bits=3, stored=1 x 2)
    """

    codes: Tensor
    scale: Tensor
    has_row: Tensor
    has_column: Tensor
    rows: Tensor
    columns: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Linear | Linear, weight: Quantised) -> None:
        super().__init__()
        if not isinstance(layer, nn.Linear | Linear):
            raise TypeError(
                f"'layer' must be a linear layer (got {type(layer).__name__})"
            )
        codes, scale = weight
        if codes.shape != layer.weight.shape:
            raise ValueError(
                f"'weight' must have the shape of the layer's, "
                f"{list(layer.weight.shape)} (got {list(codes.shape)})"
            )
        self.out_features, self.in_features = map(int, codes.shape)
        present = codes != 0
        self.register_buffer("has_row", present.any(1))
        self.register_buffer("has_column", present.any(0))
        self._locate()
        self.register_buffer("codes", codes[self.rows][:, self.columns])
        self.register_buffer("scale", scale[self.rows] if scale.dim() else scale)
        bias = None if layer.bias is None else layer.bias.detach().clone()
        self.register_buffer("bias", bias)
        self._plain = (_without_tensors(layer),)  # in a tuple, so not a submodule
        self.training = layer.training

    def _locate(self) -> None:
        """Store the positions of the stored rows and columns, computed from the saved
        buffers.
        """
        for name, has in [("rows", self.has_row), ("columns", self.has_column)]:
            self.register_buffer(name, has.nonzero().view(-1), persistent=False)

    @property
    def weight(self) -> Tensor:
        """The dense weight, computed in every call."""
        full = self.scale.new_zeros(self.out_features, self.in_features)
        full[self.rows[:, None], self.columns] = Quantised(
            self.codes, self.scale
        ).values
        return full

    @property
    def bits(self) -> int:
        """The smallest number of bits that holds the codes."""
        largest = int(self.codes.int().abs().max()) if self.codes.numel() else 1
        return largest.bit_length() + 1

    def product(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``x @ W.T``, plus the bias if one is given."""
        return nn.functional.linear(x, self.weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x, self.bias)

    def dequantise(self) -> nn.Linear | Linear:
        """Return a layer of the original class with the current values."""
        plain = copy.deepcopy(self._plain[0])
        plain.weight = Parameter(self.weight)
        if self.bias is not None:
            plain.bias = Parameter(self.bias.clone())
        return plain.train(self.training)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Load a state that may have other rows and columns, and more or fewer
        scales.
        """
        held = {name: state_dict.get(prefix + name) for name in _SAVED}
        found = {name: it for name, it in held.items() if it is not None}
        fits = len(found) == len(_SAVED) and all(
            found[name].shape == getattr(self, name).shape
            for name in ("has_row", "has_column")
        )
        if fits:
            self.codes = self.codes.new_zeros(found["codes"].shape)
            self.scale = self.scale.new_zeros(found["scale"].shape)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._locate()
        shape, wanted = list(self.codes.shape), [len(self.rows), len(self.columns)]
        if fits and shape != wanted:
            raise ValueError(
                f"'{prefix}codes' must have shape {wanted}, given by 'has_row' and "
                f"'has_column' (got {shape}); check that the file is complete"
            )

    def extra_repr(self) -> str:
        """Return the sizes and the shape of the stored codes."""
        return (
            f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, "
            f"bits={self.bits}, stored={len(self.rows)} x {len(self.columns)}"
        )


def _without_tensors(layer: nn.Linear | Linear) -> nn.Linear | Linear:
    """Return a copy of a layer without its parameters."""
    shell = copy.copy(layer)
    shell.__dict__["_parameters"] = dict.fromkeys(layer._parameters)
    return shell

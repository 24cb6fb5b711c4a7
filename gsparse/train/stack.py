"""Base class of the standard models: layers with dropout before each."""

from collections.abc import Iterable

from torch import Tensor
from torch.nn import Module, ModuleList
from torch.nn.functional import relu

from gsparse.kernels.dropout import dropout


class Stack(Module):
    """Stack of layers with dropout before each and an activation between them."""

    def __init__(
        self,
        layers: Iterable[Module],
        dropout: float,
        hidden_dropout: float | None = None,
    ) -> None:
        super().__init__()
        self.layers = ModuleList(layers)
        self.dropout = dropout
        self.hidden_dropout = hidden_dropout

    def reset_parameters(self) -> None:
        """Reinitialise all parameters."""
        for layer in self.layers:
            layer.reset_parameters()  # type: ignore[operator]

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None
    ) -> Tensor:
        """Return the logits of every node.

        Shapes:
            - **x:** :math:`(N, F)`, dense or :class:`~gsparse.train.SparseFeatures`
            - **edge_index:** :math:`(2, E)`
            - **edge_weight:** :math:`(E,)`
            - **output:** :math:`(N, C)`
        """
        for i, layer in enumerate(self.layers):
            x = self._drop(x, is_hidden=i > 0)
            x = self._apply_layer(layer, x, edge_index, edge_weight)
            if i + 1 < len(self.layers):
                x = self._activate(x)
        return x

    def _drop(self, x: Tensor, is_hidden: bool) -> Tensor:
        p = self.hidden_dropout if is_hidden else None
        return dropout(x, self.dropout if p is None else p, self.training)

    def _activate(self, x: Tensor) -> Tensor:
        return relu(x)

    def _apply_layer(
        self, layer: Module, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None
    ) -> Tensor:
        return layer(x, edge_index, edge_weight=edge_weight)

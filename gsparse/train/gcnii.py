"""GCNII: deep graph convolutions with initial residual and identity mapping."""

from math import inf, log

from torch import Tensor
from torch.nn import Identity, Linear, Module
from torch.nn.functional import relu

from gsparse.nn import FastGCNConv
from gsparse.train.stack import Stack


class GCNII(Stack):
    r"""The network of the `"Simple and Deep Graph Convolutional Networks"
    <https://arxiv.org/abs/2007.02133>`_ paper.

    Between two linear layers, convolution :math:`l` of :math:`L` computes

    .. math::
        H_l = \mathrm{ReLU}\left(((1 - \alpha) \hat{A} H_{l-1} + \alpha H_0)
              ((1 - \beta_l) I + \beta_l W_l)\right),
        \qquad \beta_l = \log(\theta / l + 1).

    Every layer sees the first hidden features :math:`H_0` and starts near the identity,
    so that many layers can be trained. It costs one sparse and one dense product a
    layer. Two layers of a plain GCN are as good where neighbours of neighbours suffice.

    Args:
        in_channels: Number of features.
        hidden_channels: Width of all hidden layers.
        out_channels: Number of classes.
        num_layers: Number of convolutions :math:`L`.
        dropout: Probability of dropping each input of each layer.
        hidden_dropout: That of all layers but the first; the default is ``dropout``.
        alpha: Share :math:`\alpha` of the first hidden features.
        theta: Factor :math:`\theta` of the weights.

    Shapes:
        - **x:** :math:`(N, F)`, **edge_index:** :math:`(2, E)`
        - **output:** :math:`(N, C)`

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 16,
        dropout: float = 0.5,
        hidden_dropout: float | None = None,
        alpha: float = 0.1,
        theta: float = 0.5,
    ) -> None:
        if not isinstance(num_layers, int) or num_layers < 1:
            raise ValueError(
                f"'num_layers' must be an integer of at least 1 (got {num_layers})"
            )
        if not 0 <= alpha <= 1:
            raise ValueError(f"'alpha' must be in [0, 1] (got {alpha})")
        if not 0 < theta < inf:
            raise ValueError(f"'theta' must be positive and finite (got {theta})")
        width = hidden_channels
        convolutions = [
            _Convolution(width, alpha, log(theta / layer + 1))
            for layer in range(1, num_layers + 1)
        ]
        first, last = Linear(in_channels, width), Linear(width, out_channels)
        super().__init__([first, *convolutions, last], dropout, hidden_dropout)

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None
    ) -> Tensor:
        first, *convolutions, last = self.layers
        hidden = start = relu(first(self._drop(x, is_hidden=False)))
        for layer in convolutions:
            hidden = self._drop(hidden, is_hidden=True)
            hidden = relu(layer(hidden, start, edge_index, edge_weight))
        return last(self._drop(hidden, is_hidden=True))


class _Same(Identity):
    """A linear map that changes nothing and has nothing to reset."""

    def reset_parameters(self) -> None:
        pass


class _Convolution(Module):
    """A convolution with initial residual and identity mapping."""

    def __init__(self, channels: int, alpha: float, beta: float) -> None:
        super().__init__()
        self.alpha, self.beta = alpha, beta
        self.conv = FastGCNConv(channels, channels, bias=False)
        self.conv.lin = _Same()  # only the product with A
        self.lin = Linear(channels, channels, bias=False)

    def reset_parameters(self) -> None:
        self.lin.reset_parameters()

    def forward(
        self, x: Tensor, start: Tensor, edge_index: Tensor, edge_weight: Tensor | None
    ) -> Tensor:
        out = self.conv(x, edge_index, edge_weight=edge_weight)
        out = (1 - self.alpha) * out + self.alpha * start
        return (1 - self.beta) * out + self.beta * self.lin(out)

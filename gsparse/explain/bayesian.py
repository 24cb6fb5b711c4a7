"""Bayesian networks of concrete dropout, smooth enough for a Hessian."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, ModuleList

from gsparse.edges import counter_uniform
from gsparse.explain.activation import FUNCTIONS, Activation, check_activation
from gsparse.explain.concrete_dropout import BayesianLinear, ConcreteDropout
from gsparse.nn import FastGCNConv


class _BayesianStack(Module):
    """Layers behind concrete dropout with a smooth activation between them."""

    uses_graph: bool

    def __init__(
        self,
        layers: list[Module],
        num_train: int,
        activation: Activation,
        prior_scale: float,
        temper: float,
    ) -> None:
        super().__init__()
        check_activation(activation)
        for name, value in (
            ("num_train", num_train),
            ("prior_scale", prior_scale),
            ("temper", temper),
        ):
            if not value > 0:
                raise ValueError(f"'{name}' must be positive (got {value})")
        self.layers = ModuleList(layers)
        self.num_train, self.activation = num_train, activation
        self.prior_scale, self.temper = prior_scale, temper

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for layer in self.layers:
            layer.reset_parameters()  # type: ignore[operator]

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        """Scores of every row: one draw in training, the mean network in evaluation.

        Shapes:
            - **x:** :math:`(N, F)`
            - **edge_index:** :math:`(2, E)`
            - **edge_weight:** :math:`(E,)`
            - **output:** :math:`(N, C)`
        """
        x = self.before(len(self.layers) - 1, x, edge_index, edge_weight)
        return self._run_layer(
            self.layers[-1], self._activate(x), edge_index, edge_weight
        )

    def before(
        self,
        layer: int,
        x: Tensor,
        edge_index: Tensor | None = None,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        """What is activated before this layer (which must not be the first)."""
        for i in range(layer):
            if i > 0:
                x = self._activate(x)
            x = self._run_layer(self.layers[i], x, edge_index, edge_weight)
        return x

    def _activate(self, x: Tensor) -> Tensor:
        return FUNCTIONS[self.activation](x)

    def _run_layer(
        self,
        layer: Module,
        x: Tensor,
        edge_index: Tensor | None,
        edge_weight: Tensor | None,
    ) -> Tensor:
        return layer(x)

    def linear_of(self, layer: int) -> BayesianLinear:
        """The linear map that a layer begins with."""
        found = self.layers[layer]
        return found if isinstance(found, BayesianLinear) else found.lin  # type: ignore[return-value]

    def penalty(self) -> Tensor:
        """The distance from the prior for each training node; added to the loss."""
        total = torch.zeros_like(self.linear_of(0).weight[0, 0])
        for i, layer in enumerate(self.layers):
            own: Any = layer.bias if self.uses_graph else None
            total = total + self.linear_of(i).kl_divergence(self.prior_scale, own)
        return self.temper * total / self.num_train

    def dropout_probabilities(self) -> list[float]:
        """What was learned, layer by layer; 0 where nothing is dropped."""
        drops = [self.linear_of(i).drop for i in range(len(self.layers))]
        return [0.0 if drop is None else drop.p for drop in drops]

    def draws(self, num: int, seed: int) -> Iterator["_BayesianStack"]:
        """Networks drawn from the posterior: each is one deterministic function.

        Draw ``k`` is the same however many there are.

        Args:
            num: How many.
            seed: Number of the random stream.
        """
        if num < 1:
            raise ValueError(f"'draws' must be at least 1 (got {num})")
        for k in range(num):
            drawn = copy.deepcopy(self).eval()
            drops = [m for m in drawn.modules() if isinstance(m, ConcreteDropout)]
            width = sum(drop.channels for drop in drops)
            device = self.linear_of(0).weight.device
            u = counter_uniform(seed, k * width, (k + 1) * width, device)
            for drop, part in zip(
                drops, u.split([d.channels for d in drops]), strict=True
            ):
                drop.fix(part)
            yield drawn


class BayesianMLP(_BayesianStack):
    r"""An MLP with a posterior: :class:`ConcreteDropout` before each layer.

    Fit it with :func:`gsparse.train.fit`, which adds :meth:`penalty`; choose
    ``weight_decay=0``, as the prior does that work. The loss of ``fit`` is a mean over
    the training nodes, so the penalty is the distance from the prior
    (:func:`~gsparse.explain.concrete_dropout.kl_divergence`) over their number.

    Args:
        in_channels: Number of features.
        hidden_channels: Width of the hidden layers.
        out_channels: Number of outputs.
        num_train: Number of training nodes: the more there are, the surer it gets.
        num_layers: Number of layers, at least 2.
        activation: ``"gelu"``, ``"softplus"`` or ``"tanh"``.
        input_dropout: Whether features are dropped as well. A draw without a feature
            has no interaction of it, so scores of many features get noisy.
        prior_scale: Standard deviation of the Gaussian prior of the weights.
        temper: Factor of the distance from the prior; below 1 for a surer posterior
            than the data allows.

    Raises:
        ValueError: If a number is out of range, or the activation has no Hessian.

    Example:
        >>> import torch
        >>> from gsparse.explain import BayesianMLP
        >>> model = BayesianMLP(4, 16, 2, num_train=100)
        >>> first, second = model.draws(2, seed=5)
        >>> x = torch.ones(3, 4)
        >>> bool((first(x) == first(x)).all()), bool((first(x) == second(x)).all())
        (True, False)
    """

    uses_graph = False

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_train: int,
        num_layers: int = 2,
        activation: Activation = "gelu",
        input_dropout: bool = False,
        prior_scale: float = 5.0,
        temper: float = 1.0,
    ) -> None:
        widths = _widths(in_channels, hidden_channels, out_channels, num_layers)
        layers: list[Module] = [
            BayesianLinear(a, b, p=0.1 if i > 0 or input_dropout else None)
            for i, (a, b) in enumerate(widths)
        ]
        super().__init__(layers, num_train, activation, prior_scale, temper)


class BayesianGCN(_BayesianStack):
    r"""The same with :class:`~gsparse.nn.FastGCNConv`: :math:`\hat{A} X (z \odot W)`.

    The gates :math:`z` of a layer are shared by all nodes, as one draw of the weights
    is, and are drawn anew in every call.

    Args:
        in_channels: Number of features.
        hidden_channels: Width of the hidden layers.
        out_channels: Number of outputs.
        num_train: Number of training nodes.
        num_layers: Number of layers, at least 2.
        activation: As for :class:`BayesianMLP`.
        input_dropout: As for :class:`BayesianMLP`.
        prior_scale: As for :class:`BayesianMLP`.
        temper: As for :class:`BayesianMLP`.

    Raises:
        ValueError: As for :class:`BayesianMLP`.

    Example:
        >>> import torch
        >>> from gsparse.data import karate
        >>> from gsparse.explain import BayesianGCN
        >>> data = karate()
        >>> model = BayesianGCN(34, 8, 2, num_train=34)
        >>> next(model.draws(1, seed=5))(torch.eye(34), data.edge_index).shape
        torch.Size([34, 2])
    """

    uses_graph = True

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_train: int,
        num_layers: int = 2,
        activation: Activation = "gelu",
        input_dropout: bool = False,
        prior_scale: float = 5.0,
        temper: float = 1.0,
    ) -> None:
        widths = _widths(in_channels, hidden_channels, out_channels, num_layers)
        layers: list[Module] = []
        for i, (a, b) in enumerate(widths):
            conv = FastGCNConv(a, b)
            p = 0.1 if i > 0 or input_dropout else None
            conv.lin = BayesianLinear(a, b, bias=False, p=p, shared=True)
            layers.append(conv)
        super().__init__(layers, num_train, activation, prior_scale, temper)

    def _run_layer(
        self,
        layer: Module,
        x: Tensor,
        edge_index: Tensor | None,
        edge_weight: Tensor | None,
    ) -> Tensor:
        if edge_index is None:
            raise ValueError("BayesianGCN needs 'edge_index' (got None)")
        return layer(x, edge_index, edge_weight)


def _widths(
    first: int, hidden: int, last: int, num_layers: int
) -> list[tuple[int, int]]:
    if num_layers < 2:
        raise ValueError(
            f"'num_layers' must be at least 2 (got {num_layers}); one layer is linear "
            "and has no interactions"
        )
    middle = [(hidden, hidden)] * (num_layers - 2)
    return [(first, hidden), *middle, (hidden, last)]

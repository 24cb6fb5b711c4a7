"""Bayesian networks with concrete dropout and smooth activations."""

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, ModuleList

from gsparse.edges import counter_uniform
from gsparse.explain.activation import FUNCTIONS, Activation, check_activation
from gsparse.explain.concrete_dropout import BayesianLinear, ConcreteDropout
from gsparse.nn import FastGCNConv


class _BayesianStack(Module):
    """Layers with concrete dropout of their inputs and smooth activations between."""

    uses_graph: bool

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
        super().__init__()
        if num_layers < 2:
            raise ValueError(
                f"'num_layers' must be at least 2 (got {num_layers}); one layer is "
                "linear and has no interactions"
            )
        check_activation(activation)
        for name, value in (
            ("num_train", num_train),
            ("prior_scale", prior_scale),
            ("temper", temper),
        ):
            if not value > 0:
                raise ValueError(f"'{name}' must be positive (got {value})")
        widths = [in_channels, *[hidden_channels] * (num_layers - 1), out_channels]
        self.layers = ModuleList(
            self._make_layer(a, b, 0.1 if i > 0 or input_dropout else None)
            for i, (a, b) in enumerate(pairwise(widths))
        )
        self.num_train, self.activation = num_train, activation
        self.prior_scale, self.temper = prior_scale, temper

    def reset_parameters(self) -> None:
        """Draw all parameters again."""
        for layer in self.layers:
            layer.reset_parameters()  # type: ignore[operator]

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        """Compute the outputs of one draw in training, or of the mean in evaluation.

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
        """Compute the input of the activation in front of a layer, except the first."""
        for i in range(layer):
            if i > 0:
                x = self._activate(x)
            x = self._run_layer(self.layers[i], x, edge_index, edge_weight)
        return x

    def _activate(self, x: Tensor) -> Tensor:
        return FUNCTIONS[self.activation](x)

    def _make_layer(self, a: int, b: int, p: float | None) -> Module:
        return BayesianLinear(a, b, p=p)

    def _run_layer(
        self,
        layer: Module,
        x: Tensor,
        edge_index: Tensor | None,
        edge_weight: Tensor | None,
    ) -> Tensor:
        return layer(x)

    def linear_of(self, layer: int) -> BayesianLinear:
        """Return the linear map at the start of a layer."""
        found = self.layers[layer]
        return found if isinstance(found, BayesianLinear) else found.lin  # type: ignore[return-value]

    def penalty(self) -> Tensor:
        """Return the KL divergence from the prior per training node, for the loss."""
        total = torch.zeros_like(self.linear_of(0).weight[0, 0])
        for i, layer in enumerate(self.layers):
            own: Any = layer.bias if self.uses_graph else None
            total = total + self.linear_of(i).kl_divergence(self.prior_scale, own)
        return self.temper * total / self.num_train

    def dropout_probabilities(self) -> list[float]:
        """Return the learned dropout probability of each layer (0 without dropout)."""
        drops = [self.linear_of(i).drop for i in range(len(self.layers))]
        return [0.0 if drop is None else drop.p for drop in drops]

    def draws(self, num: int, seed: int) -> Iterator["_BayesianStack"]:
        """Draw deterministic networks from the posterior.

        Draw ``k`` does not depend on the number of draws.

        Args:
            num: Number of draws.
            seed: Random seed.

        Yields:
            Copies of this network in evaluation mode with fixed gates.
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
    r"""MLP with a posterior by :class:`ConcreteDropout` of the input of each layer.

    Example:
        >>> import torch
        >>> from gsparse.explain import BayesianMLP
        >>> model = BayesianMLP(4, 16, 2, num_train=100)
        >>> first, second = model.draws(2, seed=5)
        >>> x = torch.ones(3, 4)
        >>> bool((first(x) == first(x)).all()), bool((first(x) == second(x)).all())
        (True, False)

    Fit it with :func:`gsparse.train.fit`, which adds :meth:`penalty` to the loss, and
    with ``weight_decay=0``, because the prior already penalises the weights. The loss
    of ``fit`` is a mean over the training nodes, so the penalty is the divergence from
    the prior (:func:`~gsparse.explain.concrete_dropout.kl_divergence`) divided by their
    number.

    Args:
        in_channels: Number of features.
        hidden_channels: Width of the hidden layers.
        out_channels: Number of outputs.
        num_train: Number of training nodes. A larger number gives a narrower posterior.
        num_layers: Number of layers, at least 2.
        activation: ``"gelu"``, ``"softplus"`` or ``"tanh"``.
        input_dropout: Whether features are dropped as well. A feature that is dropped
            in a draw has no interactions there, so importances get noisy.
        prior_scale: Standard deviation of the Gaussian prior of the weights.
        temper: Factor of the divergence from the prior. Values below 1 give a narrower
            posterior than Bayes' rule.

    Shapes:
        - **x:** :math:`(N, F)`
        - **output:** :math:`(N, C)`

    Raises:
        ValueError: If a number is out of range, or the activation is not smooth.
    """

    uses_graph = False


class BayesianGCN(_BayesianStack):
    r"""GCN with a posterior by :class:`ConcreteDropout` of the input of each layer.

    Example:
        >>> import torch
        >>> from gsparse.data import karate
        >>> from gsparse.explain import BayesianGCN
        >>> data = karate()
        >>> model = BayesianGCN(34, 8, 2, num_train=34)
        >>> next(model.draws(1, seed=5))(torch.eye(34), data.edge_index).shape
        torch.Size([34, 2])

    A layer is a :class:`~gsparse.nn.FastGCNConv` that computes
    :math:`\hat{A} X (z \odot W)`. The gates :math:`z` are shared by all nodes, so they
    are a draw of the weights; training draws new gates in every call. Parameters,
    fitting and errors are those of :class:`BayesianMLP`.

    Shapes:
        - **x:** :math:`(N, F)`
        - **edge_index:** :math:`(2, E)`
        - **edge_weight:** :math:`(E,)`
        - **output:** :math:`(N, C)`
    """

    uses_graph = True

    def _make_layer(self, a: int, b: int, p: float | None) -> Module:
        conv = FastGCNConv(a, b)
        conv.lin = BayesianLinear(a, b, bias=False, p=p, shared=True)
        return conv

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

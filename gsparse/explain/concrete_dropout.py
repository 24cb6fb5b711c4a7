"""Dropout that learns how often it drops, and draws of the network it stands for."""

import torch
from torch import Tensor
from torch.nn import Linear, Module, Parameter
from torch.nn.functional import linear, logsigmoid

TEMPERATURE = 0.1  # of the relaxed gates, in training and in draws


def concrete_gates(
    logit: Tensor, u: Tensor, temperature: float = TEMPERATURE
) -> Tensor:
    r"""Relaxed gates, near 0 with probability :math:`p`, scaled to mean 1.

    .. math::
        z = \frac{1}{1 - p} \, \sigma\left(
            -\frac{\operatorname{logit} p + \operatorname{logit} u}{\tau}\right)

    Differentiable in :math:`p`; the mean is 1 up to :math:`O(\tau^2)`.

    Args:
        logit: The log-odds of :math:`p`.
        u: Uniform variables in (0, 1), one a unit.
        temperature: :math:`\tau`.

    Shapes:
        - **logit:** :math:`()`
        - **u**, **output:** any

    Example:
        >>> import torch
        >>> from gsparse.explain.concrete_dropout import concrete_gates
        >>> concrete_gates(torch.tensor(0.0), torch.tensor([0.1, 0.5, 0.9])).round()
        tensor([2., 1., 0.])
    """
    open_ = torch.sigmoid(-(logit + torch.logit(u)) / temperature)
    return open_ / torch.sigmoid(-logit)


def kl_divergence(
    logit: Tensor, weight: Tensor, bias: Tensor | None, prior_scale: float
) -> Tensor:
    r"""How far dropout of a layer's inputs is from the prior, up to a constant.

    .. math::
        \frac{1}{2 \sigma^2} \left( \frac{\|W\|^2}{1 - p} + \|b\|^2 \right)
        - F_{in} H(p)

    with the entropy :math:`H(p) = -p \log p - (1 - p) \log(1 - p)`. As gates are scaled
    by :math:`1 / (1 - p)`, a weight is :math:`W / (1 - p)` with probability
    :math:`1 - p`, which gives the first term.

    Args:
        logit: The log-odds of :math:`p`.
        weight: :math:`W`.
        bias: :math:`b`, which is never dropped.
        prior_scale: Standard deviation :math:`\sigma` of the Gaussian prior.

    Shapes:
        - **weight:** :math:`(F_{out}, F_{in})`
        - **output:** :math:`()`
    """
    p, keep = torch.sigmoid(logit), torch.sigmoid(-logit)
    entropy = -p * logsigmoid(logit) - keep * logsigmoid(-logit)
    squares = weight.square().sum() / keep
    if bias is not None:
        squares = squares + bias.square().sum()
    return squares / (2 * prior_scale**2) - weight.size(1) * entropy


class ConcreteDropout(Module):
    r"""Dropout with a learned probability, from the `"Concrete Dropout"
    <https://arxiv.org/abs/1705.07832>`_ paper.

    All units of a layer share one probability :math:`p`; every unit has a uniform
    variable, and so a gate, of its own (:func:`concrete_gates`). The variational
    posterior of the weights behind it is what remains of them.

    In training each row of a batch has its own gates, or with ``shared`` one vector of
    gates serves all rows: that is one draw of the weights, the same at every node of a
    graph, and features stored sparse stay so. In evaluation there are no gates, unless
    :meth:`fix` has set them.

    Args:
        channels: Number of units.
        p: Probability to begin with, in (0, 1).
        shared: One gate a unit for all rows.

    Raises:
        ValueError: If ``p`` is out of range.

    Example:
        >>> import torch
        >>> from gsparse.explain import ConcreteDropout
        >>> drop = ConcreteDropout(3, p=0.5)
        >>> drop.fix(torch.tensor([0.1, 0.9, 0.2]))
        >>> drop(torch.ones(2, 3)).detach().round()
        tensor([[2., 0., 2.],
                [2., 0., 2.]])
    """

    def __init__(self, channels: int, p: float = 0.1, shared: bool = False) -> None:
        super().__init__()
        if not 0 < p < 1:
            raise ValueError(f"'p' must be in (0, 1) (got {p})")
        self.channels, self.initial, self.shared = channels, p, shared
        self.logit = Parameter(torch.logit(torch.tensor(p)))
        self.fixed: Tensor | None = None

    @property
    def p(self) -> float:
        """The probability that a unit is dropped."""
        return float(torch.sigmoid(self.logit.detach()))

    def reset_parameters(self) -> None:
        """Begin with the first probability again."""
        with torch.no_grad():
            self.logit.copy_(torch.logit(torch.tensor(self.initial)))
        self.fixed = None

    def fix(self, u: Tensor | None) -> None:
        """Keep the gates of these uniform variables; None lets them go.

        Shapes:
            - **u:** :math:`(F,)`
        """
        if u is not None and u.shape != (self.channels,):
            raise ValueError(
                f"'u' must have shape [{self.channels}] (got {list(u.shape)})"
            )
        self.fixed = u

    def gates(self, num_rows: int) -> Tensor | None:
        """Gates of a call; None where nothing is dropped.

        Shapes:
            - **output:** :math:`(F,)`, or :math:`(N, F)` for gates of each row
        """
        if self.fixed is not None:
            u = self.fixed
        elif not self.training:
            return None
        else:
            rows = () if self.shared else (num_rows,)
            like = self.logit
            u = torch.rand(*rows, self.channels, dtype=like.dtype, device=like.device)
            tiny = torch.finfo(u.dtype).eps
            u = u.clamp(tiny, 1 - tiny)
        return concrete_gates(self.logit, u.to(self.logit))

    def forward(self, x: Tensor) -> Tensor:
        """Drop units out.

        Shapes:
            - **x**, **output:** :math:`(N, F)`
        """
        gates = self.gates(x.size(0))
        return x if gates is None else x * gates


class BayesianLinear(Linear):
    """A linear layer behind :class:`ConcreteDropout`; gates for all rows go into the
    weight, so that features stored sparse are never touched.

    Args:
        in_channels: Number of inputs.
        out_channels: Number of outputs.
        bias: Whether there is one.
        p: Probability of dropping an input, to begin with; ``None`` drops none, ever.
        shared: As for :class:`ConcreteDropout`.

    Example:
        >>> import torch
        >>> from gsparse.explain.concrete_dropout import BayesianLinear
        >>> BayesianLinear(3, 2)(torch.ones(5, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        bias: bool = True,
        p: float | None = 0.1,
        shared: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, bias)
        self.drop = None if p is None else ConcreteDropout(in_channels, p, shared)

    def reset_parameters(self) -> None:
        """Draw the weights anew, as GCN layers do."""
        torch.nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            torch.nn.init.zeros_(self.bias)
        if getattr(self, "drop", None) is not None:
            self.drop.reset_parameters()  # type: ignore[union-attr]

    @property
    def drawn_weight(self) -> Tensor:
        """The weight of the network that :meth:`ConcreteDropout.fix` has chosen."""
        fixed = self.drop is not None and self.drop.fixed is not None
        gates = self.drop.gates(0) if fixed else None  # type: ignore[union-attr]
        return self.weight if gates is None else self.weight * gates

    def forward(self, x: Tensor) -> Tensor:
        """Gates, then the linear map.

        Shapes:
            - **x:** :math:`(N, F_{in})`
            - **output:** :math:`(N, F_{out})`
        """
        gates = None if self.drop is None else self.drop.gates(x.size(0))
        if gates is None:
            return linear(x, self.weight, self.bias)
        if gates.dim() == 1:
            return linear(x, self.weight * gates, self.bias)
        return linear(x * gates, self.weight, self.bias)

    def kl_divergence(self, prior_scale: float, bias: Tensor | None = None) -> Tensor:
        """:func:`kl_divergence` of this layer; half squares where nothing is dropped.

        Args:
            prior_scale: Standard deviation of the prior.
            bias: One that is added elsewhere, in place of the layer's own.
        """
        bias = self.bias if bias is None else bias
        if self.drop is not None:
            return kl_divergence(self.drop.logit, self.weight, bias, prior_scale)
        squares = self.weight.square().sum()
        if bias is not None:
            squares = squares + bias.square().sum()
        return squares / (2 * prior_scale**2)

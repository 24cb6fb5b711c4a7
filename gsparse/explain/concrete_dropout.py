"""Dropout with a learned probability, and linear layers with such dropout."""

import torch
from torch import Tensor
from torch.nn import Linear, Module, Parameter
from torch.nn.functional import linear, logsigmoid

TEMPERATURE = 0.1  # temperature of the relaxed gates in training and in draws


def concrete_gates(
    logit: Tensor, u: Tensor, temperature: float = TEMPERATURE
) -> Tensor:
    r"""Compute relaxed gates of mean 1 that are near 0 with probability :math:`p`.

    .. math::
        z = \frac{1}{1 - p} \, \sigma\left(
            -\frac{\operatorname{logit} p + \operatorname{logit} u}{\tau}\right)

    Differentiable in :math:`p`; the mean is 1 up to :math:`O(\tau^2)`.

    Args:
        logit: Log-odds of :math:`p`.
        u: Uniform variables in (0, 1), one per unit.
        temperature: Temperature :math:`\tau`.

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
    logit: Tensor | None, weight: Tensor, bias: Tensor | None, prior_scale: float
) -> Tensor:
    r"""Compute the divergence of a layer from the prior, up to a constant.

    .. math::
        \frac{1}{2 \sigma^2} \left( \frac{\|W\|^2}{1 - p} + \|b\|^2 \right)
        - F_{in} H(p)

    with the entropy :math:`H(p) = -p \log p - (1 - p) \log(1 - p)`. Gates are scaled by
    :math:`1 / (1 - p)`, so a weight is :math:`W / (1 - p)` with probability
    :math:`1 - p`, which gives the first term.

    Args:
        logit: Log-odds of :math:`p`; ``None`` if inputs are not dropped.
        weight: Weight :math:`W`.
        bias: Bias :math:`b`, which is never dropped.
        prior_scale: Standard deviation :math:`\sigma` of the Gaussian prior.

    Shapes:
        - **logit**, **output:** :math:`()`
        - **weight:** :math:`(F_{out}, F_{in})`
        - **bias:** :math:`(F_{out},)`
    """
    squares = weight.square().sum()
    entropy: Tensor | float = 0.0
    if logit is not None:
        p, keep = torch.sigmoid(logit), torch.sigmoid(-logit)
        entropy = -p * logsigmoid(logit) - keep * logsigmoid(-logit)
        squares = squares / keep
    if bias is not None:
        squares = squares + bias.square().sum()
    return squares / (2 * prior_scale**2) - weight.size(1) * entropy


class ConcreteDropout(Module):
    r"""Dropout with a learned probability, from the `"Concrete Dropout"
    <https://arxiv.org/abs/1705.07832>`_ paper.

    All units of a layer share one probability :math:`p`, but each unit has its own gate
    (:func:`concrete_gates`). The gates define a variational posterior of the weights of
    the next layer.

    In training, each row of a batch has its own gates. With ``shared``, all rows share
    one vector of gates. This is one draw of the weights, the same for all nodes of a
    graph, and sparse features remain sparse. In evaluation nothing is dropped unless
    :meth:`fix` has set the gates.

    Args:
        channels: Number of units.
        p: Initial probability, in (0, 1).
        shared: Whether all rows share one gate per unit.

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
        """Probability that a unit is dropped."""
        return float(torch.sigmoid(self.logit.detach()))

    def reset_parameters(self) -> None:
        """Reset the probability to its initial value."""
        with torch.no_grad():
            self.logit.copy_(torch.logit(torch.tensor(self.initial)))
        self.fixed = None

    def fix(self, u: Tensor | None) -> None:
        """Fix the gates by uniform variables; None draws new gates again.

        Shapes:
            - **u:** :math:`(F,)`
        """
        if u is not None and u.shape != (self.channels,):
            raise ValueError(
                f"'u' must have shape [{self.channels}] (got {list(u.shape)})"
            )
        self.fixed = u

    def gates(self, num_rows: int) -> Tensor | None:
        """Return the gates of a call, or None if nothing is dropped.

        Shapes:
            - **output:** :math:`(F,)`, or :math:`(N, F)` if each row has its own gates
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
        """Apply dropout to the units.

        Shapes:
            - **x**, **output:** :math:`(N, F)`
        """
        gates = self.gates(x.size(0))
        return x if gates is None else x * gates


class BayesianLinear(Linear):
    """Linear layer with :class:`ConcreteDropout` of its inputs.

    Gates that all rows share multiply the weight, so sparse features remain sparse.

    Args:
        in_channels: Number of inputs.
        out_channels: Number of outputs.
        bias: Whether the layer has a bias.
        p: Initial probability of dropping an input; ``None`` disables dropout.
        shared: Whether all rows share one gate per input.

    Shapes:
        - **x:** :math:`(N, F_{in})`
        - **output:** :math:`(N, F_{out})`

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
        """Draw the weights again, with the initialisation of GCN layers."""
        torch.nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            torch.nn.init.zeros_(self.bias)
        if getattr(self, "drop", None) is not None:
            self.drop.reset_parameters()  # type: ignore[union-attr]

    @property
    def drawn_weight(self) -> Tensor:
        """Weight multiplied by the gates set by :meth:`ConcreteDropout.fix`."""
        fixed = self.drop is not None and self.drop.fixed is not None
        gates = self.drop.gates(0) if fixed else None  # type: ignore[union-attr]
        return self.weight if gates is None else self.weight * gates

    def forward(self, x: Tensor) -> Tensor:
        """Apply the gates and the linear map.

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
        """Compute :func:`kl_divergence` of this layer.

        Args:
            prior_scale: Standard deviation of the prior.
            bias: Bias of the surrounding layer, instead of this layer's own.
        """
        bias = self.bias if bias is None else bias
        logit = None if self.drop is None else self.drop.logit
        return kl_divergence(logit, self.weight, bias, prior_scale)

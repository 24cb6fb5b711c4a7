"""Gradient flow: what removing a weight does to the gradient of the loss."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor
from torch.nn import Module

from gsparse.nn.evaluating import evaluating
from gsparse.prune.criteria.derivatives import (
    Loss,
    hessian_gradients,
)
from gsparse.prune.criteria.gradient_flow import LossScored
from gsparse.prune.schedule import Schedule
from gsparse.prune.select import Scope
from gsparse.prune.structured.groups import group_sums
from gsparse.prune.structured.select_groups import Protect
from gsparse.prune.structured.structures import Structure
from gsparse.prune.targets import Selector


def gradient_norm_scores(
    parameters: Mapping[str, Tensor], products: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    r"""Half of what :math:`\|g\|^2` falls by, to first order:
    :math:`\theta_i (Hg)_i`. Keeping the largest lets the norm rise.

    Example:
        >>> import torch
        >>> from gsparse.prune.criteria.gradient_norm import gradient_norm_scores
        >>> theta, product = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5])
        >>> gradient_norm_scores({"w": theta}, {"w": product})
        {'w': tensor([ 3., -1.])}
    """
    return {name: theta * products[name] for name, theta in parameters.items()}


def gradient_preservation_scores(
    parameters: Mapping[str, Tensor], products: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    r"""How much :math:`\|g\|^2` changes, either way: :math:`|\theta_i (Hg)_i|`.

    Example:
        >>> import torch
        >>> from gsparse.prune.criteria import gradient_norm
        >>> theta, product = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5])
        >>> gradient_norm.gradient_preservation_scores({"w": theta}, {"w": product})
        {'w': tensor([3., 1.])}
    """
    found = gradient_norm_scores(parameters, products)
    return {name: score.abs() for name, score in found.items()}


class GradientNorm(LossScored):
    r"""Removes the weights without which the gradient is largest, by
    :math:`\theta_i (Hg)_i`, one of the measures of the `"A Gradient Flow Framework For
    Analyzing Network Pruning" <https://arxiv.org/abs/2009.11839>`_ paper;
    :class:`~gsparse.prune.GraSP` is the same at temperature 200.

    Setting :math:`\theta_i` to 0 changes :math:`\|g\|^2` by
    :math:`-2\,\theta_i (Hg)_i` to first order. Under gradient flow
    :math:`d^2\|\Theta\|^2 / dt^2 = 2(\|g\|^2 + \Theta^\top H g)`. The gradient is that
    of all trained parameters, pruned or not.

    The paper finds that a rising norm can hurt, and proposes
    :class:`GradientPreservation`. Costs one Hessian-gradient product a cut. GCN, SAGE
    and GIN layers, PyG's and the fast ones, are differentiable twice; attention is with
    ``gsparse.nn.accelerate(model, attention="reference")``.

    Args:
        model: As for :class:`LossPreservation`.
        sparsity: As for :class:`LossPreservation`.
        loss: Returns the training loss; it has to call ``model`` itself if a
            temperature is given.
        temperature: Divides what the model returns while it is scored; more than 1
            spreads a softmax. The model must return logits then.
        schedule: As for :class:`LossPreservation`.
        scope: As for :class:`LossPreservation`.
        exclude: As for :class:`LossPreservation`.
        targets: As for :class:`LossPreservation`.
        structure: As for :class:`LossPreservation`.
        protect: As for :class:`LossPreservation`.

    Raises:
        ValueError: As for :class:`LossPreservation`; if the loss cannot be
            differentiated twice, or the temperature is not positive.

    Example:
        >>> import torch
        >>> from gsparse.prune import GradientNorm
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[2.0, -1.0]]))
        >>> pruner = GradientNorm(model, 0.0, lambda: model(torch.eye(2)).pow(3).sum())
        >>> pruner.scores()  # g = 3 w^2, H = diag(6 w)
        {'weight': tensor([[288.,  18.]])}
    """

    def __init__(
        self,
        model: Module,
        sparsity: float,
        loss: Loss,
        temperature: float = 1.0,
        schedule: Schedule | None = None,
        scope: Scope = "global",
        exclude: Iterable[Selector] | Selector = (),
        targets: Iterable[Selector] | Selector | None = None,
        structure: Structure | None = None,
        protect: Protect | None = None,
    ) -> None:
        if not temperature > 0:
            raise ValueError(f"'temperature' must be positive (got {temperature})")
        self.temperature = temperature
        super().__init__(
            model, sparsity, loss, schedule, scope, exclude, targets, structure, protect
        )

    def products(self) -> dict[str, Tensor]:
        """The Hessian times the gradient, at the targeted weights."""
        targeted = self.masks.parameters()
        others = {
            name: p
            for name, p in self.model.named_parameters()
            if p.requires_grad and name not in targeted
        }
        with evaluating(self.model), _tempered(self.model, self.temperature) as called:
            found = hessian_gradients(self.loss, targeted | others)
            if self.temperature != 1 and not called:
                raise ValueError(
                    "'loss' must call the pruned model where 'temperature' is not 1 "
                    f"(got temperature={self.temperature} and no call of "
                    f"{type(self.model).__name__})"
                )
        return {name: found[name] for name in targeted}

    def scores(self) -> dict[str, Tensor]:
        """:func:`gradient_norm_scores` of every weight."""
        return gradient_norm_scores(self.weights, self.products())

    def group_scores(self, groups: Mapping[str, Tensor]) -> Tensor:
        r""":math:`\sum_i \theta_i (Hg)_i` over every group."""
        return group_sums(gradient_norm_scores(self.weights, self.products()), groups)


class GradientPreservation(GradientNorm):
    r"""Removes the weights that the norm of the gradient depends on least, by
    :math:`|\theta_i (Hg)_i|`, from the `"A Gradient Flow Framework For Analyzing
    Network Pruning" <https://arxiv.org/abs/2009.11839>`_ paper.

    Keeps the second derivative of :math:`\|\Theta\|^2` under gradient flow; cost and
    remarks as for :class:`GradientNorm`. The paper sums :math:`\theta_i (Hg)_i` over a
    filter before the absolute value: so does a structure here, and a single weight is
    its own filter. At a stationary point all scores are 0 and the choice is arbitrary.

    Args:
        model: As for :class:`GradientNorm`.
        sparsity: As for :class:`GradientNorm`.
        loss: As for :class:`GradientNorm`.
        temperature: As for :class:`GradientNorm`.
        schedule: As for :class:`GradientNorm`.
        scope: As for :class:`GradientNorm`.
        exclude: As for :class:`GradientNorm`.
        targets: As for :class:`GradientNorm`.
        structure: As for :class:`GradientNorm`.
        protect: As for :class:`GradientNorm`.

    Raises:
        ValueError: As for :class:`GradientNorm`.

    Example:
        >>> import torch
        >>> from gsparse.prune import GradientPreservation
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[2.0, -1.0]]))
        >>> def loss():
        ...     return (model(torch.eye(2)) ** 3).sum()
        >>> GradientPreservation(model, 0.5, loss).report().num_kept
        1
    """

    def scores(self) -> dict[str, Tensor]:
        """:func:`gradient_preservation_scores` of every weight."""
        return gradient_preservation_scores(self.weights, self.products())

    def group_scores(self, groups: Mapping[str, Tensor]) -> Tensor:
        r""":math:`|\sum_i \theta_i (Hg)_i|` over every group."""
        return super().group_scores(groups).abs()


@contextmanager
def _tempered(model: Module, temperature: float) -> Iterator[list[bool]]:
    """Divide what the model returns; the list says that it was called."""
    called: list[bool] = []

    def divide(module: Module, args: object, output: object) -> Tensor:
        if not isinstance(output, Tensor):
            raise TypeError(
                f"{type(module).__name__} must return a tensor of logits where "
                f"'temperature' is not 1 (got {type(output).__name__})"
            )
        called.append(True)
        return output / temperature

    if temperature == 1:
        yield called
        return
    handle = model.register_forward_hook(divide)
    try:
        yield called
    finally:
        handle.remove()

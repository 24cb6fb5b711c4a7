"""Gradient flow: how the gradient of the loss changes when a weight is removed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor
from torch.nn import Module

from gsparse.nn.evaluating import evaluating
from gsparse.prune.criteria.criterion import Criterion
from gsparse.prune.criteria.derivatives import Loss, check_loss, hessian_gradients
from gsparse.prune.masks import WeightMasks
from gsparse.prune.structured.groups import group_sums


def gradient_norm_importances(
    parameters: Mapping[str, Tensor], products: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    r"""Return :math:`\theta_i (Hg)_i`, half of what :math:`\|g\|^2` falls by to first
    order when weight i is removed. Keeping the largest lets the norm rise.

    Example:
        >>> import torch
        >>> from gsparse.prune.criteria import gradient_norm
        >>> theta, product = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5])
        >>> gradient_norm.gradient_norm_importances({"w": theta}, {"w": product})
        {'w': tensor([ 3., -1.])}
    """
    return {name: theta * products[name] for name, theta in parameters.items()}


def gradient_preservation_importances(
    parameters: Mapping[str, Tensor], products: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    r"""Return how much :math:`\|g\|^2` changes either way, :math:`|\theta_i (Hg)_i|`.

    Example:
        >>> import torch
        >>> from gsparse.prune.criteria import gradient_norm
        >>> theta, product = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5])
        >>> gradient_norm.gradient_preservation_importances(
        ...     {"w": theta}, {"w": product}
        ... )
        {'w': tensor([3., 1.])}
    """
    found = gradient_norm_importances(parameters, products)
    return {name: it.abs() for name, it in found.items()}


@dataclass(frozen=True)
class GradientNorm(Criterion):
    r"""Rates weights by :math:`\theta_i (Hg)_i`, so that the gradient is largest after
    the cut; a measure of the `"A Gradient Flow Framework For Analyzing Network Pruning"
    <https://arxiv.org/abs/2009.11839>`_ paper. :class:`~gsparse.prune.GraSP` is the
    same criterion at temperature 200.

    Setting :math:`\theta_i` to 0 changes :math:`\|g\|^2` by
    :math:`-2\,\theta_i (Hg)_i` to first order. Under gradient flow
    :math:`d^2\|\Theta\|^2 / dt^2 = 2(\|g\|^2 + \Theta^\top H g)`. The gradient is taken
    over all trained parameters, pruned or not. A group is rated by the sum over its
    weights.

    **When to use it.** Before or early in training, to compare criteria of gradient
    flow. GCN, SAGE and GIN layers, those of PyG and the fast ones, can be
    differentiated twice; attention layers can after ``gsparse.nn.accelerate(model,
    attention="reference")``.

    **When not to use it.** On a converged model, and where accuracy counts most: the
    paper finds that a rising norm can hurt, and proposes :class:`GradientPreservation`.

    **Cost.** One Hessian-gradient product per cut, about two backward passes. Memory is
    that of a backward pass whose graph is kept.

    Args:
        loss: Returns the training loss; it has to call the pruned model itself if
            ``temperature`` is not 1.
        temperature: Divisor of the model's logits while weights are rated; more than 1
            flattens a softmax.

    Raises:
        TypeError: If ``loss`` is not a function.
        ValueError: If the temperature is not positive. When weights are rated, if the
            loss is not one finite number that depends on the weights and is
            differentiable twice.

    Example:
        >>> import torch
        >>> from gsparse.prune import GradientNorm, WeightMasks
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[2.0, -1.0]]))
        >>> criterion = GradientNorm(lambda: model(torch.eye(2)).pow(3).sum())
        >>> criterion.importances(WeightMasks(model))  # g = 3 w^2, H = diag(6 w)
        {'weight': tensor([[288.,  18.]])}
    """

    needs = ("loss",)
    double_backward = True

    loss: Loss = field(repr=False)
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_loss(self.loss)
        if not self.temperature > 0:
            raise ValueError(f"'temperature' must be positive (got {self.temperature})")

    def products(self, masks: WeightMasks) -> dict[str, Tensor]:
        """Return the Hessian times the gradient, at the targeted weights."""
        model, targeted = masks.model, masks.parameters()
        others = {
            name: p
            for name, p in model.named_parameters()
            if p.requires_grad and name not in targeted
        }
        with evaluating(model), _tempered(model, self.temperature) as called:
            found = hessian_gradients(self.loss, targeted | others)
            if self.temperature != 1 and not called:
                raise ValueError(
                    "'loss' must call the pruned model where 'temperature' is not 1 "
                    f"(got temperature={self.temperature} and no call of "
                    f"{type(model).__name__})"
                )
        return {name: found[name] for name in targeted}

    def importances(self, masks: WeightMasks) -> dict[str, Tensor]:
        return gradient_norm_importances(masks.weights(), self.products(masks))

    def group_importances(
        self, masks: WeightMasks, groups: Mapping[str, Tensor]
    ) -> Tensor:
        products = gradient_norm_importances(masks.weights(), self.products(masks))
        return group_sums(products, groups)


class GradientPreservation(GradientNorm):
    r"""Rates weights by how much the norm of the gradient depends on them,
    :math:`|\theta_i (Hg)_i|`, from the `"A Gradient Flow Framework For Analyzing
    Network Pruning" <https://arxiv.org/abs/2009.11839>`_ paper.

    Keeps the second derivative of :math:`\|\Theta\|^2` under gradient flow. A group is
    rated by :math:`|\sum_i \theta_i (Hg)_i|`, as the paper rates filters. The arguments
    are those of :class:`GradientNorm`.

    **When to use it.** Before or early in training, where :class:`GradientNorm` raises
    the norm of the gradient too far.

    **When not to use it.** On a converged model: at a stationary point all importances
    are 0 and the choice is arbitrary. Use :class:`~gsparse.prune.Magnitude` there.

    **Cost.** One Hessian-gradient product per cut, about two backward passes. Memory is
    that of a backward pass whose graph is kept.

    Example:
        >>> import torch
        >>> from gsparse.prune import GradientPreservation, Pruner
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[2.0, -1.0]]))
        >>> def loss():
        ...     return (model(torch.eye(2)) ** 3).sum()
        >>> pruner = Pruner(model, GradientPreservation(loss), sparsity=0.5)
        >>> pruner.report().num_kept
        1
    """

    def importances(self, masks: WeightMasks) -> dict[str, Tensor]:
        return gradient_preservation_importances(masks.weights(), self.products(masks))

    def group_importances(
        self, masks: WeightMasks, groups: Mapping[str, Tensor]
    ) -> Tensor:
        return super().group_importances(masks, groups).abs()


@contextmanager
def _tempered(model: Module, temperature: float) -> Iterator[list[bool]]:
    """Divide the model's output within; the list tells whether it was called."""
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

"""Gradient flow: how the loss changes when a weight is removed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from gsparse.nn.evaluating import evaluating
from gsparse.prune.criteria.criterion import Criterion
from gsparse.prune.criteria.derivatives import Loss, check_loss, loss_gradients
from gsparse.prune.masks import WeightMasks
from gsparse.prune.structured.groups import group_sums


def loss_preservation_importances(
    parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    r"""Return the first-order change of the loss, :math:`|\theta_i g_i|`.

    Example:
        >>> import torch
        >>> from gsparse.prune.criteria import gradient_flow
        >>> theta, g = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5])
        >>> gradient_flow.loss_preservation_importances({"w": theta}, {"w": g})
        {'w': tensor([3., 1.])}
    """
    return {name: (theta * gradients[name]).abs() for name, theta in parameters.items()}


def magnitude_loss_importances(
    parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    r"""Return :math:`|\theta_i| |\theta_i g_i|`, which favours large weights.

    Example:
        >>> import torch
        >>> from gsparse.prune.criteria import gradient_flow
        >>> theta, g = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5])
        >>> gradient_flow.magnitude_loss_importances({"w": theta}, {"w": g})
        {'w': tensor([3., 2.])}
    """
    found = loss_preservation_importances(parameters, gradients)
    return {name: parameters[name].abs() * it for name, it in found.items()}


@dataclass(frozen=True)
class LossPreservation(Criterion):
    r"""Rates weights by how much the loss depends on them, :math:`|\theta_i g_i|`, from
    the `"A Gradient Flow Framework For Analyzing Network Pruning"
    <https://arxiv.org/abs/2009.11839>`_ paper.

    Setting :math:`\theta_i` to 0 changes the loss by :math:`-\theta_i g_i` to first
    order. Under gradient flow :math:`d\|\Theta\|^2 / dt = -2\,\Theta^\top g`, so the
    remaining weights also carry the first derivative of the weights' norm.

    **When to use it.** Before training or early in it, with the loss of the training
    nodes.

    **When not to use it.** On a converged model: there :math:`g \approx 0`, and the
    first order says little. Prune earlier, or use :class:`~gsparse.prune.Magnitude`.

    **Cost.** One forward and backward pass per cut, in evaluation mode and on the whole
    graph, so without sampling noise. Memory is one gradient per weight.

    In contrast to the paper, which rates filters, with gradients averaged over batches,
    every weight has an importance of its own unless a structure is given. A group is
    rated by :math:`|\sum_i \theta_i g_i|`, the change of the loss when the whole group
    is removed; the authors' code sums :math:`|\theta_i g_i|`.

    Args:
        loss: Returns the training loss of the model in its current state.

    Raises:
        TypeError: If ``loss`` is not a function.
        ValueError: When weights are rated, if the loss is not one finite number that
            depends on the weights.

    Example:
        Before training; to prune later, train before the last line.

        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from torch.nn.functional import cross_entropy
        >>> from gsparse.data import random_graph
        >>> from gsparse.prune import LossPreservation, Pruner
        >>> data = random_graph(num_nodes=20, p=0.2, seed=7)
        >>> model = GCN(data.num_features, 16, num_layers=2, out_channels=4)
        >>> def loss():
        ...     return cross_entropy(model(data.x, data.edge_index), data.y)
        >>> pruner = Pruner(model, LossPreservation(loss), sparsity=0.75)
        >>> int((model.convs[0].lin.weight != 0).sum()), data.num_features * 16 // 4
        (32, 32)
    """

    needs = ("loss",)

    loss: Loss = field(repr=False)

    def __post_init__(self) -> None:
        check_loss(self.loss)

    def gradients(self, masks: WeightMasks) -> dict[str, Tensor]:
        """Return the gradient of the loss; 0 for removed weights."""
        with evaluating(masks.model):
            return loss_gradients(self.loss, masks.parameters())

    def importances(self, masks: WeightMasks) -> dict[str, Tensor]:
        return loss_preservation_importances(masks.weights(), self.gradients(masks))

    def group_importances(
        self, masks: WeightMasks, groups: Mapping[str, Tensor]
    ) -> Tensor:
        gradients = self.gradients(masks)
        products = {name: it * gradients[name] for name, it in masks.weights().items()}
        return group_sums(products, groups).abs()


class MagnitudeLoss(LossPreservation):
    r"""Loss preservation that favours large weights, :math:`|\theta_i| |\theta_i g_i|`,
    the extension that the `"A Gradient Flow Framework For Analyzing Network Pruning"
    <https://arxiv.org/abs/2009.11839>`_ paper proposes.

    Small weights matter least to how fast the loss falls; among weights of the same
    effect on the loss the smaller ones are removed first. A group is rated by the sum
    over its weights. The arguments are those of :class:`LossPreservation`.

    **When to use it.** Where :class:`LossPreservation` removes large weights too early,
    before training has converged.

    **When not to use it.** On a converged model: there the gradient is nearly 0. Use
    :class:`~gsparse.prune.Magnitude`.

    **Cost.** One forward and backward pass per cut. Memory is one gradient per weight.

    Example:
        >>> import torch
        >>> from gsparse.prune import MagnitudeLoss, WeightMasks
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[2.0, 1.0]]))
        >>> x = torch.tensor([1.0, 3.0])
        >>> criterion = MagnitudeLoss(loss=lambda: model(x).sum())
        >>> criterion.importances(WeightMasks(model))
        {'weight': tensor([[4., 3.]])}
    """

    def importances(self, masks: WeightMasks) -> dict[str, Tensor]:
        return magnitude_loss_importances(masks.weights(), self.gradients(masks))

    def group_importances(
        self, masks: WeightMasks, groups: Mapping[str, Tensor]
    ) -> Tensor:
        return group_sums(self.importances(masks), groups)

"""Gradient flow: what removing a weight does to the loss."""

from collections.abc import Iterable, Mapping

from torch import Tensor
from torch.nn import Module

from gsparse.nn.evaluating import evaluating
from gsparse.prune.criteria.derivatives import (
    Loss,
    checked_loss,
    loss_gradients,
)
from gsparse.prune.pruner import ScoredPruner
from gsparse.prune.schedule import Schedule
from gsparse.prune.select import Scope
from gsparse.prune.structured.groups import group_sums
from gsparse.prune.structured.select_groups import Protect
from gsparse.prune.structured.structures import Structure
from gsparse.prune.targets import Selector


def loss_preservation_scores(
    parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    r"""What the loss changes by, to first order: :math:`|\theta_i g_i|`.

    Example:
        >>> import torch
        >>> from gsparse.prune.criteria.gradient_flow import loss_preservation_scores
        >>> theta, g = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5])
        >>> loss_preservation_scores({"w": theta}, {"w": g})
        {'w': tensor([3., 1.])}
    """
    return {name: (theta * gradients[name]).abs() for name, theta in parameters.items()}


def magnitude_loss_scores(
    parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    r"""The same, biased to keep large weights: :math:`|\theta_i| |\theta_i g_i|`.

    Example:
        >>> import torch
        >>> from gsparse.prune.criteria.gradient_flow import magnitude_loss_scores
        >>> theta, g = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5])
        >>> magnitude_loss_scores({"w": theta}, {"w": g})
        {'w': tensor([3., 2.])}
    """
    found = loss_preservation_scores(parameters, gradients)
    return {name: parameters[name].abs() * score for name, score in found.items()}


class LossScored(ScoredPruner):
    """What the pruners share that ask how the loss depends on the weights.

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        loss: Returns the training loss of the model as it is.
        schedule: A function of the step; ``None`` prunes at once.
        scope: ``"global"``, ``"local"`` or ``"erk"``.
        exclude: As for :func:`~gsparse.prune.find_targets`.
        targets: As for :func:`~gsparse.prune.find_targets`.
        structure: As for :class:`~gsparse.prune.ScoredPruner`.
        protect: As for :class:`~gsparse.prune.ScoredPruner`.
    """

    def __init__(
        self,
        model: Module,
        sparsity: float,
        loss: Loss,
        schedule: Schedule | None = None,
        scope: Scope = "global",
        exclude: Iterable[Selector] | Selector = (),
        targets: Iterable[Selector] | Selector | None = None,
        structure: Structure | None = None,
        protect: Protect | None = None,
    ) -> None:
        self.loss = checked_loss(loss)
        super().__init__(
            model, sparsity, schedule, scope, exclude, targets, structure, protect
        )

    def gradients(self) -> dict[str, Tensor]:
        """Of the loss with respect to the targeted weights; 0 for those gone."""
        with evaluating(self.model):
            return loss_gradients(self.loss, self.masks.parameters())

    @property
    def weights(self) -> dict[str, Tensor]:
        """Values of the targeted weights."""
        return {name: p.detach() for name, p in self.masks.parameters().items()}


class LossPreservation(LossScored):
    r"""Removes the weights that the loss depends on least, by :math:`|\theta_i g_i|`,
    from the `"A Gradient Flow Framework For Analyzing Network Pruning"
    <https://arxiv.org/abs/2009.11839>`_ paper.

    Setting :math:`\theta_i` to 0 changes the loss by :math:`-\theta_i g_i` to first
    order. Under gradient flow :math:`d\|\Theta\|^2 / dt = -2\,\Theta^\top g`, so what
    stays also carries the first derivative of the weights' norm.

    The same score can be asked before training, early in it or after it; it is the
    moment of the call that differs. A converged model has :math:`g \approx 0`, where
    first order says little: prune earlier, or use
    :class:`~gsparse.prune.Magnitude`.

    Costs one forward and backward pass a cut, in evaluation mode, on the whole graph,
    so without sampling noise. The paper scores filters, with gradients averaged over
    batches; here every weight has its own score unless a structure is given. A group
    then counts by :math:`|\sum_i \theta_i g_i|`, the change of the loss when all of it
    goes; what the authors' code calls loss-based sums :math:`|\theta_i g_i|`.

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        loss: Returns the training loss of the model as it is.
        schedule: A function of the step; ``None`` prunes at once. The paper's is
            :class:`~gsparse.prune.Rounds`.
        scope: ``"global"``, ``"local"`` or ``"erk"``.
        exclude: As for :func:`~gsparse.prune.find_targets`.
        targets: As for :func:`~gsparse.prune.find_targets`.
        structure: As for :class:`~gsparse.prune.ScoredPruner`.
        protect: As for :class:`~gsparse.prune.ScoredPruner`.

    Raises:
        TypeError: If ``loss`` is no function.
        ValueError: If the sparsity is out of range, nothing is left to prune, or the
            loss is not one finite number that depends on the weights.

    Example:
        Before training; to prune early or after it, train before the last line.

        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from torch.nn.functional import cross_entropy
        >>> from gsparse.data import random_graph
        >>> from gsparse.prune import LossPreservation
        >>> data = random_graph(num_nodes=20, p=0.2, seed=7)
        >>> model = GCN(data.num_features, 16, num_layers=2, out_channels=4)
        >>> def loss():
        ...     return cross_entropy(model(data.x, data.edge_index), data.y)
        >>> pruner = LossPreservation(model, sparsity=0.75, loss=loss)
        >>> int((model.convs[0].lin.weight != 0).sum()), data.num_features * 16 // 4
        (32, 32)
    """

    def scores(self) -> dict[str, Tensor]:
        """:func:`loss_preservation_scores` of every weight."""
        return loss_preservation_scores(self.weights, self.gradients())

    def group_scores(self, groups: Mapping[str, Tensor]) -> Tensor:
        r""":math:`|\sum_i \theta_i g_i|` over every group."""
        gradients = self.gradients()
        return group_sums(
            {name: it * gradients[name] for name, it in self.weights.items()}, groups
        ).abs()


class MagnitudeLoss(LossScored):
    r"""Loss preservation biased to keep large weights, by
    :math:`|\theta_i| |\theta_i g_i|`, the extension that the `"A Gradient Flow
    Framework For Analyzing Network Pruning" <https://arxiv.org/abs/2009.11839>`_ paper
    proposes.

    Small weights are those that matter least to how fast the loss falls; among weights
    of the same effect on the loss the smaller ones go first. A group counts by the sum
    of its scores. Cost and remarks as for :class:`LossPreservation`.

    Args:
        model: As for :class:`LossPreservation`.
        sparsity: As for :class:`LossPreservation`.
        loss: As for :class:`LossPreservation`.
        schedule: As for :class:`LossPreservation`.
        scope: As for :class:`LossPreservation`.
        exclude: As for :class:`LossPreservation`.
        targets: As for :class:`LossPreservation`.
        structure: As for :class:`LossPreservation`.
        protect: As for :class:`LossPreservation`.

    Raises:
        ValueError: As for :class:`LossPreservation`.

    Example:
        >>> import torch
        >>> from gsparse.prune import MagnitudeLoss
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[2.0, 1.0]]))
        >>> x = torch.tensor([1.0, 3.0])
        >>> MagnitudeLoss(model, 0.5, loss=lambda: model(x).sum()).scores()
        {'weight': tensor([[4., 0.]])}
    """

    def scores(self) -> dict[str, Tensor]:
        """:func:`magnitude_loss_scores` of every weight."""
        return magnitude_loss_scores(self.weights, self.gradients())

    def group_scores(self, groups: Mapping[str, Tensor]) -> Tensor:
        """The sum of the scores of every group."""
        return group_sums(self.scores(), groups)

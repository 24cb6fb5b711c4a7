"""SNIP: the connections that the loss is sensitive to, before any training."""

import torch
from torch import Tensor

from gsparse.prune.criteria.gradient_flow import LossPreservation


class SNIP(LossPreservation):
    r"""Removes the connections of least sensitivity, from the `"SNIP: Single-shot
    Network Pruning based on Connection Sensitivity" <https://arxiv.org/abs/1810.02340>`_
    paper.

    With a gate :math:`c_i = 1` on every weight the sensitivity is

    .. math::
        s_i = \frac{|\partial L / \partial c_i|}{\sum_k |\partial L / \partial c_k|},
        \qquad \frac{\partial L}{\partial c_i} = \theta_i g_i,

    so it chooses what :class:`~gsparse.prune.LossPreservation` chooses,
    and only the scores are scaled. What makes it SNIP is the moment: once, on the
    untrained model. The paper draws one batch; here the loss is that of all training
    nodes. One cut can empty a layer at high sparsity; see
    :class:`~gsparse.prune.SynFlow`. With a structure a group has one gate.

    Args:
        model: As for :class:`~gsparse.prune.LossPreservation`.
        sparsity: As for :class:`~gsparse.prune.LossPreservation`.
        loss: As for :class:`~gsparse.prune.LossPreservation`.
        schedule: As for :class:`~gsparse.prune.LossPreservation`.
        scope: As for :class:`~gsparse.prune.LossPreservation`.
        exclude: As for :class:`~gsparse.prune.LossPreservation`.
        targets: As for :class:`~gsparse.prune.LossPreservation`.
        structure: As for :class:`~gsparse.prune.LossPreservation`.
        protect: As for :class:`~gsparse.prune.LossPreservation`.

    Raises:
        ValueError: As for :class:`~gsparse.prune.LossPreservation`.

    Example:
        >>> import torch
        >>> from gsparse.prune import SNIP
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[2.0, 1.0]]))
        >>> x = torch.tensor([1.0, 6.0])
        >>> SNIP(model, 0.0, loss=lambda: model(x).sum()).scores()
        {'weight': tensor([[0.2500, 0.7500]])}
    """

    def scores(self) -> dict[str, Tensor]:
        """The sensitivities, whose sum over all layers is 1."""
        raw = super().scores()
        total = torch.stack([score.sum() for score in raw.values()]).sum()
        if total == 0:  # a stationary point
            return raw
        return {name: score / total for name, score in raw.items()}

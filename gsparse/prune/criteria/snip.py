"""SNIP: the connections that the loss of an untrained model is sensitive to."""

import torch
from torch import Tensor

from gsparse.prune.criteria.gradient_flow import LossPreservation
from gsparse.prune.masks import WeightMasks


class SNIP(LossPreservation):
    r"""Rates connections by the sensitivity of the loss, from the `"SNIP: Single-shot
    Network Pruning based on Connection Sensitivity" <https://arxiv.org/abs/1810.02340>`_
    paper.

    With a gate :math:`c_i = 1` on every weight the sensitivity is

    .. math::
        s_i = \frac{|\partial L / \partial c_i|}{\sum_k |\partial L / \partial c_k|},
        \qquad \frac{\partial L}{\partial c_i} = \theta_i g_i,

    so the choice is that of :class:`~gsparse.prune.LossPreservation`, which has the
    same argument; only the importances are scaled. Unlike
    :class:`~gsparse.prune.LossPreservation`, SNIP is applied once, before training. A
    group of weights is rated through one shared gate.

    **When to use it.** If the sparse model has to be known before it is trained.

    **When not to use it.** If a dense training is affordable:
    :class:`~gsparse.prune.Magnitude` on trained weights keeps more accuracy. At high
    sparsity one cut can remove all weights of a layer; :class:`~gsparse.prune.SynFlow`
    avoids this.

    **Cost.** One forward and backward pass per cut. Memory is one gradient per weight.

    In contrast to the paper, which draws one batch, the loss is that of all training
    nodes.

    Example:
        >>> import torch
        >>> from gsparse.prune import SNIP, WeightMasks
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[2.0, 1.0]]))
        >>> x = torch.tensor([1.0, 6.0])
        >>> SNIP(loss=lambda: model(x).sum()).importances(WeightMasks(model))
        {'weight': tensor([[0.2500, 0.7500]])}
    """

    when = "fresh"

    def importances(self, masks: WeightMasks) -> dict[str, Tensor]:
        raw = super().importances(masks)
        total = torch.stack([it.sum() for it in raw.values()]).sum()
        if total == 0:  # a stationary point
            return raw
        return {name: it / total for name, it in raw.items()}

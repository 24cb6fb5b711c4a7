"""GraSP: preserve the gradient flow of an untrained model."""

from dataclasses import dataclass

from gsparse.prune.criteria.gradient_norm import GradientNorm


@dataclass(frozen=True)
class GraSP(GradientNorm):
    r"""Rates weights so that the gradient is largest after the cut, from the `"Picking
    Winning Tickets Before Training by Preserving Gradient Flow"
    <https://arxiv.org/abs/2002.07376>`_ paper.

    GraSP is :class:`~gsparse.prune.GradientNorm` with the logits divided by 200,
    applied once, before training; the importance is :math:`\theta_i (Hg)_i`. See there
    for the derivation and the arguments.

    **When to use it.** If the sparse model has to be known before it is trained, to
    compare with :class:`~gsparse.prune.SNIP`.

    **When not to use it.** If a dense training is affordable:
    :class:`~gsparse.prune.Magnitude` on trained weights keeps more accuracy. At high
    sparsity one cut can remove all weights of a layer; :class:`~gsparse.prune.SynFlow`
    avoids this.

    **Cost.** One Hessian-gradient product per cut, about two backward passes. Memory is
    that of a backward pass whose graph is kept.

    In contrast to the paper, which draws a balanced sample, the loss is that of all
    training nodes. Classes should weigh the same in it: ``cross_entropy(..., weight=1 /
    counts)`` where labels are unbalanced.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from torch.nn.functional import cross_entropy
        >>> from gsparse.data import random_graph
        >>> from gsparse.prune import GraSP, Pruner
        >>> data = random_graph(num_nodes=20, p=0.2, seed=7)
        >>> model = GCN(data.num_features, 16, num_layers=2, out_channels=4)
        >>> weight = 1 / data.y.bincount(minlength=4).clamp(min=1)
        >>> def loss():
        ...     return cross_entropy(model(data.x, data.edge_index), data.y, weight)
        >>> Pruner(model, GraSP(loss), sparsity=0.75).report().num_kept
        32
    """

    when = "fresh"

    temperature: float = 200.0

"""LAMP: magnitudes that can be compared between layers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gsparse.prune.criteria.criterion import Criterion
from gsparse.prune.masks import WeightMasks


def lamp_importances(weight: Tensor) -> Tensor:
    r"""Return the share of a weight in the squares of all that are not smaller:
    :math:`w_i^2 / \sum_{|w_j| \geq |w_i|} w_j^2`, in float64; 0 for zeros.

    Shapes:
        - **weight**, **output:** any shape, the same

    Example:
        >>> import torch
        >>> from gsparse.prune.criteria.lamp import lamp_importances
        >>> lamp_importances(torch.tensor([1.0, -2.0, 2.0, 0.0]))
        tensor([0.1111, 0.5000, 0.5000, 0.0000], dtype=torch.float64)
    """
    size = weight.double().abs().flatten()
    largest = size.max() if size.numel() else size.new_ones(())
    if not largest.isfinite():  # as in Magnitude, NaN is refused and infinity stays
        return size.view(weight.shape)
    squares = (size / largest.clamp(min=torch.finfo(size.dtype).tiny)).square()
    ordered = squares.sort().values
    total = ordered.flip(0).cumsum(0).flip(0)  # of this square and all behind it
    above = total[torch.searchsorted(ordered, squares)]
    return torch.where(squares > 0, squares / above, 0.0).view(weight.shape)


@dataclass(frozen=True)
class LAMP(Criterion):
    r"""Rates weights by their share in the larger weights of their layer, from the
    `"Layer-adaptive sparsity for the Magnitude-based Pruning"
    <https://arxiv.org/abs/2010.07611>`_ paper.

    .. math::
        \frac{w_i^2}{\sum_{j: |w_j| \geq |w_i|} w_j^2}

    Within a layer this keeps the weights of largest magnitude. Between layers it gives
    each its own sparsity without a setting; a weight that is larger than all others of
    its layer has importance 1 and is removed last.

    **When to use it.** With ``scope="global"``, if layers of different width or scale
    are pruned together.

    **When not to use it.** With ``scope="local"`` or for a single layer: for single
    weights it equals :class:`~gsparse.prune.Magnitude` there, which is cheaper.

    **Cost.** One sort of each layer per cut. Memory is one number per weight.

    In contrast to the paper, equal magnitudes have equal importances. A group is rated
    by the mean over its weights.

    Example:
        >>> import torch
        >>> from gsparse.prune import LAMP, Pruner
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Linear(1, 2))
        >>> model[0].weight.data = torch.tensor([[100.0, 90.0]])
        >>> model[1].weight.data = torch.tensor([[0.1], [0.2]])
        >>> pruner = Pruner(model, LAMP(), sparsity=0.5, targets="weight")
        >>> [pruner.masks[name].flatten().tolist() for name in pruner.masks.targets]
        [[True, False], [False, True]]
    """

    def importances(self, masks: WeightMasks) -> dict[str, Tensor]:
        return {
            name: lamp_importances(weight.masked_fill(~masks[name], 0.0))
            for name, weight in masks.weights().items()
        }

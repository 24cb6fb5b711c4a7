"""Merge the averaged attention heads of an output layer."""

import copy
from typing import Any

import torch
from torch.nn import Module

from gsparse.compaction.compact import compact
from gsparse.prune import Heads, Magnitude, Pruner


def with_output_heads(
    model: Module, example: tuple[Any, ...], output_heads: int
) -> Module:
    r"""Return a copy of a GAT whose output layer averages over fewer heads.

    Each head costs a softmax over the edges. Neighbouring heads :math:`h` are merged
    into one: their maps are averaged, and the attention vectors are fitted to the mean
    of their scores by least squares,

    .. math::
        \bar W = \frac{1}{n} \sum_h W_h, \qquad
        \bar a = \arg\min_a \|\bar W^\top a - \frac{1}{n} \sum_h W_h^\top a_h\|^2

    Equal heads give the same outputs. Keeping the largest head and dropping the others
    is worse: after fine-tuning, 78.2 and 76.2 % of PubMed's validation nodes instead of
    80.8 and 80.2 (seeds 100 and 101, a trial).

    Args:
        model: A trained model with a list ``layers``, whose last layer averages over
            its heads; not changed.
        example: Arguments of the model.
        output_heads: Number of heads to keep, a divisor of the present number.

    Raises:
        ValueError: If ``output_heads`` is no divisor.
    """
    layers: Any = model.layers
    old, last, heads = layers[-1], len(layers) - 1, layers[-1].heads
    if output_heads < 1 or heads % output_heads:
        raise ValueError(
            f"'output_heads' must divide the {heads} there are (got {output_heads})"
        )
    small = copy.deepcopy(model)
    Pruner(
        small,
        Magnitude(),
        sparsity=1 - output_heads / heads,
        structure=Heads(heads),
        targets=rf"layers\.{last}\.(lin|att)",  # the bias is that of the mean
    )
    small = compact(small, example)
    new: Any = small.layers[-1]  # type: ignore[index]
    with torch.no_grad():
        shape = (output_heads, heads // output_heads, old.out_channels, -1)
        weight = old.lin.weight.view(shape)
        mean = weight.mean(1)
        new.lin.weight.copy_(mean.flatten(0, 1))
        for name in ("att_src", "att_dst"):
            att = getattr(old, name).view(*shape[:3], 1)
            wanted = (weight * att).sum(2).mean(1)
            found = torch.linalg.lstsq(mean.mT, wanted.unsqueeze(2)).solution
            getattr(new, name).copy_(found.squeeze(2).unsqueeze(0))
    return small

"""SynFlow: prune without data, a little at a time, so that no layer runs dry."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import Module
from torch.utils._pytree import tree_map

from gsparse.nn.evaluating import evaluating
from gsparse.prune.pruner import ScoredPruner
from gsparse.prune.schedule import Schedule
from gsparse.prune.select import Scope
from gsparse.prune.structured.select_groups import Protect
from gsparse.prune.structured.structures import Structure
from gsparse.prune.targets import Selector


def syn_flow_scores(
    model: Module, example: tuple[Any, ...], parameters: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    r"""The synaptic flow :math:`|\theta_i| \, \partial R / \partial |\theta_i|` of
    every weight, where :math:`R` sums what the model makes of ones when its weights are
    :math:`|\theta|` and its biases 0.

    The model is not changed: it is called with other parameters.

    Args:
        model: What ``parameters`` belong to.
        example: Arguments of the model; of the first one only the shape counts.
        parameters: Its weights to score, by their names in it.

    Raises:
        ValueError: If :math:`R` is not finite, falls where a weight grows, or does not
            depend on any.

    Example:
        One path of weights 2 and 3, one of 1 and -1.

        >>> import torch
        >>> from torch.nn import Linear, ReLU, Sequential
        >>> from gsparse.prune.criteria.syn_flow import syn_flow_scores
        >>> model = Sequential(Linear(1, 2), ReLU(), Linear(2, 1))
        >>> _ = model[0].weight.data.copy_(torch.tensor([[2.0], [1.0]]))
        >>> _ = model[2].weight.data.copy_(torch.tensor([[3.0, -1.0]]))
        >>> weights = {"2.weight": model[2].weight}
        >>> syn_flow_scores(model, (torch.zeros(1, 1),), weights)
        {'2.weight': tensor([[6., 1.]])}
    """
    linear = {name: _positive(name, p) for name, p in model.named_parameters()}
    linear |= {
        name: torch.zeros_like(b)
        for name, b in model.named_buffers()
        if name.split(".")[-1] == "running_mean"
    }
    leaves = {name: linear[name].requires_grad_() for name in parameters}
    first, *others = example
    with evaluating(model), torch.enable_grad():
        out = functional_call(model, linear, (tree_map(_ones, first), *others))
        if not isinstance(out, Tensor):
            raise TypeError(
                f"{type(model).__name__} must return a tensor for SynFlow "
                f"(got {type(out).__name__})"
            )
        flow = out.sum()
    if not bool(torch.isfinite(flow)):
        raise ValueError(
            f"the flow through 'model' must be finite (got {flow.item()}); "
            "use model.double()"
        )
    found: tuple[Tensor | None, ...] = (None,) * len(leaves)
    if flow.requires_grad:
        found = torch.autograd.grad(flow, list(leaves.values()), allow_unused=True)
    scores = {
        name: torch.zeros_like(leaf) if gradient is None else leaf.detach() * gradient
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
    }
    _check(scores, float(flow.detach()), model)
    return scores


def _positive(name: str, parameter: Tensor) -> Tensor:
    value = parameter.detach().abs()
    return torch.zeros_like(value) if name.split(".")[-1] == "bias" else value


def _ones(value: Any) -> Any:  # noqa: ANN401 (a leaf of the model's arguments)
    if isinstance(value, Tensor) and value.is_floating_point():
        return torch.ones(value.shape, dtype=value.dtype, device=value.device)
    return value


def _check(scores: Mapping[str, Tensor], flow: float, model: Module) -> None:
    """The flow must grow with the weights; rounding apart, no score is negative."""
    if sum(float(score.abs().sum()) for score in scores.values()) <= 1e-6 * abs(flow):
        raise ValueError(
            f"some flow must go through the targeted weights of {type(model).__name__} "
            "(got none): what is left of the model is no path from its input to its "
            "output, 'targets' are not on one, or it ends in a softmax"
        )
    lowest = min(float(score.min()) for score in scores.values())
    highest = max(float(score.max()) for score in scores.values())
    if lowest < -1e-4 * abs(highest):
        raise ValueError(
            f"the flow through {type(model).__name__} must grow with its weights "
            f"(got scores from {lowest:.3g} to {highest:.3g}); give 'model' without "
            "layers that subtract a mean, such as LayerNorm"
        )


class SynFlow(ScoredPruner):
    r"""Removes the weights that carry least synaptic flow, without looking at data,
    from the `"Pruning neural networks without any data by iteratively conserving
    synaptic flow" <https://arxiv.org/abs/2006.05467>`_ paper.

    .. math::
        R = \mathbf{1}^\top f_{|\theta|}(\mathbf{1}), \qquad
        s_i = |\theta_i| \, \frac{\partial R}{\partial |\theta_i|}

    The scores of a layer sum to :math:`R` in every layer of a ReLU network without
    biases, so a small layer's weights have large scores. Cutting in many rounds, the
    density falling geometrically, rescores what is left, and no layer is emptied while
    another one can give: what one-shot scores do at high sparsity.

    Meant for models that are not trained yet. The graph counts through the example's
    other arguments, features and labels do not: a weight of a feature that no node has
    scores like any other. In a GAT layer equal features give uniform attention, so its
    attention vectors have flow 0. Biases are 0 here, as in the paper's formula, and so
    are the means of batch normalisation. Costs one forward and backward pass a round.
    With a structure a group counts by its mean flow a weight.

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        example: Arguments of the model; of the features only the shape counts.
        num_rounds: Cuts on the way to a sparsity.
        schedule: A function of the step; ``None`` prunes at once. Every step of it
            takes all the rounds.
        scope: ``"global"``, ``"local"`` or ``"erk"``.
        exclude: As for :func:`~gsparse.prune.find_targets`.
        targets: As for :func:`~gsparse.prune.find_targets`.
        structure: As for :class:`~gsparse.prune.ScoredPruner`.
        protect: As for :class:`~gsparse.prune.ScoredPruner`.

    Raises:
        ValueError: If the sparsity is out of range, nothing is left to prune, or the
            flow falls where a weight grows.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.data import random_graph
        >>> from gsparse.prune import SynFlow
        >>> data = random_graph(num_nodes=20, p=0.2, seed=7)
        >>> model = GCN(data.num_features, 16, num_layers=3, out_channels=4)
        >>> example = (data.x, data.edge_index)
        >>> pruner = SynFlow(model, sparsity=0.99, example=example)
        >>> [layer.num_kept > 0 for layer in pruner.report().layers]
        [True, True]
    """

    def __init__(
        self,
        model: Module,
        sparsity: float,
        example: tuple[Any, ...],
        num_rounds: int = 100,
        schedule: Schedule | None = None,
        scope: Scope = "global",
        exclude: Iterable[Selector] | Selector = (),
        targets: Iterable[Selector] | Selector | None = None,
        structure: Structure | None = None,
        protect: Protect | None = None,
    ) -> None:
        if num_rounds < 1:
            raise ValueError(f"'num_rounds' must be at least 1 (got {num_rounds})")
        self.example, self.num_rounds = checked_example(example), num_rounds
        super().__init__(
            model, sparsity, schedule, scope, exclude, targets, structure, protect
        )

    def scores(self) -> dict[str, Tensor]:
        """The flow through what is left."""
        return syn_flow_scores(self.model, self.example, self.masks.parameters())

    def prune(self, sparsity: float) -> None:
        """Remove weights in rounds, each the same share of what is left."""
        start, end = 1 - self.reached, 1 - sparsity
        for k in range(1, self.num_rounds):
            super().prune(1 - start * (end / start) ** (k / self.num_rounds))
        super().prune(sparsity)


def checked_example(example: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse what is no tuple of arguments, such as a single tensor."""
    if not isinstance(example, tuple) or not example:
        raise TypeError(
            "'example' must be the tuple of the model's arguments, (x, edge_index) "
            f"(got {type(example).__name__})"
        )
    return example

"""SynFlow: importances without data, and cuts in many rounds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import Module
from torch.utils._pytree import tree_map

from gsparse.nn.evaluating import evaluating
from gsparse.prune.criteria.criterion import Criterion
from gsparse.prune.masks import WeightMasks


def syn_flow_importances(
    model: Module, example: tuple[Any, ...], parameters: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    r"""Return the synaptic flow :math:`|\theta_i| \, \partial R / \partial |\theta_i|`
    of every weight, where :math:`R` is the sum of the model's outputs for inputs of
    ones, with weights :math:`|\theta|` and biases 0.

    The model is not changed: it is called with other parameters.

    Args:
        model: The model that ``parameters`` belong to.
        example: Arguments of the model; only the shape of the first one matters.
        parameters: Weights to rate, by their names in the model.

    Raises:
        ValueError: If :math:`R` is not finite, falls where a weight grows, or does not
            depend on any weight.

    Example:
        One path of weights 2 and 3, one of 1 and -1.

        >>> import torch
        >>> from torch.nn import Linear, ReLU, Sequential
        >>> from gsparse.prune.criteria.syn_flow import syn_flow_importances
        >>> model = Sequential(Linear(1, 2), ReLU(), Linear(2, 1))
        >>> _ = model[0].weight.data.copy_(torch.tensor([[2.0], [1.0]]))
        >>> _ = model[2].weight.data.copy_(torch.tensor([[3.0, -1.0]]))
        >>> weights = {"2.weight": model[2].weight}
        >>> syn_flow_importances(model, (torch.zeros(1, 1),), weights)
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
    importances = {
        name: torch.zeros_like(leaf) if gradient is None else leaf.detach() * gradient
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
    }
    _check(importances, float(flow.detach()), model)
    return importances


def _positive(name: str, parameter: Tensor) -> Tensor:
    value = parameter.detach().abs()
    return torch.zeros_like(value) if name.split(".")[-1] == "bias" else value


def _ones(value: Any) -> Any:  # noqa: ANN401 (a leaf of the model's arguments)
    if isinstance(value, Tensor) and value.is_floating_point():
        return torch.ones(value.shape, dtype=value.dtype, device=value.device)
    return value


def _check(importances: Mapping[str, Tensor], flow: float, model: Module) -> None:
    """Refuse no flow at all, and importances that are negative beyond rounding."""
    if sum(float(it.abs().sum()) for it in importances.values()) <= 1e-6 * abs(flow):
        raise ValueError(
            f"some flow must go through the targeted weights of {type(model).__name__} "
            "(got none): what is left of the model is no path from its input to its "
            "output, 'targets' are not on one, or it ends in a softmax"
        )
    lowest = min(float(it.min()) for it in importances.values())
    highest = max(float(it.max()) for it in importances.values())
    if lowest < -1e-4 * abs(highest):
        raise ValueError(
            f"the flow through {type(model).__name__} must grow with its weights "
            f"(got importances from {lowest:.3g} to {highest:.3g}); give 'model' "
            "without layers that subtract a mean, such as LayerNorm"
        )


@dataclass(frozen=True, eq=False)
class SynFlow(Criterion):
    r"""Rates weights by the synaptic flow that they carry, without looking at data,
    from the `"Pruning neural networks without any data by iteratively conserving
    synaptic flow" <https://arxiv.org/abs/2006.05467>`_ paper.

    .. math::
        R = \mathbf{1}^\top f_{|\theta|}(\mathbf{1}), \qquad
        s_i = |\theta_i| \, \frac{\partial R}{\partial |\theta_i|}

    The importances of every layer of a ReLU network without biases sum to :math:`R`, so
    the weights of a small layer have large ones. Each cut is made in many rounds, in
    which the density falls geometrically and the remaining weights are rated again; so
    no layer is emptied while another one has weights to give, which happens with
    one-shot importances at high sparsity.

    The graph enters through the other arguments of ``example``; features and labels do
    not: the weight of a feature that no node has is rated like any other. In a GAT
    layer equal features give uniform attention, so its attention vectors have flow 0.
    Biases and the means of batch normalization are taken as 0, as in the paper's
    formula. A group is rated by its mean flow per weight.

    **When to use it.** On untrained models of several layers at high sparsity, if no
    layer may be emptied, or without data.

    **When not to use it.** On the wide first layer of a GNN whose features are bags of
    words: most inputs are zero on most nodes, which it does not see. On trained weights
    use :class:`~gsparse.prune.Magnitude`.

    **Cost.** One forward and backward pass per round, of which each cut has many.
    Memory is one gradient per weight.

    Args:
        example: Arguments of the model; only the shape of the features matters.
        num_rounds: Rounds of each cut, also of those of a schedule.

    Raises:
        TypeError: If ``example`` is not a tuple.
        ValueError: If there is no round. When weights are rated, if the flow is not
            finite or falls where a weight grows.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.data import random_graph
        >>> from gsparse.prune import Pruner, SynFlow
        >>> data = random_graph(num_nodes=20, p=0.2, seed=7)
        >>> model = GCN(data.num_features, 16, num_layers=3, out_channels=4)
        >>> criterion = SynFlow(example=(data.x, data.edge_index))
        >>> pruner = Pruner(model, criterion, sparsity=0.99)
        >>> [layer.num_kept > 0 for layer in pruner.report().layers]
        [True, True]
    """

    when = "fresh"
    needs = ("example",)

    example: tuple[Any, ...] = field(repr=False)
    num_rounds: int = 100

    def __post_init__(self) -> None:
        check_example(self.example)
        if self.num_rounds < 1:
            raise ValueError(f"'num_rounds' must be at least 1 (got {self.num_rounds})")

    def importances(self, masks: WeightMasks) -> dict[str, Tensor]:
        return syn_flow_importances(masks.model, self.example, masks.parameters())

    def rounds(self, reached: float, sparsity: float) -> Iterable[float]:
        """Return sparsities at which each round removes the same share of the rest."""
        start, end = 1 - reached, 1 - sparsity
        for k in range(1, self.num_rounds):
            yield 1 - start * (end / start) ** (k / self.num_rounds)
        yield sparsity


def check_example(example: tuple[Any, ...]) -> None:
    """Refuse what is not a tuple of arguments, such as a single tensor."""
    if not isinstance(example, tuple) or not example:
        raise TypeError(
            "'example' must be the tuple of the model's arguments, (x, edge_index) "
            f"(got {type(example).__name__})"
        )

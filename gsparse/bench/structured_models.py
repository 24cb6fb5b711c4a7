"""Ways of a trained model to a smaller shape, and the training after it."""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.structured_shapes import HiddenUnits, Shape, even_units
from gsparse.compaction import compact
from gsparse.compaction.reconstruct import reconstruct
from gsparse.prune import (
    CubicSchedule,
    Heads,
    Magnitude,
    Pruner,
    WeightMasks,
    WeightPruner,
)
from gsparse.prune.learned.admm import ADMM
from gsparse.prune.structured.groups import expand, group_means
from gsparse.train import FitConfig, History, evaluate, fit

DENSE, SMALL, UNSTRUCTURED, RANDOM = "Dense", "Small", "Magnitude", "RandomWeight"
AT_ONCE, GRADUAL, ANSWERED = "Structured", "Structured+cubic", "Structured+U"
STRUCTURED = (AT_ONCE, GRADUAL, ANSWERED, "ADMM")
"""Ways to the same structure, of which one is to be chosen by validation."""

METHODS = (DENSE, SMALL, UNSTRUCTURED, *STRUCTURED, RANDOM)

GRADUAL_EPOCHS, ADMM_EVERY, ADMM_UPDATES = 150, 20, 10
"""Epochs of a schedule, and of the updates; half of a shorter training."""


class EvenADMM(ADMM):
    """ADMM towards weights of a shape: the sets that it projects on are rectangles.

    Args:
        model: As for :class:`~gsparse.prune.ADMM`.
        shape: What is left.
        heads: Of the model.
        **options: As for :class:`~gsparse.prune.ADMM`; one structure.
    """

    def __init__(
        self,
        model: Module,
        shape: Shape,
        heads: int,
        **options: Any,  # noqa: ANN401 (as above)
    ) -> None:
        self.shape, self.heads = shape, heads
        super().__init__(model, **options)

    def _support(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        groups = self.structures[0].groups(weights)
        scores = group_means(
            {name: w.detach() ** 2 for name, w in weights.items()}, groups
        )
        return expand(
            even_units(scores.view(self.heads, -1), self.shape).view(-1), groups
        )


class Trained(NamedTuple):
    """A model after its last training, with masks or without."""

    model: Module
    history: History | None
    facts: dict[str, float]
    """Scores before that training."""


def prune_units(
    method: str,
    dense: Module,
    data: Data,
    example: tuple[Any, ...],
    shape: Shape,
    settings: FitConfig,
    seed: int,
    final: bool = True,
) -> Trained:
    """Take a trained model to a shape, and train on what is left.

    Args:
        method: One of :data:`STRUCTURED`, or the random one.
        dense: The trained model; not changed.
        data: The graph.
        example: Arguments of the model.
        shape: What is left of its hidden layer, and of the heads of the output layer.
        settings: Of the training after the units are gone, or while they go.
        seed: Of dropout, and of random units.
        final: Whether test nodes are scored.
    """
    if shape.output_heads is not None:
        dense = with_output_heads(dense, example, shape.output_heads)
    model = copy.deepcopy(dense)
    units = HiddenUnits.of(model, example)
    heads = units.group.heads
    options: dict[str, Any] = {"targets": units.targets, "structure": units.structure}
    sparsity = 1 - shape.num_units / units.group.size
    whole = settings.epochs // 2
    pruner: WeightPruner
    if method == "ADMM":
        updates = min(ADMM_UPDATES, whole)
        every = min(ADMM_EVERY, whole // updates)
        options |= {"every": every, "num_updates": updates, "sparsity": sparsity}
        pruner = EvenADMM(model, shape, heads, **options)
        return Trained(model, _fit(model, data, settings, seed, pruner), {})
    scores = units.scores(model, seed if method == RANDOM else None)
    keep = even_units(scores, shape).view(-1)
    if method == ANSWERED:
        _answer(model, units, keep, example)
    schedule = (
        CubicSchedule(0, min(GRADUAL_EPOCHS, whole)) if method == GRADUAL else None
    )
    pruner = Pruner(
        model,
        Magnitude(),
        sparsity=sparsity,
        schedule=schedule,
        protect=keep,
        **options,
    )
    facts = {}
    if schedule is None:
        names = ("val_pruned", "test_pruned")
        facts = scores_of(model, data, settings.metric, final, names)
    return Trained(model, _fit(model, data, settings, seed, pruner), facts)


def with_output_heads(
    dense: Module, example: tuple[Any, ...], output_heads: int
) -> Module:
    r"""Fewer heads in an output layer that takes the mean over them.

    Each head costs a softmax over the edges. Neighbouring heads :math:`h` become one,
    with the mean of their maps and, as nearly as it can, of their scores:

    .. math::
        \bar W = \frac{1}{n} \sum_h W_h, \qquad
        \bar a = \arg\min_a \|\bar W^\top a - \frac{1}{n} \sum_h W_h^\top a_h\|^2

    Equal heads give the same outputs. To keep the largest head and drop the others is
    worse: trained on, 78.2 and 76.2 % of PubMed's validation nodes in place of 80.8 and
    80.2 (seeds 100 and 101, a trial).

    Args:
        dense: The trained model, with ``layers``; not changed.
        example: Arguments of the model.
        output_heads: How many are left, a divisor of those there are.

    Raises:
        ValueError: If it is none.
    """
    layers: Any = dense.layers
    old, last, heads = layers[-1], len(layers) - 1, layers[-1].heads
    if output_heads < 1 or heads % output_heads:
        raise ValueError(
            f"'output_heads' must divide the {heads} there are (got {output_heads})"
        )
    model = copy.deepcopy(dense)
    Pruner(
        model,
        Magnitude(),
        sparsity=1 - output_heads / heads,
        structure=Heads(heads),
        targets=rf"layers\.{last}\.(lin|att)",
    )
    model = compact(model, example)
    new: Any = model.layers[-1]  # type: ignore[index]
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
    return model


def _fit(
    model: Module, data: Data, settings: FitConfig, seed: int, pruner: WeightPruner
) -> History:
    history = fit(model, data, config=settings, seed=seed, pruner=pruner)
    pruner.finalize()
    return history


def _answer(
    model: Module, units: HiddenUnits, keep: Tensor, example: tuple[Any, ...]
) -> None:
    """Let the units that stay stand in, in the layer above, for those that go."""
    wanted = units.masks(model, keep)
    masks = WeightMasks(model, targets=lambda name, _: name in wanted)
    masks.set(wanted)
    reconstruct(masks, example, names=sorted(units.read_by))
    masks.make_permanent()


def prune_weights(
    dense: Module, data: Data, num_left: int, settings: FitConfig, seed: int
) -> Trained:
    """Remove single weights of all linear maps until so many parameters are left.

    Args:
        dense: The trained model; not changed.
        data: The graph.
        num_left: Parameters to keep, biases and attention vectors among them.
        settings: Of the training after it.
        seed: Of dropout.
    """
    model = copy.deepcopy(dense)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    weights = {name for name in sizes if name.endswith("weight")}
    gone = sum(sizes.values()) - num_left
    sparsity = gone / sum(sizes[name] for name in weights)
    pruner = Pruner(
        model, Magnitude(), sparsity=sparsity, targets=lambda name, _: name in weights
    )
    return Trained(model, _fit(model, data, settings, seed, pruner), {})


def scores_of(
    model: Module, data: Data, metric: str, final: bool, names: tuple[str, str]
) -> dict[str, float]:
    """Scores of the validation nodes and, in the end, of the test nodes, by names."""
    masks = ("val_mask", "test_mask") if final else ("val_mask",)
    return {
        name: evaluate(model, data, mask, metric)
        for name, mask in zip(names, masks, strict=False)
    }

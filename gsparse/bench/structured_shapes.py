"""Which hidden units are left: as many in every head, for so many multiply-adds."""

import copy
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.compaction import ChannelGroup, channel_groups, multiply_adds
from gsparse.prune import Magnitude, Pruner, RandomWeight
from gsparse.prune.structured.structures import Units
from gsparse.train import Recipe


class Shape(NamedTuple):
    """What is left: so many heads of the hidden layer, each so wide."""

    heads: int
    width: int
    output_heads: int | None = None
    """Heads of the output layer, which are averaged; None for the recipe's own."""

    @property
    def num_units(self) -> int:
        """All units of the layer."""
        return self.heads * self.width

    def of(self, recipe: Recipe) -> Recipe:
        """The recipe of a model that has this shape from the start."""
        sizes = {"hidden_channels": self.width}
        if recipe.model == "gat":
            sizes["heads"] = self.heads
        if self.output_heads is not None:
            sizes["output_heads"] = self.output_heads
        return replace(recipe, options=recipe.options | sizes)


def most_units(total: int, rest: int, each: int, fewer: float) -> int:
    """The most hidden units with so many times fewer multiply-adds.

    Each hidden unit costs the same: a row of the map that makes it, the edges, a column
    of the map that reads it.

    Args:
        total: Multiply-adds of the model.
        rest: What there is without hidden units.
        each: What a hidden unit costs.
        fewer: How many times fewer.

    Raises:
        ValueError: If not one unit can be left.

    Example:
        >>> from gsparse.bench.structured_shapes import most_units
        >>> most_units(total=1040, rest=40, each=10, fewer=4.0)
        22
    """
    found = int((total / fewer - rest) / each + 1e-9)
    if found < 1:
        raise ValueError(
            f"'fewer' must leave a hidden unit (got {fewer}); without any there are "
            f"{total / rest:.1f} times fewer multiply-adds"
        )
    return found


def fewest_heads(most: int, heads: int, width: int) -> Shape:
    r"""At most so many units in the fewest heads that hold them.

    A smaller attention layer has as many channels in every head, so only rectangles can
    be left, and each head costs a softmax over the edges, however narrow it is.

    Args:
        most: The most units that may be left.
        heads: Of the model; 1 for layers without.
        width: Of each head.

    Example:
        >>> from gsparse.bench.structured_shapes import fewest_heads
        >>> fewest_heads(14, heads=8, width=8)[:2], fewest_heads(62, 1, width=256)[:2]
        ((2, 7), (1, 62))
    """
    count = min(-(-most // width), heads)
    return Shape(count, min(most // count, width))


def even_units(scores: Tensor, shape: Shape) -> Tensor:
    r"""Which units stay: the best of each head, of the heads where these are best.

    Shapes:
        - **scores**, **output:** :math:`(H, C)`

    Example:
        >>> import torch
        >>> from gsparse.bench.structured_shapes import Shape, even_units
        >>> even_units(torch.tensor([[9.0, 1.0], [4.0, 5.0], [6.0, 7.0]]), Shape(2, 1))
        tensor([[ True, False],
                [False, False],
                [False,  True]])
    """
    order = scores.argsort(dim=1, descending=True, stable=True)[:, : shape.width]
    inside = torch.zeros_like(scores, dtype=torch.bool).scatter(1, order, True)
    totals = scores.masked_fill(~inside, 0.0).sum(1)
    heads = totals.argsort(descending=True, stable=True)[: shape.heads]
    keep = torch.zeros_like(inside)
    keep[heads] = inside[heads]
    return keep


@dataclass(frozen=True)
class HiddenUnits:
    """The hidden units of a two-layer model, traced on an example."""

    group: ChannelGroup

    @classmethod
    def of(cls, model: Module, example: tuple[Any, ...]) -> "HiddenUnits":
        """Trace a model.

        Raises:
            ValueError: If it has more or fewer than one group of them.
        """
        groups = channel_groups(model, example)
        found = [it for it in groups if it.kind == "hidden" and not it.fixed]
        if len(found) != 1:
            raise ValueError(
                f"the model must have one hidden layer (got {len(found)}); the shape "
                "of several is not searched for"
            )
        return cls(found[0])

    @property
    def structure(self) -> Units:
        """All that makes a unit goes with it."""
        return Units([self.group])

    @property
    def made_by(self) -> set[str]:
        """Weights, biases and attention vectors: a bias left over is a unit left."""
        return {it.parameter for it in self.group.producers}

    @property
    def read_by(self) -> set[str]:
        """Weights of the layer above."""
        return {it.parameter for it in self.group.consumers}

    def scores(self, model: Module, seed: int | None = None) -> Tensor:
        """Mean squares of the weights of every unit, or random numbers: ``[H, C]``."""
        probe = Pruner(
            copy.deepcopy(model),
            Magnitude() if seed is None else RandomWeight(seed),
            sparsity=0.0,
            structure=self.structure,
            targets=self.targets,
        )
        return probe.group_importances().view(self.group.heads, -1)

    def targets(self, name: str, parameter: Tensor) -> bool:
        """Selects what makes the units."""
        return name in self.made_by

    def masks(self, model: Module, keep: Tensor) -> dict[str, Tensor]:
        """Masks of all that makes or reads a unit."""
        found: dict[str, Tensor] = {}
        for member in (*self.group.producers, *self.group.consumers):
            parameter = model.get_parameter(member.parameter)
            mask = found.setdefault(
                member.parameter, torch.ones_like(parameter, dtype=torch.bool)
            )
            rows = member.rows(mask, self.group.size)
            rows.logical_and_(keep.view(-1, *[1] * (rows.dim() - 1)))
        return found


def shape_for(
    model: Module,
    recipe: Recipe,
    data: Data,
    example: tuple[Any, ...],
    fewer: float,
    output_heads: int | None = None,
) -> Shape:
    """The widest shape with so many times fewer multiply-adds, in the fewest heads.

    Args:
        model: Of the recipe.
        recipe: Builds it.
        data: The graph.
        example: Arguments of the model.
        fewer: How many times fewer.
        output_heads: Heads left in the output layer; None for all of them.
    """
    group = HiddenUnits.of(model, example).group
    size, heads = group.size, group.heads
    whole = Shape(heads, size // heads, output_heads)
    half = whole._replace(width=size // heads // 2)
    all_units, fewer_units = (
        multiply_adds(it.of(recipe).build(data, 0), example) for it in (whole, half)
    )
    each, left = divmod(all_units - fewer_units, size - half.num_units)
    assert left == 0  # all units cost the same
    total = multiply_adds(model, example)
    most = most_units(total, all_units - each * size, each, fewer)
    found = fewest_heads(most, heads, size // heads)
    return found._replace(output_heads=output_heads)

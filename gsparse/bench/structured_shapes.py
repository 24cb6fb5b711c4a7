"""The widest shape of a hidden layer with a given number of multiply-adds."""

from dataclasses import replace
from typing import Any, NamedTuple

from torch.nn import Module
from torch_geometric.data import Data

from gsparse.compaction import HiddenUnits, multiply_adds
from gsparse.train import Recipe


class Shape(NamedTuple):
    """The shape of a smaller hidden layer: the number of heads and their width."""

    heads: int
    width: int
    output_heads: int | None = None
    """Number of averaged heads of the output layer; None for the recipe's own."""

    @property
    def num_units(self) -> int:
        """Number of units of the layer."""
        return self.heads * self.width

    def of(self, recipe: Recipe) -> Recipe:
        """Return the recipe of a model that has this shape from the start."""
        sizes = {"hidden_channels": self.width}
        if recipe.model == "gat":
            sizes["heads"] = self.heads
        if self.output_heads is not None:
            sizes["output_heads"] = self.output_heads
        return replace(recipe, options=recipe.options | sizes)


def most_units(total: int, rest: int, each: int, fewer: float) -> int:
    """Return the largest number of hidden units for a reduction of multiply-adds.

    Each hidden unit costs the same: a row of the map that makes it, the edges, and a
    column of the map that reads it.

    Args:
        total: Multiply-adds of the model.
        rest: Multiply-adds of the model without hidden units.
        each: Multiply-adds of one hidden unit.
        fewer: Factor by which multiply-adds are reduced at least.

    Raises:
        ValueError: If not a single unit can be left.

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
    r"""Return the shape that holds the most units in as few heads as possible.

    A smaller attention layer has as many channels in every head, so only rectangles can
    be left, and each head costs a softmax over the edges, however narrow it is.

    Args:
        most: Maximum number of units.
        heads: Heads of the model; 1 for layers without heads.
        width: Units of each head.

    Example:
        >>> from gsparse.bench.structured_shapes import fewest_heads
        >>> fewest_heads(14, heads=8, width=8)[:2], fewest_heads(62, 1, width=256)[:2]
        ((2, 7), (1, 62))
    """
    count = min(-(-most // width), heads)
    return Shape(count, min(most // count, width))


def shape_for(
    model: Module,
    recipe: Recipe,
    data: Data,
    example: tuple[Any, ...],
    fewer: float,
    output_heads: int | None = None,
) -> Shape:
    """Return the widest shape for a reduction of multiply-adds, in the fewest heads.

    Args:
        model: The dense model, built by the recipe.
        recipe: The recipe.
        data: The graph.
        example: Arguments of the model.
        fewer: Factor by which multiply-adds are reduced at least.
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

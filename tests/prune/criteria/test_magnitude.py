"""Magnitude keeps the largest absolute values; RandomWeight keeps random ones."""

import pytest
import torch
from torch.nn import Linear, Sequential

from gsparse.prune import Columns, Magnitude, Pruner, RandomWeight, Rows


def two_layers(seed=33287):
    """Layers of 6 x 5 and 4 x 6 weights whose negative ones are the larger."""
    torch.manual_seed(seed)
    model = Sequential(Linear(5, 6), Linear(6, 4))
    with torch.no_grad():
        for layer in model:
            layer.weight.sub_(0.2)
    return model, {"targets": "weight"}


def weights_of(model):
    return {f"{i}.weight": layer.weight.tolist() for i, layer in enumerate(model)}


def largest(entries, k):
    """The places of the k largest numbers of a dict."""
    return set(sorted(entries, key=entries.get)[-k:])


def kept_by(pruner):
    return {
        (name, row, column)
        for name in pruner.masks.targets
        for row, column in pruner.masks[name].nonzero().tolist()
    }


@pytest.mark.parametrize("sparsity", [0.2, 0.5, 0.9])
def test_the_largest_absolute_values_stay(sparsity):
    model, options = two_layers()
    sizes = {
        (name, i, j): abs(value)
        for name, rows in weights_of(model).items()
        for i, row in enumerate(rows)
        for j, value in enumerate(row)
    }
    assert any(value < 0 for rows in weights_of(model).values() for value in rows[0])
    pruner = Pruner(model, Magnitude(), sparsity=sparsity, **options)
    assert kept_by(pruner) == largest(sizes, 54 - round(sparsity * 54))


def test_in_each_layer_the_largest_absolute_values_stay():
    model, options = two_layers()
    expected = set()
    for name, rows in weights_of(model).items():
        sizes = {
            (name, i, j): abs(value)
            for i, row in enumerate(rows)
            for j, value in enumerate(row)
        }
        expected |= largest(sizes, len(sizes) // 2)
    assert (
        kept_by(Pruner(model, Magnitude(), sparsity=0.5, scope="local", **options))
        == expected
    )


@pytest.mark.parametrize("structure", [Rows(), Columns()], ids=repr)
def test_the_groups_of_largest_mean_square_stay(structure):
    model, options = two_layers()
    groups = {}
    for name, rows in weights_of(model).items():
        lines = rows if structure == Rows() else zip(*rows, strict=True)
        for number, line in enumerate(lines):
            groups[name, number] = sum(value**2 for value in line) / len(line)
    pruner = Pruner(model, Magnitude(), sparsity=0.4, structure=structure, **options)
    axis = 1 if structure == Rows() else 0
    kept = {
        (name, number)
        for name in pruner.masks.targets
        for number in pruner.masks[name].any(axis).nonzero().view(-1).tolist()
    }
    assert 0 < len(kept) < len(groups)
    assert kept == largest(groups, len(kept))


@pytest.mark.parametrize(
    ("structure", "sparsity"), [(None, 0.5), (Rows(), 1 / 3)], ids=["weights", "rows"]
)
def test_random_removes_each_as_often_as_any_other(structure, sparsity):
    """Half of 12 weights, or one of 3 rows, to four standard errors."""
    model, often, runs = Linear(4, 3), torch.zeros(3, 4), 300
    for seed in range(runs):
        pruner = Pruner(
            model, RandomWeight(), sparsity=sparsity, seed=seed, structure=structure
        )
        often += ~pruner.masks["weight"]
        pruner.undo()
    spread = (sparsity * (1 - sparsity) / runs) ** 0.5
    assert (often / runs - sparsity).abs().max() < 4 * spread


def test_random_ignores_the_values_and_follows_its_seed():
    model = Linear(4, 3)
    first = Pruner(model, RandomWeight(), sparsity=0.5, seed=5120)
    mask = first.masks["weight"].clone()
    first.undo()
    with torch.no_grad():
        model.weight.mul_(-7.0)
    again = Pruner(model, RandomWeight(), sparsity=0.5, seed=5120)
    assert again.masks["weight"].equal(mask)
    again.undo()
    assert (
        not Pruner(model, RandomWeight(), sparsity=0.5, seed=5121)
        .masks["weight"]
        .equal(mask)
    )

"""LAMP keeps the largest shares of the squares that are left in a layer."""

import pytest
import torch
from torch.nn import Linear, Sequential

from gsparse.prune import LAMP, Magnitude, Pruner
from gsparse.prune.criteria.lamp import lamp_importances


def two_layers(seed=77041):
    torch.manual_seed(seed)
    model = Sequential(Linear(5, 6), Linear(6, 4))
    with torch.no_grad():
        model[1].weight.mul_(30)
    return model


def shares(rows):
    flat = [value for row in rows for value in row]
    return [
        [v**2 / sum(w**2 for w in flat if abs(w) >= abs(v)) for v in row]
        for row in rows
    ]


def test_importances_are_shares_of_the_squares_that_are_not_smaller():
    weight = two_layers()[0].weight.detach()
    expected = torch.tensor(shares(weight.tolist()), dtype=torch.float64)
    torch.testing.assert_close(lamp_importances(weight), expected)


def test_equal_magnitudes_are_equal_and_zeros_are_nothing():
    found = lamp_importances(torch.tensor([[3.0, -3.0], [0.0, 0.0]]))
    assert found.tolist() == [[0.5, 0.5], [0.0, 0.0]]
    assert lamp_importances(torch.zeros(2, 2)).eq(0).all()


@pytest.mark.parametrize("sparsity", [0.3, 0.6, 0.9])
def test_the_largest_shares_of_all_layers_stay(sparsity):
    model = two_layers()
    values = {
        (name, i, j): value
        for name, layer in zip("01", model, strict=True)
        for i, row in enumerate(shares(layer.weight.tolist()))
        for j, value in enumerate(row)
    }
    pruner = Pruner(model, LAMP(), sparsity=sparsity, targets="weight")
    kept = {
        (name[0], i, j)
        for name in pruner.masks.targets
        for i, j in pruner.masks[name].nonzero().tolist()
    }
    count = 54 - round(sparsity * 54)
    assert kept == set(sorted(values, key=values.get)[-count:])


def test_layers_of_other_scale_are_pruned_alike():
    """Magnitude empties the layer of small weights; LAMP does not see the scale."""
    kept = {
        kind: Pruner(two_layers(), kind(), sparsity=0.6, targets="weight").report()
        for kind in (LAMP, Magnitude)
    }
    assert kept[Magnitude].layers[0].sparsity > 0.95
    assert kept[LAMP].layers[0].sparsity < 0.75


def test_within_a_layer_it_is_magnitude():
    masks = [
        Pruner(two_layers(), kind(), sparsity=0.5, targets="weight", scope="local")
        for kind in (LAMP, Magnitude)
    ]
    for name in masks[0].masks.targets:
        assert masks[0].masks[name].equal(masks[1].masks[name])


def test_removed_weights_are_left_out_of_the_sums():
    model = two_layers()
    pruner = Pruner(model, Magnitude(), sparsity=0.5, targets="weight", scope="local")
    name = "0.weight"
    with torch.no_grad():
        pruner.masks.parameters()[name][~pruner.masks[name]] = 1e6
    found = LAMP().importances(pruner.masks)[name]
    assert found[pruner.masks[name]].max() == 1
    assert found[~pruner.masks[name]].eq(0).all()


def test_nan_is_refused_and_infinity_stays():
    layer = Linear(4, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, 2, 3, torch.inf], [5, 6, 7, 8]])
    pruner = Pruner(layer, LAMP(), sparsity=0.5)
    expected = [[False, False, False, True], [False, True, True, True]]
    assert pruner.masks["weight"].tolist() == expected
    pruner.undo()
    layer.weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"must not be NaN \(got 1 in 'weight'\)"):
        Pruner(layer, LAMP(), sparsity=0.5)


def test_tiny_weights_do_not_vanish():
    found = lamp_importances(torch.tensor([1e-200, 2e-200], dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor([0.2, 1.0], dtype=torch.float64))

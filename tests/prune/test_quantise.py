"""Levels without a zero, and the search for their step."""

import itertools
import sys

import pytest
import torch

from gsparse.prune.quantise import (
    best_scale,
    largest_code,
    nearest_codes,
    quantise,
)


def draw(*shape, seed=20753):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator)


def distance(weight, found):
    return float((weight.double() - found.values.double()).square().sum())


def levels(bits):
    top = 2 ** (bits - 1) - 1
    return [code for code in range(-top, top + 1) if code]


@pytest.mark.parametrize("bits", [2, 3, 5, 8])
def test_nearest_codes_by_definition(bits):
    weight, scale = draw(60) * 3, torch.tensor(0.31)
    codes = nearest_codes(weight, scale, bits)
    assert codes.dtype == torch.int8
    for w, code in zip(weight.tolist(), codes.tolist(), strict=True):
        gaps = {level: abs(w - level * float(scale)) for level in levels(bits)}
        assert gaps[code] <= min(gaps.values()) + 1e-6


def test_zero_is_what_is_pruned_and_nothing_else():
    weight = torch.tensor([0.0, 1e-9, -1e-9, 0.0])
    keep = torch.tensor([True, True, True, False])
    assert nearest_codes(weight, torch.tensor(1.0), 4).tolist() == [0, 1, -1, 0]
    assert nearest_codes(weight, torch.tensor(1.0), 4, keep).tolist() == [1, 1, -1, 0]
    found = quantise(draw(9, 7), 3, keep=draw(9, 7, seed=11939) > 0)
    assert ((found.codes != 0) == (draw(9, 7, seed=11939) > 0)).all()


def test_best_scale_is_the_least_squares_one():
    weight, codes = draw(4, 9), torch.randint(-3, 4, (4, 9))
    for per in ("layer", "row"):
        scale = best_scale(weight, codes, per).clone().requires_grad_()
        (weight - codes * scale).square().sum().backward()
        assert scale.grad.abs().max() < 1e-4
    assert best_scale(weight, torch.zeros(4, 9)) == 0


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("per", ["layer", "row"])
def test_no_turn_raises_the_objective(bits, per):
    weight = draw(6, 40, seed=81401)
    scale = torch.full((6, 1) if per == "row" else (), 0.9)
    before = torch.inf
    for _ in range(12):
        codes = nearest_codes(weight, scale, bits)
        after = float((weight - codes * scale).square().sum())
        assert after <= before * (1 + 1e-6)
        scale = best_scale(weight, codes, per)
        before = float((weight - codes * scale).square().sum())
        assert before <= after * (1 + 1e-6)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("per", ["layer", "row"])
def test_it_ends_at_rest_and_in_the_levels(bits, per):
    weight = draw(5, 33, seed=30911)
    found = quantise(weight, bits, per)
    assert found.codes.equal(nearest_codes(weight, found.scale, bits))
    torch.testing.assert_close(found.scale, best_scale(weight, found.codes, per))
    assert int(found.codes.abs().max()) <= largest_code(bits)
    assert set(found.codes.unique().tolist()) <= set(levels(bits))
    assert found.scale.shape == ((5, 1) if per == "row" else ())
    assert found.values.dtype == weight.dtype


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("per", ["layer", "row"])
def test_nearest_among_random_members(bits, per):
    weight = draw(3, 12, seed=52967)
    keep = draw(3, 12, seed=41203).abs() > 0.4
    weight = weight.masked_fill(~keep, 0.0)
    best = distance(weight, quantise(weight, bits, per, keep))
    generator = torch.Generator().manual_seed(77369)
    shape = (3, 1) if per == "row" else ()
    for _ in range(200):
        scale = torch.rand(shape, generator=generator) * 2 / largest_code(bits)
        near = nearest_codes(weight, scale, bits, keep)
        turn = torch.rand(3, 12, generator=generator) < 0.1
        codes = torch.where(turn & keep, near.sign(), near)
        scale = best_scale(weight, codes, per)
        member = float((weight - codes * scale).square().sum())
        assert best <= member * (1 + 1e-6)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_the_best_of_all_by_brute_force(bits):
    weight = draw(4, seed=90473)
    every = torch.tensor(list(itertools.product(levels(bits), repeat=4)))
    fits = (every * weight).sum(1).square() / every.square().sum(1)
    lowest = weight.square().sum() - fits.max()
    found = distance(weight, quantise(weight, bits))
    assert found == pytest.approx(float(lowest), rel=1e-4)


@pytest.mark.parametrize("per", ["layer", "row"])
def test_a_search_among_some_ranks_ends_near_the_best(per, monkeypatch):
    weight = draw(3, 400, seed=65123)
    best = distance(weight, quantise(weight, 4, per))
    module = sys.modules[nearest_codes.__module__]
    monkeypatch.setattr(module, "MOST_TURNS", 600)
    found = quantise(weight, 4, per)
    assert best <= distance(weight, found) <= 1.05 * best
    assert found.codes.equal(nearest_codes(weight, found.scale, 4))
    torch.testing.assert_close(found.scale, best_scale(weight, found.codes, per))


@pytest.mark.parametrize("per", ["layer", "row"])
def test_projecting_twice_changes_nothing(per):
    weight = draw(8, 21, seed=60223)
    once = quantise(weight, 4, per)
    again = quantise(once.values, 4, per, start=once.scale)
    assert again.codes.equal(once.codes)
    torch.testing.assert_close(again.scale, once.scale)


def test_a_start_goes_no_further_than_its_own_turns():
    weight = draw(300, seed=18061)
    found = [quantise(weight, 4, start=torch.tensor(q)) for q in (0.02, 0.3, 1.5)]
    best = distance(weight, quantise(weight, 4))
    assert all(distance(weight, it) >= best * (1 - 1e-9) for it in found)


def test_two_bits_are_the_mean_magnitude_and_the_sign():
    weight = torch.tensor([1.0, -2.0, 6.0, 0.0])
    found = quantise(weight, 2)
    assert found.codes.tolist() == [1, -1, 1, 0]
    assert found.scale == 3.0


def test_rows_are_on_their_own():
    weight = draw(4, 19, seed=71147) * torch.tensor([[1.0], [30.0], [0.0], [1e-3]])
    together = quantise(weight, 4, "row")
    for i in range(4):
        alone = quantise(weight[i], 4)
        assert alone.codes.equal(together.codes[i])
        assert alone.scale == together.scale[i]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 3, 4)])
def test_any_shape(shape):
    weight = draw(*shape)
    for per in ("layer", "row")[: len(shape)]:
        assert quantise(weight, 4, per).values.shape == weight.shape
    assert quantise(torch.zeros(3, 3), 4).values.equal(torch.zeros(3, 3))


def test_float64_stays_float64():
    weight = draw(20).double()
    assert quantise(weight, 8).values.dtype == torch.float64


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bits": 1}, ValueError, r"'bits' must be from 2 to 8.*\(got 1\)"),
        ({"bits": 9}, ValueError, r"'bits' must be from 2 to 8.*\(got 9\)"),
        ({"bits": 4.0}, TypeError, r"'bits' must be an int \(got 4.0\)"),
        ({"bits": True}, TypeError, r"'bits' must be an int \(got True\)"),
        ({"per": "column"}, ValueError, r"'per' must be one of .*\(got 'column'\)"),
        ({"per": "row"}, ValueError, r"matrices only \(got shape \[3\]\)"),
        ({"keep": torch.ones(3)}, ValueError, r"'keep' must be bool of shape \[3\]"),
        ({"keep": torch.ones(2) > 0}, ValueError, r"\(got torch.bool, \[2\]\)"),
    ],
)
def test_refusals(options, error, message):
    with pytest.raises(error, match=message):
        quantise(torch.ones(3), **({"bits": 4} | options))


def test_what_is_not_finite_is_refused():
    with pytest.raises(ValueError, match=r"finite \(got 2 values that are not\)"):
        quantise(torch.tensor([1.0, torch.nan, torch.inf]), 4)

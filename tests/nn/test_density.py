"""The density target of a mask falls within the given number of steps."""

import warnings

import pytest
import torch
from torch_geometric.nn import GCN

from gsparse.data import planted_partition, random_graph, split
from gsparse.nn import FeatureMask, KEdge, NeuralSparse, PTDNet, SparseGAT
from gsparse.nn.density import hold_density
from gsparse.train import FitConfig, evaluate, fit

DATA = random_graph(num_nodes=20, p=0.4, seed=7703)
WIDTH = DATA.num_features
KINDS = {
    "KEdge": KEdge,
    "SparseGAT": SparseGAT,
    "PTDNet": PTDNet,
    "FeatureMask": FeatureMask,
}


def made(kind, **options):
    torch.manual_seed(17)
    return KINDS[kind](GCN(WIDTH, 4, 2), WIDTH, sparsity=0.6, seed=4, **options)


def step(mask):
    mask.train()
    mask(DATA.x, DATA.edge_index)
    return mask.penalty()


@pytest.mark.parametrize("ramp", [1, 4, 200])
def test_the_penalty_vanishes_on_the_line_from_one_to_the_target(ramp):
    for done in (1, 3, ramp, 2 * ramp):
        multiplier, num_steps = torch.tensor(0.0), torch.tensor(float(done - 1))
        line = 1 - 0.6 * min(done / ramp, 1)
        value = hold_density(torch.tensor(line), 0.6, multiplier, num_steps, ramp)
        assert value.item() == pytest.approx(0, abs=1e-9)
        multiplier, num_steps = torch.tensor(0.0), torch.tensor(float(done - 1))
        value = hold_density(torch.tensor(line + 0.1), 0.6, multiplier, num_steps, ramp)
        assert value.item() == pytest.approx(25 * 0.1**2, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_ramp_is_an_argument_and_100_the_default(kind):
    """The first step wants a density of 0.994, or of 0.7 where the ramp has two."""
    values, options = [], {"low_rank": 0.0} if kind == "PTDNet" else {}
    for ramp in ({}, {"ramp": 100}, {"ramp": 2}):
        mask = made(kind, **ramp, **options)
        torch.manual_seed(23)
        values.append(float(step(mask).detach()))
    assert values[0] == values[1]
    gap = (values[2] / 25) ** 0.5
    found = [25 * (0.7 + it - 0.994) ** 2 for it in (gap, -gap)]
    assert values[0] in [pytest.approx(it, rel=1e-3) for it in found]
    assert gap > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_on_its_way_says_so_once(kind):
    mask = made(kind, ramp=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mask.sparsify(DATA)  # untrained: nothing is on its way
        step(mask)
    said = rf"{kind} is evaluated after 1 of the 3 .* it is 0\.\d+ and should be 0.400"
    with pytest.warns(UserWarning, match=said):
        mask.sparsify(DATA)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mask.sparsify(DATA)
        mask.eval()(DATA.x, DATA.edge_index)


def test_a_mask_that_arrived_says_nothing():
    mask, other = made("KEdge", ramp=2), NeuralSparse(GCN(WIDTH, 4, 2), WIDTH, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            step(mask)
            step(other)
        mask.eval()(DATA.x, DATA.edge_index)
        other.sparsify(DATA)


def test_fitting_is_quiet_and_what_comes_after_it_is_not():
    data = split(planted_partition(60, num_classes=2, seed=7), "60-20-20", seed=7)
    mask = KEdge(GCN(data.num_features, 4, 2), data.num_features, 0.6, seed=4)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="KEdge is evaluated")
        fit(mask, data, config=FitConfig(epochs=4))
    with pytest.warns(UserWarning, match=r"KEdge is evaluated after \d of the 100"):
        evaluate(mask, data, "test_mask")


@pytest.mark.parametrize("kind", KINDS)
def test_a_ramp_without_steps_is_refused(kind):
    with pytest.raises(TypeError, match=r"'ramp' must be an integer \(got 1.5\)"):
        made(kind, ramp=1.5)
    with pytest.raises(ValueError, match=r"'ramp' must be at least 1 \(got 0\)"):
        made(kind, ramp=0)

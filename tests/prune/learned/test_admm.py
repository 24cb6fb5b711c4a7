"""ADMM: projections, dual variables, convergence, and fixed levels."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch_geometric.nn.models import GCN

from gsparse.data import random_graph
from gsparse.edges import budget
from gsparse.prune.learned.admm import ADMM
from gsparse.prune.learned.admm_steps import penalty_at, updated_dual
from gsparse.prune.quantise import nearest_codes
from gsparse.prune.quantise_weights import quantise_weights
from gsparse.prune.structured.groups import group_sums
from gsparse.prune.structured.structures import Blocks, Columns, CrossbarRows, Rows
from gsparse.prune.structured.support import support
from gsparse.train import FitConfig, fit

DATA = random_graph(num_nodes=40, p=0.15, seed=61027)
LABELS = torch.arange(40) % 3
NAME = "convs.0.lin.weight"


def draw(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weights(seed=30181):
    return {"a": draw(6, 8, seed=seed), "b": draw(4, 6, seed=seed + 1)}


def project(values, *args, **options):
    kept = support(values, *args, **options)
    return {name: torch.where(kept[name], w, 0) for name, w in values.items()}


def distance(first, second):
    return sum(float((first[n] - second[n]).square().sum()) for n in first)


class TestSupport:
    @pytest.mark.parametrize("scope", ["local", "global"])
    def test_single_weights_by_definition(self, scope):
        values = weights()
        kept = support(values, 0.6, scope=scope)
        parts = [values] if scope == "global" else [{n: values[n]} for n in values]
        for part in parts:
            sizes = torch.cat([w.abs().flatten() for w in part.values()])
            stays = torch.cat([kept[name].flatten() for name in part])
            assert int(stays.sum()) == budget(sizes.numel(), 0.6)
            assert sizes[stays].min() > sizes[~stays].max()

    @pytest.mark.parametrize(
        "structures",
        [(), (Rows(),), (Columns(),), (Blocks(2, 2),), (CrossbarRows(2, 2),)],
        ids=repr,
    )
    def test_nearest_among_random_members_and_no_further_the_second_time(
        self, structures
    ):
        values = weights()
        found = project(values, 0.5, structures)
        assert distance(project(found, 0.5, structures), found) == 0
        best = distance(values, found)
        for i in range(200):
            others = {n: draw(*w.shape, seed=5 * i + 7) for n, w in values.items()}
            kept = support(others, 0.5, structures)
            member = {n: torch.where(kept[n], w, 0) for n, w in values.items()}
            assert best <= distance(values, member) * (1 + 1e-6)

    @pytest.mark.parametrize(("structure", "dim"), [(Rows(), 1), (Columns(), 0)])
    def test_counts_of_rows_and_columns(self, structure, dim):
        values = weights()
        for name, kept in support(values, 0.5, [structure]).items():
            assert (kept.any(dim) == kept.all(dim)).all()
            assert int(kept.any(dim).sum()) == values[name].size(1 - dim) // 2

    def test_rows_and_then_columns_of_what_is_left(self):
        values = {"a": draw(8, 12, seed=71821)}
        kept = support(values, 0.75, [Rows(), Columns()])["a"]
        rows, columns = kept.any(1), kept.any(0)
        assert (int(rows.sum()), int(columns.sum())) == (4, 6)
        assert kept.equal(rows[:, None] & columns)
        left = values["a"][rows].norm(dim=0)
        assert left[columns].min() > left[~columns].max()

    def test_protected_rows_stay(self):
        values = {"a": torch.eye(4) * torch.tensor([1e-3, 1.0, 2.0, 3.0])}
        stay = torch.tensor([True, False, False, False])
        kept = support(values, 0.5, [Rows()], protect={"a": stay})["a"]
        assert kept.any(1).tolist() == [True, False, False, True]


def test_the_multiplier_does_not_jump_with_the_penalty():
    w, u, z = draw(9, seed=40253), draw(9, seed=11689), draw(9, seed=90007)
    plain, ramped = updated_dual(w, u, z, 1.0), updated_dual(w, u, z, 0.5 / 2.0)
    torch.testing.assert_close(plain, u + w - z)
    torch.testing.assert_close(2.0 * ramped, 0.5 * plain)


def test_the_ramp():
    ramp = [penalty_at((0.1, 2.0), k, 5) for k in range(5)]
    assert (ramp[0], ramp[-1]) == (0.1, pytest.approx(2.0))
    for first, second in itertools.pairwise(ramp):
        assert second / first == pytest.approx(20**0.25)
    assert penalty_at((0.1, 2.0), 0, 1) == 0.1
    assert penalty_at((0.1, 0.1), 3, 5) == 0.1


def layer_of(weight):
    layer = nn.Linear(weight.size(1), weight.size(0), bias=False)
    layer.weight.data = weight.clone()
    return layer


def test_the_penalty_is_half_rho_times_the_square_and_its_gradient():
    layer = layer_of(draw(3, 5, seed=20939))
    pruner = ADMM(layer, sparsity=0.4, every=1, num_updates=6, rho=(0.5, 5.0))
    assert pruner.penalty() == 0
    pruner.step()
    pruner.step()
    with torch.no_grad():
        pruner.masks.parameters()["weight"].add_(draw(3, 5, seed=60497))
    missing = layer.weight.detach() - pruner.z["weight"] + pruner.u["weight"]
    assert pruner.rho == pytest.approx(0.5 * 10**0.4)
    penalty = pruner.penalty()
    assert penalty.item() == pytest.approx(pruner.rho / 2 * missing.norm().item() ** 2)
    penalty.backward()
    grad = layer._parameters["weight"].grad
    torch.testing.assert_close(grad, pruner.rho * missing)


def test_updates_by_definition():
    layer = layer_of(torch.tensor([[3.0, 1.0, -2.0, 0.5]]))
    pruner = ADMM(layer, sparsity=0.5, every=2, num_updates=3, rho=(1.0, 4.0))
    pruner.step()
    assert pruner.z["weight"].tolist() == [[3.0, 1.0, -2.0, 0.5]]
    pruner.step()
    assert pruner.z["weight"].tolist() == [[3.0, 0.0, -2.0, 0.0]]
    torch.testing.assert_close(pruner.u["weight"], torch.tensor([[0, 0.5, 0, 0.25]]))
    assert pruner.residuals == [pytest.approx((1.25 / 14.25) ** 0.5)]
    assert not pruner.done
    assert pruner.report().sparsity == 0
    for _ in range(4):
        pruner.step()
    assert pruner.done
    assert pruner.end == pruner.num_steps == 6
    assert layer.weight.tolist() == [[3.0, 0.0, -2.0, 0.0]]


def regression(seed):
    """Inputs that are mixed, so that no weight can be judged on its own."""
    x = draw(60, 12, seed=seed) @ draw(12, 12, seed=seed + 1)
    target = x @ draw(12, 3, seed=seed + 2)
    x, target = x / x.square().mean().sqrt(), target / target.square().mean().sqrt()
    return x, target, torch.linalg.lstsq(x, target).solution.t()


def loss_with(kept, x, target):
    """The least square with the weights of a mask, exactly."""
    loss = 0.0
    for mask, t in zip(kept, target.t(), strict=True):
        part = x[:, mask]
        fit = part @ torch.linalg.lstsq(part, t[:, None]).solution
        loss += float((fit[:, 0] - t).square().sum())
    return loss


def drive(loss, pruner, optimizer):
    while not pruner.done:
        optimizer.zero_grad()
        (loss() + pruner.penalty()).backward()
        optimizer.step()
        pruner.step()


@pytest.mark.parametrize("bits", [None, 4])
def test_the_residual_vanishes_on_a_regression(bits):
    x, target, solution = regression(10531)
    layer = layer_of(solution)
    pruner = ADMM(layer, sparsity=0.5, bits=bits, every=30, num_updates=12)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.05)
    drive(lambda: (layer(x) - target).square().mean(), pruner, optimizer)
    assert pruner.residuals[0] > 0.1
    assert pruner.residuals[11] < 1e-3
    assert pruner.residual() == pruner.residuals[-1] < 1e-3
    assert len(pruner.residuals) == (12 if bits is None else 24)


def ratio_of_losses(seed):
    """With the mask of ADMM, by that with the mask of magnitude."""
    x, target, solution = regression(seed)
    layer = layer_of(solution)
    pruner = ADMM(layer, sparsity=0.5)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    drive(lambda: (layer(x) - target).square().mean(), pruner, optimizer)
    by_size = support({"w": solution}, 0.5)["w"]
    found = loss_with(pruner.masks["weight"], x, target)
    return found / loss_with(by_size, x, target)


def test_its_masks_fit_regressions_better_than_those_of_magnitude():
    ratios = [ratio_of_losses(seed) for seed in range(50021, 50621, 100)]
    assert sum(ratios) / len(ratios) < 0.85


def gcn(seed=29443):
    torch.manual_seed(seed)
    return GCN(DATA.x.size(1), 16, 2, out_channels=3)


def loss_of(model):
    return lambda: cross_entropy(model(DATA.x, DATA.edge_index), LABELS)


def trained(seed=29443):
    model = gcn(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        loss_of(model)().backward()
        optimizer.step()
    return model


def test_the_residual_vanishes_on_a_gcn():
    model = trained()
    pruner = ADMM(model, sparsity=0.5, structure=Rows(), every=30, num_updates=12)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    drive(loss_of(model), pruner, optimizer)
    assert pruner.residual() < 1e-3
    assert pruner.report().sparsity == 0.5
    kept = pruner.masks[NAME]
    assert (kept.any(1) == kept.all(1)).all()
    before = loss_of(model)().item()
    keep = pruner.masks[NAME].clone()
    for _ in range(20):  # masked retraining
        optimizer.zero_grad()
        assert pruner.penalty() == 0
        loss_of(model)().backward()
        optimizer.step()
        pruner.step()
    assert loss_of(model)().item() < before
    assert pruner.masks[NAME].equal(keep)
    assert not model.convs[0].lin.weight[~keep].any()


def short(model, **options):
    return ADMM(model, **({"sparsity": 0.5, "every": 3, "num_updates": 4} | options))


def steps(model, pruner, optimizer, count):
    for _ in range(count):
        optimizer.zero_grad()
        (loss_of(model)() + pruner.penalty()).backward()
        optimizer.step()
        pruner.step()


def adam(model):
    return torch.optim.Adam(model.parameters(), lr=0.01)


@pytest.mark.parametrize("per", ["layer", "row"])
def test_levels_are_reached_after_pruning_and_stay(per):
    model = trained()
    pruner, optimizer = short(model, bits=3, per=per), adam(model)
    steps(model, pruner, optimizer, 12)
    assert not pruner.done  # the masks are, the levels are not
    keep = pruner.masks[NAME].clone()
    assert int(keep.sum()) == keep.numel() // 2
    steps(model, pruner, optimizer, 12)
    assert pruner.done
    bias = model.convs[0].bias.clone()
    held = model.convs[0].lin.weight.clone()
    steps(model, pruner, optimizer, 5)
    weight = model.convs[0].lin.weight
    assert weight.equal(held)
    assert not model.convs[0].bias.equal(bias)
    assert pruner.masks[NAME].equal(keep)
    assert (weight != 0).equal(keep)
    codes = nearest_codes(weight, pruner.scales[NAME], 3)
    assert weight.equal(codes * pruner.scales[NAME])
    assert int(codes.abs().max()) == 3


def test_its_levels_are_stored_as_they_are():
    model = trained()
    pruner, optimizer = short(model, bits=4), adam(model)
    steps(model, pruner, optimizer, 24)
    small = quantise_weights(model, 4, scales=pruner.scales, exclude=r"convs\.1")
    assert small.convs[0].lin.weight.equal(model.convs[0].lin.weight)
    out = small(DATA.x, DATA.edge_index)
    assert out.equal(model(DATA.x, DATA.edge_index))


def test_without_sparsity_weights_are_quantised_only():
    model = trained()
    pruner = short(model, sparsity=0, bits=2)
    assert pruner.end == 12
    steps(model, pruner, adam(model), 12)
    assert pruner.done
    assert pruner.report().sparsity == 0
    values = model.convs[0].lin.weight.abs().unique()
    assert len(values) == 1
    assert values.item() == pruner.scales[NAME].item() > 0


def test_neither_sparsity_nor_bits_changes_nothing():
    model = trained()
    pruner = short(model, sparsity=0)
    steps(model, pruner, adam(model), 12)
    assert pruner.done
    assert pruner.residual() == 0
    assert pruner.masks[NAME].all()


@pytest.mark.parametrize("bits", [None, 4])
@pytest.mark.parametrize("count", [0, 2, 4, 14])
def test_finalize_before_the_end(bits, count):
    model = trained()
    pruner = short(model, structure=Rows(), bits=bits)
    steps(model, pruner, adam(model), count)
    pruner.finalize()
    assert pruner.done
    assert pruner.report().sparsity == 0.5
    assert pruner.residuals
    assert pruner.residual() == pruner.residuals[-1]
    if bits is None:
        return
    weight = model.convs[0].lin.weight.clone()
    codes = nearest_codes(weight, pruner.scales[NAME], bits)
    assert weight.equal(codes * pruner.scales[NAME])
    pruner.finalize()
    assert model.convs[0].lin.weight.equal(weight)


@pytest.mark.parametrize("stop", [0, 4, 12, 17, 24, 26])
def test_a_run_goes_on_to_the_bit(stop):
    model = trained()
    other = copy.deepcopy(model)
    pruner, optimizer = short(model, bits=4), adam(model)
    steps(model, pruner, optimizer, stop)
    saved = copy.deepcopy(
        [model.state_dict(), optimizer.state_dict(), pruner.state_dict()]
    )
    steps(model, pruner, optimizer, 28 - stop)
    again, second = short(other, bits=4), adam(other)
    other.load_state_dict(saved[0])
    second.load_state_dict(saved[1])
    again.load_state_dict(saved[2])
    steps(other, again, second, 28 - stop)
    for name, value in model.state_dict().items():
        assert other.state_dict()[name].equal(value)
    assert again.residuals == pruner.residuals
    assert again.scales == pruner.scales


@pytest.mark.parametrize("bits", [None, 3])
def test_a_fit_ends_as_it_was_in_its_best_epoch(bits):
    data = DATA.clone()
    data.y = LABELS
    data.train_mask = torch.arange(40) < 20
    data.val_mask = ~data.train_mask
    model = gcn()
    pruner = short(model, structure=Rows(), bits=bits)
    config = FitConfig(epochs=60, patience=15)
    history = fit(model, data, config=config, seed=80141, pruner=pruner)
    assert history.best_epoch > pruner.end - 1
    assert pruner.done
    assert pruner.report().sparsity == 0.5
    weight = model.convs[0].lin.weight
    assert len(weight.abs().unique()) <= (4 if bits else 1000)
    if bits:
        assert weight.equal(pruner.z[NAME])


def test_undo_gives_the_values_behind_the_masks():
    model = trained()
    pruner = short(model)
    pruner.finalize()
    full = model.convs[0].lin._parameters["weight"].clone()
    pruner.undo()
    assert model.convs[0].lin.weight.equal(full)
    assert full.all()


def test_groups_are_whole_whatever_the_structure():
    for structure in (Columns(), Blocks(4, 2), CrossbarRows(4, 2)):
        model = trained()
        pruner = short(model, structure=structure)
        pruner.finalize()
        keep = {NAME: pruner.masks[NAME]}
        groups = structure.groups(keep)
        sums = group_sums(keep, groups)
        sizes = group_sums({NAME: torch.ones_like(keep[NAME])}, groups)
        assert ((sums == 0) | (sums == sizes)).all()
        assert pruner.report().sparsity == 0.5


def test_repr():
    assert repr(ADMM(gcn(), sparsity=0.5)) == "ADMM(sparsity=0.5)"
    pruner = ADMM(gcn(), sparsity=0.5, structure=[Rows(), Columns()], bits=8)
    assert repr(pruner) == "ADMM(sparsity=0.5, structure=Rows(), Columns(), bits=8)"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"every": 0}, ValueError, r"'every' must be at least 1 \(got 0\)"),
        ({"every": 0.5}, TypeError, r"'every' must be an int \(got 0.5\)"),
        ({"num_updates": 0}, ValueError, r"'num_updates' must be at least 1 \(got 0\)"),
        ({"rho": (1.0, 0.5)}, ValueError, r"'rho' must be .*\(got \(1.0, 0.5\)\)"),
        ({"rho": (0.0, 0.5)}, ValueError, r"0 < first <= last, finite"),
        ({"rho": (0.1, torch.inf)}, ValueError, r"0 < first <= last, finite"),
        ({"bits": 1}, ValueError, r"'bits' must be from 2 to 8"),
        ({"bits": 4, "per": "all"}, ValueError, r"'per' must be one of .*'all'"),
        ({"scope": "some"}, ValueError, r"'scope' must be one of .*'some'"),
        ({"structure": "row"}, TypeError, r"'structure' must be .* \(got 'row'\)"),
        ({"structure": Rows}, TypeError, r"'structure' must be .*Rows\(\)"),
        ({"protect": {}}, ValueError, r"'protect' must come with 'structure'"),
        (
            {"structure": [Rows(), Columns()], "protect": torch.ones(3) > 0},
            ValueError,
            r"with one structure only \(got 2\)",
        ),
        (
            {"structure": Rows(), "protect": {"b": torch.ones(3) > 0}},
            ValueError,
            r"'protect' must name parameters that are pruned",
        ),
    ],
)
def test_refusals_leave_nothing_behind(options, error, message):
    model = gcn()
    with pytest.raises(error, match=message):
        ADMM(model, **({"sparsity": 0.5} | options))
    assert ADMM(model, sparsity=0.5).report().num_weights


def test_weights_that_are_not_finite_are_refused():
    model = gcn()
    pruner = short(model)
    with torch.no_grad():
        model.convs[0].lin._parameters["weight"][0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"NaN \(got 1 in"):
        pruner.finalize()

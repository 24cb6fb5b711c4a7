"""Properties of every criterion and every pruner.

Each public method is built from its own declaration, so a new one is tested here
without a change of this file.
"""

import copy
import inspect
import io
from dataclasses import FrozenInstanceError
from functools import partial
from typing import get_args

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch_geometric.nn.models import GAT, GCN, GraphSAGE

from gsparse import prune
from gsparse.data import random_graph
from gsparse.edges import budget
from gsparse.nn import to_sparse
from gsparse.prune import by_name
from gsparse.prune.declarations import Need, When
from gsparse.prune.structured.groups import group_sums
from gsparse.prune.structured.structures import Columns, Heads, Rows
from gsparse.prune.surgeons.second_order import SecondOrder
from gsparse.train import FitConfig, fit

DATA = random_graph(num_nodes=30, p=0.2, seed=90547)
LABELS = torch.arange(30) % 3
SPARSITY = 0.7
EXAMPLE = (DATA.x, DATA.edge_index)


def loss_of(model):
    return lambda: cross_entropy(model(DATA.x, DATA.edge_index), LABELS)


def losses_of(model):
    return lambda: cross_entropy(
        model(DATA.x, DATA.edge_index), LABELS, reduction="none"
    )


def quantities_of(model):
    """What a method may need of a model, by the words of its declaration."""
    return {
        "loss": loss_of(model),
        "losses": losses_of(model),
        "logits": lambda: model(DATA.x, DATA.edge_index),
        "example": EXAMPLE,
        "num_steps": 12,
        "fisher": "empirical",
        "seed": 4,
    }


def make_pruner(name, model, *, own=None, **options):
    """A public criterion or pruner by its declaration alone."""
    given = quantities_of(model)
    method = METHODS[name]
    found = {need: given[need] for need in method.needs} | (own or {})
    if issubclass(method, prune.Criterion):
        return prune.Pruner(model, method(**found), sparsity=SPARSITY, **options)
    return method(model, sparsity=SPARSITY, **found, **options)


METHODS = by_name.methods()
CRITERIA = [k for k, v in METHODS.items() if issubclass(v, prune.Criterion)]
OWN = {"AutoPrune": {"num_steps": 20}, "ProbMask": {"num_steps": 10}}
INSTANCES = {name: partial(make_pruner, name, own=OWN.get(name)) for name in METHODS}


def test_every_public_method_is_found():
    public = {
        name
        for name in prune.__all__
        if inspect.isclass(thing := getattr(prune, name))
        and issubclass(thing, prune.Criterion | prune.WeightPruner)
        and not inspect.isabstract(thing)
    }
    assert public - {"Pruner"} == set(INSTANCES)


@pytest.mark.parametrize("name", INSTANCES)
def test_a_method_declares_itself(name):
    method = METHODS[name]
    assert isinstance(method.revision, int)
    assert method.revision >= 1
    assert method.when in get_args(When)
    assert isinstance(method.needs, tuple)
    assert set(method.needs) <= set(get_args(Need)) & set(quantities_of(None))
    assert isinstance(method.double_backward, bool)
    takes = inspect.signature(method).parameters
    assert set(method.needs) <= set(takes)
    if issubclass(method, prune.WeightPruner):
        common = list(inspect.signature(prune.Pruner).parameters.values())[2:]
        theirs = [takes[it.name] for it in common if it.name in takes]
        assert [it.name for it in takes.values() if it in theirs] == [
            it.name for it in theirs
        ]
        assert {it.kind for it in takes.values()} == {
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            inspect.Parameter.KEYWORD_ONLY,
        }
        for word in ("structure", "protect"):
            assert (word in takes) == method.takes_structure


@pytest.mark.parametrize("name", CRITERIA)
def test_a_criterion_is_a_value(name, model):
    """One value serves two pruners, and its text names no model."""
    method = METHODS[name]
    given = quantities_of(model)
    criterion = method(**{need: given[need] for need in method.needs})
    masks = []
    for _ in range(2):
        pruner = prune.Pruner(model, criterion, sparsity=SPARSITY)
        masks.append([mask.clone() for mask in masks_of(pruner)])
        pruner.undo()
    assert all(a.equal(b) for a, b in zip(*masks, strict=True))
    assert repr(criterion).startswith(f"{name}(")
    assert " at 0x" not in repr(criterion)
    with pytest.raises(FrozenInstanceError):
        criterion.loss = None


def test_a_new_criterion_needs_no_list(model):
    class Smallest(prune.Criterion):
        def importances(self, masks):
            return {name: -weight.abs() for name, weight in masks.weights().items()}

    pruner = prune.Pruner(model, Smallest(), sparsity=SPARSITY)
    kept = torch.cat([w[pruner.masks[n]] for n, w in pruner.masks.weights().items()])
    gone = torch.cat([w[~pruner.masks[n]] for n, w in pruner.masks.weights().items()])
    assert kept.abs().max() <= gone.abs().min()
    with pytest.raises(TypeError, match=r"a criterion such as Magnitude\(\) \(got"):
        prune.Pruner(model, prune.Magnitude, sparsity=SPARSITY)


@pytest.fixture(params=INSTANCES.values(), ids=INSTANCES)
def make(request):
    return request.param


@pytest.fixture
def model():
    torch.manual_seed(52361)
    return GCN(8, 10, 3, out_channels=3, dropout=0.3)


def train(model, pruner, optimizer, steps):
    for _ in range(steps):
        model.train()
        optimizer.zero_grad()
        (loss_of(model)() + pruner.penalty()).backward()
        optimizer.step()
        pruner.step()


def adam(model):
    return torch.optim.Adam(model.parameters(), lr=0.02)


def output(model):
    return model.eval()(DATA.x, DATA.edge_index)


class TestContract:
    def test_ends_with_the_exact_budget(self, make, model):
        pruner = make(model)
        train(model, pruner, adam(model), 12)
        pruner.finalize()
        report, total = pruner.report(), 8 * 10 + 10 * 10
        assert pruner.done
        assert report.num_weights == total
        assert report.num_kept == budget(total, SPARSITY)
        zeros = sum(
            int((model.get_submodule(name.removesuffix(".weight")).weight == 0).sum())
            for name in pruner.masks.targets
        )
        assert zeros == total - report.num_kept

    def test_the_head_and_the_biases_are_left_alone(self, make, model):
        pruner = make(model)
        assert set(pruner.masks.targets) == {"convs.0.lin.weight", "convs.1.lin.weight"}

    def test_pruned_weights_stay_zero_while_training_goes_on(self, make, model):
        pruner, optimizer = make(model), adam(model)
        train(model, pruner, optimizer, 12)
        pruner.finalize()
        gone = {name: ~pruner.masks[name] for name in pruner.masks.targets}
        train(model, pruner, optimizer, 3)
        for name, target in pruner.masks.targets.items():
            assert not target.owner.weight[gone[name]].any()
            assert target.owner.weight[~gone[name]].all()

    def test_the_same_run_gives_the_same_masks(self, make, model):
        found = []
        for _ in range(2):
            twin = copy.deepcopy(model)
            torch.manual_seed(8)
            pruner = make(twin)
            train(twin, pruner, adam(twin), 5)
            pruner.finalize()
            found.append(torch.cat([m.flatten() for m in masks_of(pruner)]))
        assert found[0].equal(found[1])

    def test_a_run_goes_on_where_it_was_stopped(self, make, model):
        other = copy.deepcopy(model)
        pruner, optimizer = make(model), adam(model)
        train(model, pruner, optimizer, 4)
        file = io.BytesIO()
        states = [model.state_dict(), optimizer.state_dict(), pruner.state_dict()]
        torch.save(copy.deepcopy(states), file)
        file.seek(0)
        torch.manual_seed(6)
        train(model, pruner, optimizer, 6)
        pruner.finalize()

        again, second = make(other), adam(other)
        saved = torch.load(file, weights_only=True)
        other.load_state_dict(saved[0], strict=True)
        second.load_state_dict(saved[1])
        again.load_state_dict(saved[2])
        torch.manual_seed(6)
        train(other, again, second, 6)
        again.finalize()
        torch.testing.assert_close(output(other), output(model))

    def test_permanent_zeros_load_into_a_plain_model(self, make, model):
        fresh = copy.deepcopy(model)
        pruner = make(model)
        train(model, pruner, adam(model), 5)
        pruner.finalize()
        out = output(model)
        pruner.make_permanent()
        fresh.load_state_dict(model.state_dict(), strict=True)
        assert output(fresh).equal(out)

    def test_undo_makes_it_dense_again(self, make, model):
        before = {k: v.clone() for k, v in model.state_dict().items()}
        out = output(model)
        pruner = make(model)
        pruner.undo()
        after = model.state_dict()
        assert after.keys() == before.keys()
        assert output(model).equal(out)
        assert not model._forward_pre_hooks

    def test_copies_live_on_their_own(self, make, model):
        pruner = make(model)
        train(model, pruner, adam(model), 2)
        twin = copy.deepcopy(model)
        out = output(twin)
        pruner.undo()
        assert output(twin).equal(out)

    def test_mode_and_gradients_are_as_before(self, make, model):
        loss_of(model)().backward()
        before = {k: p.grad.clone() for k, p in model.named_parameters()}
        model.train()
        make(model)
        assert model.training
        for name, parameter in model.named_parameters():
            assert parameter.grad.equal(before[name])

    @pytest.mark.parametrize("sparsity", [-0.1, 1.0])
    def test_sparsity_out_of_range(self, make, model, sparsity, monkeypatch):
        monkeypatch.setattr(f"{__name__}.SPARSITY", sparsity)
        with pytest.raises(ValueError, match=rf"in \[0, 1\) \(got {sparsity}\)"):
            make(model)
        pruner = prune.Pruner(
            model, prune.Magnitude(), sparsity=0.5
        )  # nothing was left behind
        assert pruner.report().sparsity == 0.5

    def test_nothing_matched(self, make, model):
        with pytest.raises(ValueError, match="'targets' and 'exclude' must leave"):
            make(model, exclude="weight")

    def test_repr_names_the_sparsity(self, make, model):
        assert "sparsity=0.7" in repr(make(model))


def masks_of(pruner):
    return [pruner.masks[name] for name in pruner.masks.targets]


def test_a_schedule_is_followed_and_masks_are_nested():
    torch.manual_seed(52361)
    model = GCN(8, 10, 3, out_channels=3)
    schedule = prune.CubicSchedule(start=2, end=10, every=2)
    pruner, optimizer = (
        prune.Pruner(model, prune.Magnitude(), sparsity=0.9, schedule=schedule),
        adam(model),
    )
    assert pruner.report().sparsity == 0
    for step in range(1, 14):
        before = [mask.clone() for mask in masks_of(pruner)]
        train(model, pruner, optimizer, 1)
        for mask, old in zip(masks_of(pruner), before, strict=True):
            assert not (mask & ~old).any()
        wanted = schedule(step, 0.9)
        assert pruner.report().num_kept == budget(180, wanted)
        assert pruner.done == (step >= 10)


def test_masks_of_the_wrong_shape_change_nothing():
    model = GCN(8, 10, 3, out_channels=3)
    masks = prune.WeightMasks(model)
    first = torch.zeros(10, 8, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"bool of shape \[10, 10\] \(got torch.bool"):
        masks.set({"convs.0.lin.weight": first, "convs.1.lin.weight": first})
    assert masks.report().sparsity == 0


def test_report_by_hand():
    model = GCN(4, 2, 2, out_channels=3)
    masks = prune.WeightMasks(model)
    masks["convs.0.lin.weight"] = torch.eye(2, 4) > 0
    report = masks.report()
    assert (report.num_weights, report.num_kept, report.sparsity) == (8, 2, 0.75)
    assert report.total_sparsity == 6 / (8 + 2 + 6 + 3)
    assert str(report).splitlines()[1].split()[-2:] == ["2", "75.00%"]
    with pytest.raises(KeyError, match="'head' has no mask"):
        masks["head"]
    masks.undo()
    with pytest.raises(RuntimeError, match="the masks are gone"):
        masks.report()


SCHEDULED = [
    name
    for name in INSTANCES
    if issubclass(METHODS[name], prune.Criterion | SecondOrder)
]
STRUCTURED = [name for name in SCHEDULED if name != "CombinatorialBrainSurgeon"]
MODELS = {
    "GCN": lambda: GCN(8, 10, 3, out_channels=3),
    "SAGE": lambda: GraphSAGE(8, 10, 3, out_channels=3),
    "GAT": lambda: GAT(8, 10, 3, out_channels=3, heads=2),
}


def test_scheduled_pruners_take_a_structure_but_for_the_swap_search():
    for name in set(SCHEDULED) - set(CRITERIA):
        takes = METHODS[name].takes_structure
        assert takes == (name in STRUCTURED)


def quick(name, model, **options):
    """With fewer rounds, or with one, of a criterion that cuts in many."""
    rounds = options.pop("rounds", 3)
    own = {"num_rounds": rounds} if name == "SynFlow" else None
    return make_pruner(name, model, own=own, **options)


def masks_by_name(pruner):
    return {name: pruner.masks[name] for name in pruner.masks.targets}


def assert_whole_and_near(pruner, sparsity):
    """Groups are there or not, and a swap for one more or less comes no nearer."""
    gone, sizes = [], []
    for name, group in pruner.groups.items():
        for number in group.unique():
            inside = pruner.masks[name][group == number]
            assert inside.all() or not inside.any()
            gone.append(not inside.any())
            sizes.append(inside.numel())
    wanted = sum(sizes) * sparsity
    removed = sum(size for size, is_gone in zip(sizes, gone, strict=True) if is_gone)
    layers = 1 if pruner.scope == "global" else len(pruner.groups)
    assert abs(removed - wanted) <= layers * (max(sizes) / 2 + 0.5)
    assert all(pruner.masks[name].any() for name in pruner.groups)


@pytest.mark.parametrize("name", STRUCTURED)
@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("structure", [Rows(), Columns()], ids=repr)
def test_whole_groups_go(name, build, structure):
    torch.manual_seed(52361)
    pruner = quick(name, build(), structure=structure)
    assert_whole_and_near(pruner, SPARSITY)


@pytest.mark.parametrize("name", STRUCTURED)
@pytest.mark.parametrize(
    ("kind", "structure"),
    [("SAGE", Rows()), ("GAT", Columns())],
    ids=["rows", "columns"],
)
def test_protected_groups_stay(name, kind, structure):
    torch.manual_seed(52361)
    model = MODELS[kind]()
    pruner = quick(name, model, structure=structure)
    present = group_sums(masks_by_name(pruner), pruner.groups) > 0
    protect = ~present & ((~present).cumsum(0) <= 2)
    pruner.undo()
    pruner = quick(name, model, structure=structure, protect=protect)
    present = group_sums(masks_by_name(pruner), pruner.groups) > 0
    assert present[protect].all()
    assert int(protect.sum()) == 2
    assert_whole_and_near(pruner, SPARSITY)


@pytest.mark.parametrize("name", STRUCTURED)
def test_groups_follow_a_schedule_and_are_nested(name, model):
    schedule = prune.CubicSchedule(start=2, end=8, every=3)
    pruner = quick(name, model, schedule=schedule, structure=Rows())
    optimizer = adam(model)
    assert pruner.report().sparsity == 0
    for step in range(1, 10):
        before = [mask.clone() for mask in masks_of(pruner)]
        train(model, pruner, optimizer, 1)
        for mask, old in zip(masks_of(pruner), before, strict=True):
            assert not (mask & ~old).any()
        assert_whole_and_near(pruner, schedule(step, SPARSITY))
        assert pruner.done == (step >= 8)


def choices_of(pruner, scores):
    """Scores of the weights that stay and of those that go, for each ranking."""
    names = list(pruner.masks.targets)
    if getattr(getattr(pruner, "criterion", None), "by_row", False):
        rows = [(scores[n][i], pruner.masks[n][i]) for n in names for i in range(10)]
    elif pruner.scope == "global":
        joined = torch.cat([scores[name].flatten() for name in names])
        rows = [(joined, torch.cat([pruner.masks[n].flatten() for n in names]))]
    else:
        rows = [(scores[name], pruner.masks[name]) for name in names]
    return [(score[keep], score[~keep]) for score, keep in rows]


@pytest.mark.parametrize("scope", ["global", "local", None])
@pytest.mark.parametrize("name", STRUCTURED)
def test_no_weight_that_goes_scores_above_one_that_stays(name, scope, model):
    options = {} if scope is None else {"scope": scope}
    if name == "Wanda":
        options["own"] = {"by_row": scope is None}
    if name == "SynFlow":
        options["own"] = {"num_rounds": 1}
    pruner = make_pruner(name, model, schedule=prune.LinearSchedule(0, 1), **options)
    scores = pruner.importances()
    pruner.finalize()
    assert pruner.report().num_kept == budget(180, SPARSITY)
    for stay, go in choices_of(pruner, scores):
        assert not len(stay) or not len(go) or stay.min() >= go.max()


@pytest.mark.parametrize("name", STRUCTURED)
def test_no_group_that_goes_scores_above_one_that_stays(name, model):
    """But for the last group of a parameter, which stays whatever its score."""
    options = {"schedule": prune.LinearSchedule(0, 1), "scope": "global"}
    if name == "Wanda":
        options["own"] = {"by_row": False}
    if name == "SynFlow":
        options["own"] = {"num_rounds": 1}
    pruner = make_pruner(name, model, structure=Rows(), **options)
    scores = pruner.group_importances()
    pruner.finalize()
    present = group_sums(masks_by_name(pruner), pruner.groups) > 0
    free = present.clone()
    for group in pruner.groups.values():
        own = group.unique()
        free[own] &= present[own].sum() > 1
    assert free.any()
    assert not present.all()
    assert scores[free].min() >= scores[~present].max()


def test_a_group_counts_as_its_pruner_says():
    """Sums before the absolute value for gradient flow; a mean of squares for size."""
    torch.manual_seed(52361)
    model = GCN(8, 10, 3, out_channels=3)
    loss, options = loss_of(model), {"structure": Rows()}
    pruner = prune.Pruner(model, prune.LossPreservation(loss), sparsity=0.0, **options)
    gradients = pruner.criterion.gradients(pruner.masks)
    products = {n: w * gradients[n] for n, w in pruner.masks.weights().items()}
    rows = torch.cat([it.double().sum(1) for it in products.values()])
    torch.testing.assert_close(pruner.group_importances(), rows.abs())
    pruner.undo()
    pruner = prune.Pruner(model, prune.MagnitudeLoss(loss), sparsity=0.0, **options)
    weights = pruner.masks.weights()
    rows = [(w.abs() * products[n].abs()).double() for n, w in weights.items()]
    rows = torch.cat([it.sum(1) for it in rows])
    torch.testing.assert_close(pruner.group_importances(), rows)
    pruner.undo()
    pruner = prune.Pruner(model, prune.GradientNorm(loss), sparsity=0.0, **options)
    signed = torch.cat([it.double().sum(1) for it in pruner.importances().values()])
    torch.testing.assert_close(pruner.group_importances(), signed)
    pruner.undo()
    pruner = prune.Pruner(
        model, prune.GradientPreservation(loss), sparsity=0.0, **options
    )
    torch.testing.assert_close(pruner.group_importances(), signed.abs())
    pruner.undo()
    pruner = prune.Pruner(model, prune.Magnitude(), sparsity=0.0, **options)
    squares = torch.cat(
        [
            w.detach().double().square().mean(1)
            for w in pruner.masks.parameters().values()
        ]
    )
    torch.testing.assert_close(pruner.group_importances(), squares)


def test_the_score_of_a_row_is_what_the_loss_changes_by():
    """To first order in the size of the row, and so exactly as the row gets small."""
    torch.manual_seed(52361)
    model = GCN(8, 10, 3, out_channels=3).double().eval()
    x = DATA.x.double()
    with torch.no_grad():
        model.convs[1].lin.weight[4] *= 1e-5

    def loss():
        return cross_entropy(model(x, DATA.edge_index), LABELS)

    pruner = prune.Pruner(
        model,
        prune.LossPreservation(loss),
        sparsity=0.0,
        targets="convs.1.lin.weight",
        structure=Rows(),
    )
    score, before = pruner.group_importances()[4], loss()
    keep = pruner.masks["convs.1.lin.weight"].clone()
    keep[4] = False
    pruner.masks["convs.1.lin.weight"] = keep
    torch.testing.assert_close((loss() - before).abs(), score, rtol=1e-3, atol=0.0)


def test_hidden_values_of_groups_that_are_gone_do_not_count():
    torch.manual_seed(52361)
    model = GCN(8, 10, 3, out_channels=3)
    pruner = prune.Pruner(
        model,
        prune.Magnitude(),
        sparsity=0.8,
        schedule=prune.LinearSchedule(1, 4),
        structure=Rows(),
    )
    for step in range(1, 5):
        for name, weight in pruner.masks.parameters().items():
            weight.data[~pruner.masks[name]] = 100.0
        pruner.step()
        assert_whole_and_near(pruner, pruner.schedule(step, 0.8))


def test_heads_go_while_a_model_is_fitted():
    torch.manual_seed(52361)
    data = DATA.clone()
    data.y = LABELS
    data.train_mask = torch.arange(30) % 2 == 0
    data.val_mask = data.test_mask = ~data.train_mask
    model = GAT(8, 12, 2, out_channels=3, heads=4)
    schedule = prune.CubicSchedule(start=1, end=5)
    targets = r"convs\.0\.(lin|att)"
    pruner = prune.Pruner(
        model,
        prune.Magnitude(),
        sparsity=0.5,
        schedule=schedule,
        targets=targets,
        structure=Heads(4),
    )
    fit(model, data, config=FitConfig(epochs=8), seed=70321, pruner=pruner)
    hidden = model.convs[0](data.x, data.edge_index) - model.convs[0].bias
    assert int((~hidden.view(30, 4, 3).any(2).any(0)).sum()) == 2
    assert pruner.report().sparsity == 0.5


def test_choosing_one_by_one_takes_no_structure():
    with pytest.raises(ValueError, match="'structure' must be None where sequential"):
        prune.OptimalBrainSurgeon(
            GCN(5, 4, 2, 2),
            sparsity=0.5,
            losses=lambda: None,
            sequential=True,
            structure=Rows(),
        )


MOVING = {
    name: INSTANCES[name]
    for name in ("GradualThreshold", "AutoPrune", "ProbMask", "ADMM")
} | {
    "Magnitude with a schedule": lambda m, **o: prune.Pruner(
        m,
        prune.Magnitude(),
        sparsity=SPARSITY,
        schedule=prune.CubicSchedule(0, 10),
        **o,
    ),
    "WoodFisher with a schedule": lambda m, **o: prune.WoodFisher(
        m,
        sparsity=SPARSITY,
        losses=losses_of(m),
        schedule=prune.CubicSchedule(0, 10),
        **o,
    ),
}


@pytest.mark.parametrize("name", MOVING)
def test_what_has_not_reached_its_sparsity_says_so_and_is_not_made_permanent(
    name, model
):
    pruner = MOVING[name](model)
    layer = model.convs[0].lin
    for steps in (0, 1):
        train(model, pruner, adam(model), steps)
        removed = f"{pruner.report().sparsity:.2%}"
        with pytest.raises(
            RuntimeError, match=rf"\(got {removed} of .* after {steps} steps\); call fi"
        ):
            pruner.make_permanent()
        assert layer.weight_masks["weight"].unfinished
        with pytest.raises(ValueError, match=r"'convs\.0\.lin\.weight' must be final"):
            to_sparse(model, 0.0)
    twin = copy.deepcopy(pruner)
    pruner.finalize()
    assert not layer.weight_masks["weight"].unfinished
    assert twin.model.convs[0].lin.weight_masks["weight"].unfinished
    assert not copy.deepcopy(twin.model).convs[0].lin.weight_masks["weight"].unfinished
    pruner.make_permanent()
    assert type(layer).__name__ == "Linear"
    twin.undo()


def test_a_pruner_that_prunes_at_once_is_finished(model):
    pruner = prune.Pruner(model, prune.Magnitude(), sparsity=SPARSITY)
    assert not model.convs[0].lin.weight_masks["weight"].unfinished
    pruner.make_permanent()


def test_errors_on_old_names_say_where_they_are():
    with pytest.raises(ImportError, match=r"compact is now in gsparse\.compaction"):
        prune.compact  # noqa: B018
    with pytest.raises(ImportError, match=r"Cubic is now in .* suffix Schedule"):
        from gsparse.prune import Cubic  # noqa: F401
    with pytest.raises(AttributeError, match="no attribute 'unheard_of'"):
        prune.unheard_of  # noqa: B018


def test_structures_and_losses_of_the_wrong_kind_are_refused():
    model = GCN(DATA.num_features, 8, 2, 3)
    with pytest.raises(TypeError, match=r"such as Rows\(\) or None \(got <class"):
        prune.Pruner(model, prune.Magnitude(), sparsity=0.5, structure=Rows)
    with pytest.raises(TypeError, match=r"function without arguments .*got GCN"):
        prune.SNIP(model)
    pruner = prune.Pruner(model, prune.Magnitude(), sparsity=0.5)
    with pytest.raises(ValueError, match=r"'structure' must be given .*got None"):
        pruner.group_importances()


def importances_of(weights, how):
    if how == "shape":
        return {name: weight[0] for name, weight in weights.items()}
    if how == "missing":
        return {}
    return dict(weights) | {"other": DATA.x}


@pytest.mark.parametrize("how", ["shape", "missing", "unknown"])
def test_importances_that_do_not_fit_are_refused(how):
    class Odd(prune.Criterion):
        def importances(self, masks):
            return importances_of(masks.weights(), how)

    model = GCN(DATA.num_features, 8, 2, 3)
    with pytest.raises(ValueError, match="must return an importance for every weight"):
        prune.Pruner(model, Odd(), sparsity=0.5)
    assert "weight_masks" not in str(model.state_dict().keys())


@pytest.mark.parametrize("name", ["Magnitude", "SynFlow", "OptimalBrainDamage"])
def test_removed_weights_do_not_come_back(name):
    pruner = make_pruner(name, GCN(DATA.num_features, 8, 2, 3))
    before = pruner.report()
    with pytest.raises(ValueError, match=r"at least 0\.7, which is reached"):
        pruner.prune(0.3)
    assert pruner.report() == before


def test_importances_of_groups_that_do_not_fit_are_refused():
    class Odd(prune.Criterion):
        def importances(self, masks):
            return masks.weights()

        def group_importances(self, masks, groups):
            return torch.ones(3)

    model = GCN(DATA.num_features, 8, 2, 3)
    with pytest.raises(ValueError, match=r"groups must have shape \[8\] \(got \[3\]\)"):
        prune.Pruner(model, Odd(), sparsity=0.5, structure=Rows())


@pytest.mark.parametrize(
    ("name", "value"), [("when", "train"), ("needs", ("loss", "lable"))]
)
def test_misspelt_declarations_are_refused(name, value):
    with pytest.raises(TypeError, match=rf"'{name}' of Odd must be of '"):
        type("Odd", (prune.Criterion,), {name: value})

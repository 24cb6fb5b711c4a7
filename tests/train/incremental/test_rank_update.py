"""Rank updates: no task is forgotten, and few values are added."""

import copy

import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg
from torch_geometric.nn import GCNConv

from gsparse.data import planted_partition, split
from gsparse.prune import Magnitude, Pruner
from gsparse.train import GAT, GCN, SAGE, FitConfig, evaluate, fit, sparse_features
from gsparse.train.incremental.rank_update import RankUpdate

torch.manual_seed(20399)
X = torch.randn(40, 12)
EDGES = torch.randint(40, (2, 160))
EDGES = torch.cat([EDGES, EDGES.flip(0)], dim=1)


class Own(nn.Module):
    """A module of a user, with a parameter of its own and no list of layers."""

    def __init__(self):
        super().__init__()
        self.first = GCNConv(12, 8, cached=True)
        self.norm = nn.BatchNorm1d(8)
        self.scale = nn.Parameter(torch.ones(8))
        self.second = GCNConv(8, 8)
        self.out = nn.Linear(8, 3)

    def forward(self, x, edge_index):
        x = self.norm(self.first(x, edge_index)).relu() * self.scale
        return self.out(self.second(x, edge_index).relu())


MODELS = {
    "pyg gcn": lambda: pyg.GCN(12, 8, 3, 4, norm="batch_norm", dropout=0.3),
    "pyg gat": lambda: pyg.GAT(12, 8, 3, 4, heads=2),
    "pyg gatv2": lambda: pyg.GAT(12, 8, 2, 4, heads=2, v2=True),
    "pyg sage": lambda: pyg.GraphSAGE(12, 8, 3, 4, norm="batch_norm"),
    "pyg gin": lambda: pyg.GIN(12, 8, 2, 4),
    "pyg jk": lambda: pyg.GCN(12, 8, 2, 4, jk="cat"),
    "gcn": lambda: GCN(12, 8, 4),
    "deep gcn": lambda: GCN(12, 8, 4, 3, batch_norm=True, self_loop=True),
    "gat": lambda: GAT(12, 4, 4, heads=2),
    "sage": lambda: SAGE(12, 8, 4),
    "own": Own,
}


def learn(learner, steps=3):
    """Steps of an optimiser with momentum and decay, over all parameters there are."""
    torch.manual_seed(65033)
    learner.train()
    optimizer = torch.optim.AdamW(learner.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        learner(X, EDGES).square().sum().backward()
        optimizer.step()


def answers(learner):
    learner.eval()
    with torch.no_grad():
        return [learner(X, EDGES, task=t) for t in range(learner.num_tasks)]


def make(name="gcn", rank=4, rank_per_task=2, **options):
    torch.manual_seed(47711)
    return RankUpdate(MODELS[name](), rank, rank_per_task, seed=30817, **options)


@pytest.mark.parametrize("start", ["zeros", "previous"])
@pytest.mark.parametrize("name", MODELS)
def test_earlier_tasks_answer_the_same_bit_for_bit(name, start):
    learner, seen = make(name, start=start), []
    for num_classes in (4, 3, 5):
        learner.add_task(num_classes)
        learn(learner)
        found = answers(learner)
        assert found[-1].shape == (40, num_classes)
        for before, after in zip(seen, found, strict=False):
            assert before.equal(after)
        seen = found


def test_an_optimiser_of_an_earlier_task_moves_nothing_of_it():
    learner = make("pyg gcn")
    learner.add_task(3)
    stale = torch.optim.SGD(
        learner.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1
    )
    learner(X, EDGES).sum().backward()
    stale.step()
    first = answers(learner)[0]
    learner.add_task(2)
    learner.train()
    learner(X, EDGES).sum().backward()
    stale.step()
    assert answers(learner)[0].equal(first)


def test_statistics_of_earlier_tasks_stand_still_in_training_mode():
    learner = make("pyg gcn")
    for _ in range(2):
        learner.add_task(3)
        learn(learner)
    before = answers(learner)[0]
    learner.train()
    assert learner(X, EDGES, task=0).equal(before)
    assert answers(learner)[0].equal(before)
    assert learner.train().tasks[1].training


def test_frozen_columns_get_no_gradient_and_new_ones_do():
    learner = make("sage")
    learner.add_task(3)
    learn(learner)
    learner.add_task(3)
    learner(X, EDGES).square().sum().backward()
    for parameter in learner.parameters_of(0):
        assert parameter.grad is None
        assert not parameter.requires_grad
    for parameter in learner.parameters_of(1):
        assert parameter.grad is not None
    ids = {id(p) for task in range(2) for p in learner.parameters_of(task)}
    assert ids == {id(p) for p in learner.parameters()}


def test_the_selector_reaches_old_columns():
    learner = make()
    learner.add_task(3)
    learner.add_task(3)
    layer = learner.tasks[1].layers[0].lin
    assert layer.s.tolist() == [0, 0, 0, 0, 1, 1]
    learn(learner)
    assert (layer.s[:4] != 0).all()


def test_starting_as_before_gives_the_weights_of_the_task_before():
    learner = make("pyg gat", start="previous")
    learner.add_task(4)
    learn(learner)
    learner.add_task(4)
    first, second = learner.tasks
    for i in range(2):
        assert second.convs[i].lin.weight.allclose(first.convs[i].lin.weight, atol=1e-6)
        assert second.convs[i].att_src.equal(first.convs[i].att_src)
    assert not second.convs[2].lin.weight.equal(first.convs[2].lin.weight)


def test_a_task_that_differs_by_rank_one_needs_one_column():
    torch.manual_seed(82193)
    truth = torch.randn(6, 2) @ torch.randn(2, 10)
    other = truth + torch.outer(torch.randn(6), torch.randn(10))
    model = nn.Sequential(nn.Linear(10, 6, bias=False), nn.Linear(6, 6, bias=False))
    learner = RankUpdate(model, 2, 1, start="previous", seed=4409)
    x = torch.randn(200, 10)
    for weight in (truth, other):
        learner.add_task(6)
        head = learner.tasks[-1][1].weight
        head.requires_grad_(False)
        head.copy_(torch.eye(6))
        trained = [p for p in learner.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=0.02)
        for _ in range(800):
            optimizer.zero_grad()
            loss = (learner(x) - x @ weight.t()).square().mean()
            loss.backward()
            optimizer.step()
        assert loss < 1e-4
    found = learner.tasks[1][0].weight
    assert torch.linalg.matrix_rank(found, atol=1e-3) == 3


class TestStorage:
    @pytest.mark.parametrize("name", MODELS)
    def test_it_is_what_is_saved(self, name, tmp_path):
        learner = make(name)
        for num_classes in (4, 3, 5):
            learner.add_task(num_classes)
        saved = learner.state_dict().values()
        assert learner.storage().total == sum(value.numel() for value in saved)

    def test_it_is_the_closed_formula(self):
        n, m, first, later, classes = 12, 8, 4, 2, (4, 3, 5)
        learner = make(rank=first, rank_per_task=later)
        for num_classes in classes:
            learner.add_task(num_classes)
        storage, count = learner.storage(), len(classes)
        assert storage.factors == (n + m) * (first + (count - 1) * later)
        assert storage.selectors == sum(first + t * later for t in range(count))
        assert storage.heads == sum((m + 1) * it for it in classes)
        assert storage.others == count * m

    @pytest.mark.parametrize("name", MODELS)
    def test_separate_models_have_that_many_numbers(self, name):
        learner, model = make(name), MODELS[name]()
        classes = 3 if name == "own" else 4
        for _ in range(2):
            learner.add_task(classes)
        whole = sum(value.numel() for value in model.state_dict().values())
        assert learner.separate_storage().total == 2 * whole

    def test_half_a_rank_for_each_task_is_the_default(self):
        assert RankUpdate(MODELS["gcn"](), 5).rank_per_task == 3


class TestFromDense:
    def test_the_whole_rank_gives_the_same_answers(self):
        for name in ("pyg gcn", "pyg gat", "sage", "own"):
            torch.manual_seed(11827)
            model = MODELS[name]().eval()
            with torch.no_grad():
                for p in model.parameters():
                    p.add_(0.1 * torch.randn_like(p))
            learner = RankUpdate.from_dense(model, 8, seed=3).eval()
            torch.testing.assert_close(
                learner(X, EDGES), model(X, EDGES), atol=1e-5, rtol=1e-4
            )

    def test_a_lower_rank_is_the_nearest(self):
        model = MODELS["gcn"]()
        learner = RankUpdate.from_dense(model, 3, rank_per_task=1)
        weight = model.layers[0].lin.weight
        error = (learner.tasks[0].layers[0].lin.weight - weight).square().sum()
        tail = torch.linalg.svdvals(weight)[3:].square().sum()
        torch.testing.assert_close(error, tail, rtol=1e-4, atol=1e-6)

    def test_the_model_stays_as_it_was(self):
        model = Own()
        model(X, EDGES)
        before = copy.deepcopy(model.state_dict())
        learner = RankUpdate.from_dense(model, 4)
        learner.add_task(2)
        learn(learner)
        assert model.first.cached
        assert model.first._cached_edge_index is not None
        for key, value in model.state_dict().items():
            assert value.equal(before[key])


def test_cached_normalisation_of_one_graph_is_not_used_for_another():
    learner = make("own")
    learner.add_task(3)
    fresh = copy.deepcopy(learner.eval())
    learner(X, EDGES)
    other = torch.randint(40, (2, 90))
    assert learner(X, other).equal(fresh(X, other))
    used = Own()
    used(X, EDGES)
    learner = RankUpdate(used, 4)
    assert learner._template[0].first._cached_edge_index is None


class TestFiles:
    @pytest.mark.parametrize("name", ["pyg gcn", "gat", "own"])
    def test_a_file_holds_all_tasks(self, name, tmp_path):
        learner = make(name)
        for num_classes in (4, 2):
            learner.add_task(num_classes)
            learn(learner)
        learner.save(tmp_path / "tasks.pt")
        found = RankUpdate.load(tmp_path / "tasks.pt", MODELS[name]())
        for ours, theirs in zip(answers(learner), answers(found), strict=True):
            assert ours.equal(theirs)
        found.add_task(3)
        learn(found)
        assert answers(found)[0].equal(answers(learner)[0])

    def test_another_model_is_refused(self, tmp_path):
        learner = make()
        learner.add_task(2)
        learner.save(tmp_path / "tasks.pt")
        with pytest.raises(
            ValueError, match=r"'model' must have the arch.*size mismatch"
        ):
            RankUpdate.load(tmp_path / "tasks.pt", GCN(13, 8, 2))

    def test_other_files_are_refused(self, tmp_path):
        torch.save({"a": 1}, tmp_path / "other.pt")
        (tmp_path / "text.pt").write_text("no tensors")
        torch.save(Own(), tmp_path / "code.pt")
        for name in ("other.pt", "text.pt", "code.pt"):
            with pytest.raises(
                ValueError, match=r"'path' must be a file of RankUpdate"
            ):
                RankUpdate.load(tmp_path / name, MODELS["gcn"]())

    def test_a_missing_file_is_said_to_be_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            RankUpdate.load(tmp_path / "nowhere.pt", MODELS["gcn"]())


def test_copies_and_casts_are_whole():
    learner = make("pyg gcn")
    learner.add_task(3)
    twin = copy.deepcopy(learner)
    learner.add_task(2)
    learn(learner)
    twin.add_task(2)
    learn(twin)
    for ours, theirs in zip(answers(learner), answers(twin), strict=True):
        assert ours.equal(theirs)
    twin.double().add_task(2)
    twin.eval()
    assert twin(X.double(), EDGES, task=2).dtype == torch.float64


def test_the_same_seed_gives_the_same_tasks():
    first, second = make(), make()
    for learner in (first, second):
        torch.rand(3)  # what others draw does not matter
        learner.add_task(3)
        learner.add_task(3)
    for key, value in first.state_dict().items():
        assert value.equal(second.state_dict()[key])
    state = first.state_dict()
    assert not state["layers.0.u.0"][:, :2].equal(state["layers.0.u.1"])


def test_gradients_are_those_of_the_factors():
    learner = make("sage").double()
    learner.add_task(3)
    learner.add_task(2)
    wanted = [p for p in learner.parameters_of(1) if p.requires_grad]

    def run(*values):
        names = {id(p): n for n, p in learner.named_parameters()}
        new = {names[id(p)]: v for p, v in zip(wanted, values, strict=True)}
        args = (X[:, :12].double(), EDGES)
        return torch.func.functional_call(learner.eval(), new, args)

    assert torch.autograd.gradcheck(run, tuple(wanted), atol=1e-6)


def test_fit_learns_tasks_on_sparse_features():
    data = planted_partition(200, num_classes=2, seed=60413)
    data = split(data, "random", seed=60413)
    data.x = torch.cat([data.x * (data.x > 0.7), torch.zeros(200, 80)], dim=1)
    torch.manual_seed(17)
    learner = RankUpdate(GCN(data.num_features, 16, 2), rank=6, seed=73)
    config = FitConfig(epochs=40, decay_first_layer_only=True, weight_decay=5e-4)
    assert type(sparse_features(data.x)).__name__ == "SparseFeatures"
    scores = []
    for _ in range(2):
        learner.add_task(2)
        fit(learner, data, config=config, seed=5)
        scores.append(evaluate(learner, data, "test_mask"))
        data = copy.copy(data)
        data.y = 1 - data.y
    assert min(scores) > 0.85
    data.y = 1 - data.y
    assert evaluate(learner.select(1), data, "test_mask") == scores[1]
    data.y = 1 - data.y
    assert evaluate(learner.select(0), data, "test_mask") == scores[0]


def test_fit_decays_the_new_columns_of_the_first_layer_where_only_that_decays():
    data = split(planted_partition(60, num_classes=2, seed=60413), "random-5-5")
    norms = []
    for decay in (0.0, 10.0):
        torch.manual_seed(17)
        learner = RankUpdate(GCN(data.num_features, 8, 2, dropout=0.0), 4, seed=73)
        learner.add_task(2)
        learner.add_task(2)
        config = FitConfig(
            lr=0.02, weight_decay=decay, decay_first_layer_only=True, epochs=20
        )
        fit(learner, data, config=config)
        norms.append([block.norm().item() for block in learner.layers[0].u])
    assert norms[0][0] == norms[1][0]
    assert norms[0][1] > norms[1][1]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rank": 0}, r"'rank' must be from 1 .* layer, 8 \(got 0\)"),
        ({"rank": 9}, r"'rank' must be from 1 .* layer, 8 \(got 9\)"),
        ({"rank_per_task": 0}, r"'rank_per_task' must be from 1 .*\(got 0\)"),
        ({"start": "ones"}, r"'start' must be 'zeros' or 'previous' \(got 'ones'\)"),
        ({"head": "last"}, r"'head' must name a module of GCN \(got 'last'\)"),
        ({"head": "layers"}, r"before its output layer 'layers' \(got none in GCN\)"),
    ],
)
def test_refused_settings(options, text):
    with pytest.raises(ValueError, match=text):
        make(**options)


def test_refused_models():
    lazy = pyg.GCN(-1, 8, 2, 4)
    with pytest.raises(ValueError, match=r"'convs.0.lin.weight' must have a shape"):
        RankUpdate(lazy, 4)
    pruned = MODELS["gcn"]()
    Pruner(pruned, Magnitude(), sparsity=0.5)
    with pytest.raises(ValueError, match=r"'layers.0.lin.weight' must have no mask"):
        RankUpdate(pruned, 4)
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    tied[1].weight = tied[0].weight
    with pytest.raises(ValueError, match=r"must be used by one module \(got 0.weight"):
        RankUpdate(tied, 2)


def test_refused_tasks():
    learner = make()
    with pytest.raises(ValueError, match=r"the 0 tasks .*got None\); call add_task"):
        learner(X, EDGES)
    learner.add_task(2)
    for task in (1, -1):
        with pytest.raises(ValueError, match=rf"the 1 tasks .*got {task}\)"):
            learner.select(task)
    with pytest.raises(ValueError, match=r"'num_classes' must be at least 1 \(got 0\)"):
        learner.add_task(0)
    assert learner.num_tasks == 1

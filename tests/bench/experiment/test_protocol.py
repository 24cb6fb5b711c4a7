"""A run has the settings recorded in its row."""

from dataclasses import replace

import pytest
import torch
from torch_geometric.utils import is_undirected

from gsparse.bench import KEYS, Config, Workspace, append_row, run_one
from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.config import REACH
from gsparse.bench.experiment.masks import fit_learned
from gsparse.bench.experiment.protocol import prepare
from gsparse.bench.tables.summary import summarise
from gsparse.data import load
from gsparse.nn import DropEdge
from gsparse.train import GCNII, EdgeExchange, evaluate, fit
from gsparse.transforms import EffectiveResistance, RandomEdge

DENSE = Config("digits", "random-5-30", "gcn", "Dense", 0.0, epochs=3)
CUT = replace(DENSE, method="RandomEdge", sparsity=0.8)
WEIGHED = replace(CUT, method="EffectiveResistance", reweight=True)
MLP = replace(DENSE, model="mlp", method="MLP", sparsity=1.0)
NUM_PAIRS = 48292 // 2


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def workspace():
    return Workspace()


@pytest.mark.parametrize("config", [DENSE, CUT, WEIGHED, MLP], ids=lambda c: c.method)
def test_row_has_all_keys_and_can_be_written(config, workspace, tmp_path):
    row = run_one(config, 4, workspace)
    append_row(tmp_path / "a.jsonl", row)
    assert row.keys() >= set(KEYS)
    assert Config.from_row(row) == config
    assert row["config_hash"] == config.hash
    assert 0 < row["val_score"] <= 1
    assert 0 < row["test_score"] <= 1
    assert ("preprocess_seconds" in row) == (config in (CUT, WEIGHED))
    left = {"Dense": NUM_PAIRS, "MLP": 0}.get(config.method, round(0.2 * NUM_PAIRS))
    assert (row["num_pairs_before"], row["num_pairs_after"]) == (NUM_PAIRS, left)
    assert row["sparsity"] == pytest.approx(config.sparsity, abs=0.5 / NUM_PAIRS)


def test_edges_are_removed_physically_by_the_transform_itself(workspace):
    data = load("digits", split="random-5-30", seed=4)
    expected = RandomEdge(0.8, seed=4)(data)
    trial = prepare(CUT, 4, workspace)
    assert trial.fit_data.edge_index.equal(expected.edge_index)
    assert trial.fit_data.train_mask.equal(data.train_mask)
    assert trial.fit_data.get("edge_weight") is None
    assert is_undirected(trial.fit_data.edge_index)


@pytest.mark.parametrize("sparsity", [0.5, 0.8])
def test_shared_scores_give_what_each_transform_gives(workspace, sparsity):
    data = load("digits", split="random-5-30", seed=6)
    expected = EffectiveResistance(sparsity, seed=6)(data)
    out = prepare(replace(WEIGHED, sparsity=sparsity), 6, workspace).test_data
    assert out.edge_index.equal(expected.edge_index)
    assert out.edge_weight.equal(expected.edge_weight)


def test_scores_are_computed_once_for_a_curve(monkeypatch):
    calls = []
    score = EffectiveResistance.importance
    monkeypatch.setattr(
        EffectiveResistance, "importance", lambda *a: (calls.append(1), score(*a))[1]
    )
    workspace = Workspace()
    for sparsity in (0.5, 0.7, 0.9):
        prepare(replace(WEIGHED, sparsity=sparsity), 6, workspace)
    assert len(calls) == 2  # one of them warms up
    prepare(WEIGHED, 7, workspace)
    assert len(calls) == 3


def test_row_says_how_resistances_were_found(caplog):
    workspace = Workspace()
    found = prepare(WEIGHED, 6, workspace).facts["score_method"]
    assert found in ("exact", "tree", "jl")
    assert caplog.records == []  # nobody else hears it at the default level
    assert "score_method" not in prepare(CUT, 6, workspace).facts


def test_weights_are_left_out_when_ignored(workspace):
    trial = prepare(replace(WEIGHED, reweight=False), 6, workspace)
    assert trial.test_data.get("edge_weight") is None
    with_weights = prepare(WEIGHED, 6, workspace)
    assert with_weights.test_data.edge_index.equal(trial.test_data.edge_index)


def test_drop_edge_leaves_edges_out_while_it_trains_only(workspace):
    config = replace(DENSE, method="DropEdge", sparsity=0.7)
    trial = prepare(config, 4, workspace)
    assert isinstance(trial.model, DropEdge)
    assert trial.model.p == 0.7
    assert trial.fit_data.edge_index.size(1) == 2 * NUM_PAIRS
    row = run_one(config, 4, workspace)
    assert (row["sparsity"], row["sparsity_target"]) == (0.0, 0.7)
    assert "preprocess_seconds" not in row
    assert Config.from_row(row) == config
    dense = run_one(DENSE, 4, workspace)
    assert row["val_score"] != dense["val_score"]


def test_drop_edge_on_top_of_a_cut(workspace):
    config = replace(CUT, drop_edge=0.25)
    trial = prepare(config, 4, workspace)
    assert isinstance(trial.model, DropEdge)
    assert trial.model.p == 0.25
    alone = prepare(CUT, 4, workspace).fit_data.edge_index
    assert torch.equal(trial.fit_data.edge_index, alone)
    row = run_one(config, 4, workspace)
    assert (row["sparsity_target"], row["drop_edge"]) == (0.8, 0.25)
    assert Config.from_row(row) == config
    assert config.as_dense() == DENSE
    names = [line.name for line in summarise([row])[0].lines]
    assert names == ["RandomEdge + DropEdge"]


def test_deep_models_on_the_edges_that_a_shallow_teacher_chose(workspace):
    """One mask for every depth, and the cut graph meets a deep model of its own."""
    shallow = replace(DENSE, method="KEdge", sparsity=0.8, teacher="edges")
    deep = replace(shallow, num_layers=3, backbone="batch-norm")
    one, two = (prepare(config, 4, workspace) for config in (shallow, deep))
    assert one.fit_data.edge_index is two.fit_data.edge_index
    assert len(two.model.layers) == 3
    assert two.model.layers[1].norm is not None
    row = run_one(deep, 4, workspace)
    assert (row["num_layers"], row["hidden"], row["backbone"]) == (3, 64, "batch-norm")
    assert Config.from_row(row) == deep


@pytest.mark.parametrize("method", ["EdgeExchange", "KEdge", "RandomEdge"])
def test_deep_weights_at_rest(workspace, method):
    """The edges are cut for the deep model, whose weights DropEdge helped to train."""
    deep = replace(DENSE, num_layers=3, backbone="gcnii", epochs=5, drop_edge=0.5)
    teacher = "none" if method == "RandomEdge" else "edges"
    config = replace(
        deep, method=method, sparsity=0.8, teacher=teacher, training="rest"
    )
    trial = prepare(config, 4, workspace)
    assert type(trial.model) is GCNII
    dense = workspace.dense(config, 4)
    without = replace(config, drop_edge=None)
    for other in (without, replace(config, num_layers=2)):
        assert workspace.dense(other, 4) is not dense
    graph, chosen = workspace.graphs(config, 4).fit, deep.recipe()
    plain = chosen.build(graph, 4)
    fit(DropEdge(plain, 0.5), graph, config=replace(chosen.fit, epochs=5), seed=4)
    for ours, theirs in zip(trial.model.parameters(), plain.parameters(), strict=True):
        assert ours.equal(theirs)
    if method == "EdgeExchange":
        found = EdgeExchange(0.8, 4).search(plain, graph).data.edge_index
        assert trial.fit_data.edge_index.equal(found)
    row = run_one(config, 4, workspace)
    assert (row["num_layers"], row["backbone"], row["drop_edge"]) == (3, "gcnii", 0.5)
    assert (row["best_epoch"], Config.from_row(row)) == (0, config)


@pytest.mark.parametrize("method", ["Dense", "DropEdge"])
@pytest.mark.parametrize("deep", [{}, {"num_layers": 3, "backbone": "identity"}])
def test_a_finished_run_gives_the_weights_at_rest(monkeypatch, method, deep):
    """It is not trained again, and it is what would be trained again."""
    trained = replace(DENSE, method=method, sparsity=0.5 * (method != "Dense"), **deep)
    drop = trained.sparsity or None
    config = replace(DENSE, method="RandomEdge", sparsity=0.8, training="rest", **deep)
    config = replace(config, drop_edge=drop)
    again = Workspace().dense(config, 4)
    workspace = Workspace()
    run_one(trained, 4, workspace)
    monkeypatch.setattr("gsparse.bench.experiment.workspace.fit", None)
    for ours, theirs in zip(
        workspace.dense(config, 4).parameters(), again.parameters(), strict=True
    ):
        assert ours.equal(theirs)


@pytest.mark.parametrize(
    "changes",
    [
        {"drop_edge": 0.5},
        {"teacher": "weights"},
        {"model": "mlp", "method": "MLP", "sparsity": 1.0},
        {"pruner": "Magnitude", "weight_sparsity_target": 0.5},
        {"method": "RandomEdge", "sparsity": 0.5},
    ],
)
def test_runs_that_are_not_the_dense_model(workspace, changes):
    fresh, config = Workspace(), replace(DENSE, **changes)
    fresh.keep_dense(config, 4, workspace.dense(DENSE, 4))
    assert not fresh._dense


def test_tuning_runs_take_no_test_score(workspace):
    row = run_one(replace(DENSE, final=False), 100, workspace)
    assert row["test_score"] is None
    assert row["val_score"] > 0


def test_same_seed_same_edges_and_weights_at_the_start(workspace):
    one, two = prepare(CUT, 8, workspace), prepare(CUT, 8, Workspace())
    assert one.fit_data.edge_index.equal(two.fit_data.edge_index)
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert a.equal(b)
    assert not prepare(CUT, 9, workspace).fit_data.train_mask.equal(
        one.fit_data.train_mask
    )


def test_inductive_training_never_sees_a_test_node(workspace):
    config = replace(WEIGHED, split="inductive-60-20-20")
    trial = prepare(config, 3, workspace)
    seen = trial.fit_data.n_id
    assert not trial.test_data.test_mask[seen].any()
    assert len(seen) == int((~trial.test_data.test_mask).sum())
    assert not trial.fit_data.test_mask.any()
    assert trial.test_data.num_nodes == 1797
    dense = prepare(replace(config, method="Dense", sparsity=0.0), 3, workspace)
    for name in ("fit_data", "test_data"):
        left, all_edges = getattr(trial, name).num_edges, getattr(dense, name).num_edges
        assert abs(left - 0.2 * all_edges) <= 1
    row = run_one(config, 3, workspace)
    assert row["split"] == "inductive-60-20-20"
    assert row["test_score"] > 0


@pytest.mark.parametrize(
    ("method", "teacher", "training", "keys"),
    [
        ("KEdge", "edges", "finetune", {"training", "mask_epoch_seconds"}),
        ("KEdge", "edges", "rest", {"training", "mask_epoch_seconds"}),
        ("RandomEdge", "none", "rest", {"training", "preprocess_seconds"}),
        ("KEdge", "none", "joint", {"training", "mask_epoch_seconds"}),
        ("PredictionAgreement", "edges", "scratch", {"preprocess_seconds"}),
        ("EdgeLottery", "none", "scratch", {"preprocess_seconds"}),
        ("RandomEdge", "weights", "scratch", {"preprocess_seconds"}),
    ],
)
def test_rows_of_learned_masks_and_teachers(method, teacher, training, keys, workspace):
    (config,) = [
        found
        for found in configs(
            ["digits"],
            ["gcn"],
            [method],
            [0.3],
            epochs=3,
            teacher=teacher,
            trainings=[training],
        )
        if found.method == method
    ]
    row = run_one(config, 4, workspace)
    assert row["teacher"] == teacher
    assert row.get("training", "scratch") == training
    assert keys <= row.keys()
    assert row["sparsity"] == pytest.approx(0.3, abs=1e-4)
    assert Config.from_row(row) == config
    if method == "KEdge":
        assert ("predictions_kept" in row) == (teacher == "edges")


def test_finetuning_starts_from_the_dense_model(workspace):
    (config,) = [
        found
        for found in configs(
            ["digits"], ["gcn"], ["RandomEdge"], [0.3], trainings=["finetune"], epochs=3
        )
        if found.method == "RandomEdge"
    ]
    trial = prepare(config, 4, workspace)
    dense = workspace.dense(config, 4)
    for key, value in trial.model.state_dict().items():
        assert torch.equal(value, dense.state_dict()[key]), key
    assert trial.model is not dense


def test_weights_at_rest_are_those_of_the_dense_model_on_the_sparse_graph(workspace):
    (config,) = [
        found
        for found in configs(
            ["digits"], ["gcn"], ["RandomEdge"], [0.95], trainings=["rest"], epochs=9
        )
        if found.method == "RandomEdge"
    ]
    row = run_one(config, 4, workspace)
    dense, cut = workspace.dense(config, 4), workspace.sparsify(config, 4).test
    for mask in ("val", "test"):
        expected = evaluate(dense, cut, f"{mask}_mask")
        assert row[f"{mask}_score"] == expected
        full = workspace.graphs(config, 4).fit
        assert expected != evaluate(dense, full, f"{mask}_mask")
    assert row["num_epochs"] == row["best_epoch"] == 0
    assert row["train_epoch_seconds"] is None
    assert row["infer_seconds"] > 0


def test_one_mask_serves_all_ways_of_training(workspace, monkeypatch):
    calls = []

    def count(*args):
        calls.append(args)
        return fit_learned(*args)

    monkeypatch.setattr("gsparse.bench.experiment.workspace.fit_learned", count)
    for config in configs(
        ["digits"],
        ["gcn"],
        ["KEdge"],
        [0.3],
        trainings=["rest", "finetune", "scratch"],
        epochs=2,
    ):
        run_one(config, 4, workspace)
    assert len(calls) == 1


def test_one_search_serves_both_ways_of_training(workspace, monkeypatch):
    calls, search = [], EdgeExchange.search
    note = lambda *args: (calls.append(args), search(*args))[1]  # noqa: E731
    monkeypatch.setattr(EdgeExchange, "search", note)
    ways = {"trainings": ["rest", "finetune"], "epochs": 2}
    for config in configs(["digits"], ["gcn"], ["EdgeExchange"], [0.3, 0.5], **ways):
        run_one(config, 4, workspace)
    assert len(calls) == 2  # a search for each sparsity


def test_masks_of_one_graph_are_refused_where_there_are_two(workspace):
    config = Config(
        "digits",
        "inductive-random-5-30",
        "gcn",
        "KEdge",
        0.3,
        epochs=2,
        teacher="edges",
    )
    text = r"learns a mask of one graph \(got .*\); use --edge-terms without"
    with pytest.raises(ValueError, match=text):
        run_one(config, 4, workspace)


def test_a_mask_of_features_is_fitted_on_one_graph_and_cuts_both(workspace):
    split = "inductive-random-5-30"
    config = replace(DENSE, split=split, method="KEdge", sparsity=0.3, teacher="edges")
    config = replace(config, edge_terms=False, training="rest", epochs=2)
    graphs, cut = workspace.graphs(config, 4), workspace.sparsify(config, 4)
    assert graphs.fit.num_nodes < graphs.test.num_nodes
    for whole, left in ((graphs.fit, cut.fit), (graphs.test, cut.test)):
        assert abs(left.num_edges - 0.7 * whole.num_edges) <= 2
    mask = cut.mask.module
    assert torch.equal(mask.sparsify(graphs.test).edge_index, cut.test.edge_index)
    row = run_one(config, 4, workspace)
    assert row["test_score"] == evaluate(mask.model, cut.test, "test_mask")
    assert row["val_score"] == evaluate(mask.model, cut.fit, "val_mask")


def test_parts_of_a_graph_tell_no_seconds_of_the_whole():
    """The same score, and seconds under another name."""
    whole = replace(DENSE, model="gat")
    rows = [run_one(it, 3) for it in (whole, replace(whole, hops=2))]
    assert rows[0]["config_hash"] != rows[1]["config_hash"]
    assert rows[1]["hops"] == 2
    assert rows[1]["train_epoch_seconds"] is rows[1]["infer_seconds"] is None
    assert rows[1]["field_epoch_seconds"] > 0
    assert abs(rows[0]["val_score"] - rows[1]["val_score"]) < 0.2


@pytest.mark.parametrize("model", REACH)
def test_reach_is_what_the_models_read_and_no_more(model):
    """One hop less changes the outputs of a fresh model, so that no fit accepts it."""
    config = replace(DENSE, model=model, method="Dense", epochs=1, hops=REACH[model])
    assert run_one(config, 3)["hops"] == REACH[model]
    with pytest.raises(ValueError, match=r"'hops' must reach all that the model reads"):
        run_one(replace(config, hops=REACH[model] - 1), 3)

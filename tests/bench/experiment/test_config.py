"""Configurations: the grid, the hash, and what makes a row stale."""

from dataclasses import fields, replace

import pytest

from gsparse.bench.experiment import config as config_module
from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.methods import (
    default_reweight,
    method_class,
)
from gsparse.bench.stale import is_stale
from gsparse.bench.tables.rows import KEYS
from gsparse.nn import KEdge
from gsparse.transforms import RandomEdge
from gsparse.transforms.by_name import sparsifier_class, sparsifiers

BASE = Config("digits", "random-5-30", "gat", "EffectiveResistance", 0.5, True)
HASH = "9c3980a7014c"  # of a row from before the keys of later versions
OTHER = {
    "dataset": "Cora",
    "split": "public",
    "model": "gcn",
    "method": "DSpar",
    "sparsity": 0.8,
    "reweight": False,
    "epochs": 7,
    "final": False,
    "device": "cuda",
    "teacher": "weights",
    "training": "finetune",
    "teacher_model": "gcn",
    "pruner": "Magnitude",
    "weight_sparsity_target": 0.9,
    "hidden_channels": 8,
    "drop_edge": 0.4,
    "edge_terms": True,
    "hops": 2,
    "graph_fingerprint": "0123456789ab",
    "model_fingerprint": "ba9876543210",
}
PLACE = {"table": "other", "graph_file": "a/b.npz", "labels_file": "b.csv"}

DEEP = Config(
    "PubMed", "public", "gcn", "Dense", 0.0, num_layers=16, backbone="batch-norm"
)
DEEPER = {"num_layers": 8, "backbone": "plain"}


def row_of(config):
    return dict.fromkeys(KEYS, "x") | {
        "dataset": config.dataset,
        "split": config.split,
        "model": config.model,
        "method": config.method,
        "sparsity": config.sparsity + 1e-4,  # what was hit, not what was asked
        "sparsity_target": config.sparsity,
        "reweight": config.reweight,
        "device": config.device,
        "table": config.table,
        "test_score": 0.5 if config.final else None,
        "max_epochs": config.epochs,
        "config_hash": config.hash,
        "teacher": config.teacher,
        "training": config.training,
        "teacher_model": config.teacher_model,
        "pruner": config.pruner,
        "weight_sparsity_target": config.weight_sparsity_target,
        "hidden_channels": config.hidden_channels,
        "backbone": config.backbone,
        "num_layers": config.num_layers,
        "drop_edge": config.drop_edge,
        "hops": config.hops,
        "edge_terms": config.edge_terms,
        "graph_file": config.graph_file,
        "labels_file": config.labels_file,
        "graph_fingerprint": config.graph_fingerprint,
        "model_fingerprint": config.model_fingerprint,
    }


@pytest.mark.parametrize("field", OTHER)
def test_every_field_but_places_enters_the_hash(field):
    changed = replace(BASE, **{field: OTHER[field]})
    assert changed.hash != BASE.hash
    assert replace(BASE, **PLACE).hash == BASE.hash
    assert {f.name for f in fields(Config)} == {*OTHER, *DEEPER, *PLACE}


def test_rows_of_receptive_fields_from_before_are_accepted():
    local = replace(BASE, hops=2)
    assert local.recipe().fit.hops == 2
    assert local.hashes == (local.hash, BASE.hash)
    assert BASE.hashes == (BASE.hash,)  # a new row of a field is none of a whole graph
    earlier = row_of(local) | {"config_hash": BASE.hash}
    assert not is_stale(row_of(local))
    assert not is_stale(earlier)


def test_masks_learned_with_fresh_weights_have_a_revision_of_their_own(monkeypatch):
    joint = replace(BASE, method="KEdge", reweight=None, training="joint")
    before = joint.hash, BASE.hash
    monkeypatch.setattr(config_module, "JOINT_REVISION", 3)
    assert joint.hash != before[0]
    assert BASE.hash == before[1]


@pytest.mark.parametrize("field", DEEPER)
def test_depth_and_backbone_enter_the_hash_and_come_back(field):
    changed = replace(DEEP, **{field: DEEPER[field]})
    assert changed.hash != DEEP.hash
    assert Config.from_row(row_of(changed)) == changed


def test_layers_that_every_row_tells_make_no_deep_model():
    assert Config.from_row(row_of(BASE) | {"num_layers": 2}) == BASE


def test_depth_decides_the_recipe_and_not_that_of_the_teacher():
    options = DEEP.recipe().options
    assert (options["num_layers"], options["batch_norm"]) == (16, True)
    plain = replace(DEEP, backbone="plain", num_layers=2)
    assert "batch_norm" not in plain.recipe().options
    standard = replace(plain, backbone=None, num_layers=None)
    assert standard.recipe().options["hidden_channels"] == 16
    assert standard.hash != plain.hash


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"backbone": None}, r"go together, .* \(got None, 16 and gcn\)"),
        ({"num_layers": None}, r"go together, .* \(got batch-norm, None and gcn\)"),
        ({"model": "gat"}, r"with model gcn .* and gat\)"),
        (
            {"backbone": "wide"},
            r"'backbone' must be one of plain, identity, batch-norm",
        ),
        ({"training": "finetune"}, "trained from scratch, .* or are left at rest"),
        ({"method": "KEdge", "sparsity": 0.5}, r"got KEdge, scratch, teacher none"),
        ({"method": "EdgeLottery", "sparsity": 0.5}, "got EdgeLottery"),
    ],
)
def test_deep_models_that_there_are_not(changes, text):
    with pytest.raises(ValueError, match=text):
        _ = replace(DEEP, **changes).hash


@pytest.mark.parametrize("field", OTHER)
def test_a_row_gives_its_configuration_back(field):
    config = replace(BASE, **{field: OTHER[field]})
    assert Config.from_row(row_of(config)) == config


def test_a_new_revision_makes_rows_stale(monkeypatch):
    config = Config("digits", "random-5-30", "gcn", "RandomEdge", 0.5)
    row = row_of(config)
    assert not is_stale(row)
    monkeypatch.setattr(RandomEdge, "revision", RandomEdge.revision + 1)
    assert is_stale(row)
    assert not is_stale(row_of(BASE))


def test_a_method_that_is_gone_makes_rows_stale():
    assert is_stale(row_of(BASE) | {"method": "Gone"})


def test_grid_always_has_its_baselines():
    grid = configs(["digits"], ["gcn", "gat"], ["RandomEdge"], [0, 0.5, 0.8])
    found = [(c.model, c.method, c.sparsity) for c in grid]
    assert found == [
        ("gcn", "Dense", 0.0),
        ("gcn", "RandomEdge", 0.5),
        ("gcn", "RandomEdge", 0.8),
        ("gat", "Dense", 0.0),
        ("gat", "RandomEdge", 0.5),
        ("gat", "RandomEdge", 0.8),
        ("mlp", "MLP", 1.0),
    ]


def test_names_of_data_sets_and_splits_are_made_the_same():
    one = configs(["pubmed"], ["gcn"], ["DSpar"], [0.5], split="60/20/20")
    two = configs(["PubMed"], ["gcn"], ["DSpar"], [0.5], split="60-20-20")
    assert one == two


def test_inductive_split_names_its_masks():
    def split_of(split):
        return configs(["PubMed"], ["gcn"], [], [], split=split)[0].split

    assert split_of("inductive") == "inductive-public"
    assert split_of("inductive-60/20/20") == "inductive-60-20-20"


def test_weights_follow_the_model_unless_asked():
    def weights(model, method, wanted=None):
        grid = configs(["digits"], [model], [method], [0.5], reweight=wanted)
        return grid[1].reweight

    default = default_reweight("EffectiveResistance", "gat")
    assert isinstance(default, bool)
    assert weights("gat", "EffectiveResistance") is default
    assert weights("gat", "EffectiveResistance", wanted=not default) is not default
    assert weights("gcn", "EffectiveResistance") is True
    assert weights("gcn", "RandomEdge", wanted=True) is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"models": ["gin"]}, r"'model' must be one of gcn, gat, sage \(got gin\)"),
        ({"models": ["mlp"]}, r"'model' must be one of gcn, gat, sage \(got mlp\)"),
        ({"methods": ["Best"]}, r"'method' must be one of .*DSpar.* \(got Best\)"),
        ({"sparsities": [1.0]}, r"'sparsity' must be in \[0, 1\) \(got 1.0\)"),
        ({"sparsities": [-0.1]}, r"'sparsity' must be in \[0, 1\) \(got -0.1\)"),
        ({"datasets": ["Pubmeed"]}, "PubMed"),
        ({"split": "fair"}, "'split' must be"),
    ],
)
def test_refusals(changes, text):
    good = {
        "datasets": ["digits"],
        "models": ["gat"],
        "methods": ["DSpar"],
        "sparsities": [0.5],
    }
    with pytest.raises(ValueError, match=text):
        configs(**(good | changes))


def test_sparsifiers_are_the_public_ones():
    assert {"EffectiveResistance", "RandomEdge", "DSpar"} <= set(sparsifiers())
    assert all(sparsifier_class(name) is cls for name, cls in sparsifiers().items())
    assert method_class("Dense") is None
    assert method_class("KEdge") is KEdge


def test_younger_keys_leave_the_hashes_of_old_rows_alone():
    assert Config("digits", "random-5-30", "gcn", "Dense", 0.0).hash == HASH
    row = row_of(BASE)
    del row["training"], row["teacher_model"]
    assert Config.from_row(row | {"teacher": "none"}) == BASE


def test_a_teacher_is_used_for_as_little_as_a_method_needs():
    methods = ["RandomEdge", "PredictionAgreement", "KEdge"]
    found = configs(["digits"], ["gcn"], methods, [0.5])
    assert [c.teacher for c in found] == ["none", "none", "edges", "edges", "none"]
    found = configs(["digits"], ["gcn"], ["RandomEdge"], [0.5], teacher="weights")
    assert [(c.method, c.model, c.teacher, c.teacher_model) for c in found] == [
        ("Dense", "gcn", "none", None),
        ("Dense", "gcn", "weights", None),
        ("MLP", "mlp", "weights", "gcn"),
        ("RandomEdge", "gcn", "weights", None),
        ("MLP", "mlp", "none", None),
    ]


@pytest.mark.parametrize(
    ("method", "options", "text"),
    [
        ("PredictionAgreement", {"teacher": "none"}, "needs a trained model"),
        ("KEdge", {"trainings": ["joint"]}, "with teacher none"),
        ("RandomEdge", {"trainings": ["joint"]}, "got RandomEdge, teacher none"),
        ("KEdge", {"teacher": "none", "trainings": ["finetune"]}, "scratch or joint"),
        ("KEdge", {"teacher": "none", "trainings": ["rest"]}, "got rest for KEdge"),
        ("DSpar", {"teacher": "weights", "trainings": ["rest"]}, "enters the loss"),
        ("DropEdge", {"trainings": ["rest"]}, "that remove edges"),
        ("KEdge", {"trainings": ["warm"]}, r"finetune, rest, joint \(got warm\)"),
    ],
)
def test_ways_of_training_that_a_method_does_not_have(method, options, text):
    with pytest.raises(ValueError, match=text):
        configs(["digits"], ["gcn"], [method], [0.5], **options)

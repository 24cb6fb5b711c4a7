"""Means, standard deviations, break-even and layout of small tables."""

import pytest

from gsparse.bench.tables.rows import KEYS
from gsparse.bench.tables.summary import break_even, summarise
from gsparse.bench.tables.table import format_blocks, seconds

BASE = dict.fromkeys(KEYS, "x") | {
    "dataset": "digits",
    "split": "random",
    "model": "gat",
    "num_layers": 2,
    "hidden": 8,
    "metric": "accuracy",
    "device": "cpu",
    "val_score": 0.9,
}


def runs(method, sparsity, scores, **changes):
    """One row a score; the configuration is what is given here."""
    name = f"{method} {sparsity} {sorted(changes.items())}"
    given = {"method": method, "sparsity": sparsity, "config_hash": name} | changes
    return [
        BASE | given | {"seed": seed, "test_score": score}
        for seed, score in enumerate(scores)
    ]


def example():
    return [
        *runs("MLP", 1.0, [0.5, 0.7], model="mlp", hidden=64, train_epoch_seconds=0.01),
        *runs("RandomEdge", 0.8, [0.6], train_epoch_seconds=0.05),
        *runs(
            "EffectiveResistance",
            0.8,
            [0.80, 0.82, 0.84],
            train_epoch_seconds=0.1,
            preprocess_seconds=3.0,
            num_pairs_after=90,
            num_pairs_spanning=100,
        ),
        *runs("Dense", 0.0, [0.9, 0.88], train_epoch_seconds=0.4),
    ]


def test_block_orders_its_lines_and_takes_the_mlp_in():
    (block,) = summarise(example())
    methods = [line.method for line in block.lines]
    assert methods == ["Dense", "EffectiveResistance", "RandomEdge", "MLP"]
    assert block.title["model"] == "gat"


def test_backbones_are_blocks_of_their_own():
    rows = [
        *runs("Dense", 0.0, [0.4], backbone="plain"),
        *runs("Dense", 0.0, [0.7], backbone="batch-norm"),
        *runs("Dense", 0.0, [0.5]),
    ]
    plain, normed, other = summarise(rows)
    assert [block.lines[0].test_mean for block in (plain, normed)] == [0.4, 0.7]
    titles = [format_blocks([b]).split(":")[0] for b in (plain, normed, other)]
    ends = [title.partition("2x8")[2] for title in titles]
    assert ends == [" plain", " batch-norm", ""]


def test_mean_and_sample_deviation_by_hand():
    (block,) = summarise(example())
    line = block.lines[1]
    assert line.num_seeds == 3
    assert line.test_mean == pytest.approx(0.82)
    assert line.test_std == pytest.approx(0.02)
    assert block.lines[2].test_std is None


def test_break_even_by_hand():
    """3 s of preparation at 0.3 s saved an epoch are ten epochs."""
    (block,) = summarise(example())
    assert block.lines[1].break_even_epochs == pytest.approx(10)
    assert break_even(3.0, 0.1, 0.4) is None
    assert break_even(3.0, 0.4, 0.4) is None
    assert break_even(None, 0.4, 0.1) is None


def test_weights_and_sparsities_are_lines_of_their_own():
    rows = [
        *runs("DSpar", 0.5, [0.1], reweight=True),
        *runs("DSpar", 0.5, [0.2], reweight=False),
        *runs("DSpar", 0.9, [0.3], reweight=False),
    ]
    (block,) = summarise(rows)
    seen = [(line.name, line.sparsity, line.test_mean) for line in block.lines]
    assert seen == [
        ("DSpar", 0.5, 0.2),
        ("DSpar", 0.9, 0.3),
        ("DSpar w", 0.5, 0.1),
    ]


def test_models_are_blocks_of_their_own_and_share_the_mlp():
    rows = example() + runs("Dense", 0.0, [0.4], model="gcn", hidden=16)
    gat, gcn = summarise(rows)
    assert [line.method for line in gcn.lines] == ["Dense", "MLP"]
    assert len(gat.as_records()) == 4
    assert gcn.as_records()[0]["model"] == "gcn"


def test_an_mlp_alone_is_a_block():
    (block,) = summarise(runs("MLP", 1.0, [0.5], model="mlp"))
    assert [line.method for line in block.lines] == ["MLP"]


def test_rows_without_test_scores_have_no_mean():
    (block,) = summarise(runs("Dense", 0.0, [None, None]))
    assert block.lines[0].test_mean is None
    assert block.lines[0].val_mean == pytest.approx(0.9)


def test_text_fits_a_terminal_and_says_whether_it_pays():
    rows = [
        row | {"train_peak_bytes": 5 * 2**30, "infer_seconds": 0.0123, "reweight": r}
        for row in example()
        for r in [True if row["method"] == "EffectiveResistance" else None]
    ]
    text = format_blocks(summarise(rows))
    assert max(map(len, text.splitlines())) <= 80
    assert "digits (random), gat 2x8: accuracy in %, mean ± std over n seeds" in text
    assert "82.0 ± 2.0" in text
    pays = "EffectiveResistance w 80% pays after 3.00s / 300ms an epoch = 10 epochs"
    assert f"{pays}, but\n  loses 7.0 points" in text
    assert "no (1±ε) exists: EffectiveResistance w 80%" in text
    legend = "w: trained with the method's new edge weights"
    assert text.index(legend) < text.index("method ")
    assert "drop the graph?" not in text


@pytest.mark.parametrize("method", ["Dense", "EffectiveResistance"])
def test_what_was_not_timed_is_not_judged(method):
    """Runs on parts of the graph have no seconds to compare."""
    rows = [
        row | ({"train_epoch_seconds": None} if row["method"] == method else {})
        for row in example()
    ]
    text = format_blocks(summarise(rows))
    assert "pays after" not in text
    assert "not clearly faster" not in text


def test_a_gain_within_the_spread_of_the_seeds_does_not_pay():
    rows = [
        row
        | {"train_epoch_seconds": row["train_epoch_seconds"] * (1 + 3 * row["seed"])}
        for row in example()
    ]
    text = format_blocks(summarise(rows))
    assert "An epoch is not clearly faster: EffectiveResistance 80%" in text
    assert "pays after" not in text


def test_text_without_measurements_has_no_empty_columns():
    text = format_blocks(summarise(runs("Dense", 0.0, [0.5])))
    assert "peak" not in text
    assert "epoch" not in text


def test_a_close_mlp_is_said():
    rows = [
        *runs("Dense", 0.0, [0.80, 0.84]),
        *runs("MLP", 1.0, [0.81, 0.81], model="mlp"),
    ]
    assert "The MLP is 1.0 points from Dense: drop the graph?" in format_blocks(
        summarise(rows)
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0005, "0.5ms"), (0.9994, "999ms"), (1, "1.00s"), (600, "10.0min")],
)
def test_seconds_change_unit(value, text):
    assert seconds(value) == text


def test_mlps_of_another_width_stand_elsewhere():
    rows = [
        *runs("Dense", 0.0, [0.8]),
        *runs("Dense", 0.0, [0.9], hidden=64, hidden_channels=64),
        *runs("MLP", 1.0, [0.5], model="mlp", hidden=16),
        *runs("MLP", 1.0, [0.6], model="mlp", hidden=64, hidden_channels=64),
    ]
    found = [[line.test_mean for line in block.lines] for block in summarise(rows)]
    assert found == [[0.8, 0.5], [0.9, 0.6]]


def test_pruners_are_named_and_ordered_by_what_they_remove():
    pruned = {"pruner": "Magnitude"}
    rows = [
        *runs("Dense", 0.0, [0.7], weight_sparsity=0.99, **pruned),
        *runs("Dense", 0.0, [0.8], weight_sparsity=0.9, **pruned),
        *runs("KEdge", 0.5, [0.75], weight_sparsity=0.9, **pruned),
        *runs("Dense", 0.0, [0.9]),
    ]
    (block,) = summarise(rows)
    names = [line.name for line in block.lines]
    assert names == ["Dense", "KEdge + Magnitude", "Magnitude", "Magnitude"]
    assert [line.weight_sparsity for line in block.lines] == [None, 0.9, 0.9, 0.99]


def test_versions_of_one_name_are_blocks_of_their_own():
    """As after an edit of a graph file or of a model, in one file of rows."""
    rows = []
    for version, scores in (("a1", [0.5]), ("b2", [0.9])):
        mark = {"graph_fingerprint": version}
        rows += runs("Dense", 0.0, scores, model_fingerprint="c3", **mark)
        rows += runs("MLP", 1.0, [scores[0] / 2], model="mlp", **mark)
    found = summarise(rows)
    means = [[line.test_mean for line in block.lines] for block in found]
    assert means == [[0.5, 0.25], [0.9, 0.45]]
    assert [it.heading.partition(", version ")[2] for it in found] == ["a1/c3", "b2/c3"]
    assert "version" not in summarise(rows[:2])[0].heading

"""Predicted costs of graph folders."""

import json
from pathlib import Path

import pytest

from gsparse.data import barbell, convert_graph
from gsparse.deploy.folder_cost import describe, first_limit, predict_steps
from gsparse.linalg.stream import expected_columns
from tests.cli.command import run

ROWS = Path(__file__).parents[2] / "docs" / "results" / "large.jsonl"


def measured():
    return [json.loads(line) for line in ROWS.read_text().splitlines()]


@pytest.mark.parametrize(
    "row", measured(), ids=lambda row: f"{row['method']}-{row['size']}"
)
def test_times_are_within_a_factor_of_two_of_the_measured_ones(row):
    is_conversion = row["method"] == "convert"
    method = "RandomEdge" if is_conversion else row["method"]
    steps = predict_steps(row["num_nodes"], row["num_pairs"], method)
    mine = [step for step in steps if (step.name == "convert") == is_conversion]
    seconds = sum(step.seconds for step in mine)
    assert 0.5 <= seconds / row["seconds"] <= 2


@pytest.mark.parametrize(
    "row", measured(), ids=lambda row: f"{row['method']}-{row['size']}"
)
def test_memory_is_not_above_the_predicted_one(row):
    if row["method"] != "convert":  # which takes what it may
        steps = predict_steps(row["num_nodes"], row["num_pairs"], row["method"])
        assert row["peak_bytes"] <= 1.2 * max(step.memory for step in steps)


def test_machines_share_the_columns_only():
    one, two, many = (
        predict_steps(10**8, 10**9, "EffectiveResistance", machines=number)
        for number in (1, 2, 50)
    )
    assert [step.name for step in one] == ["convert", "pieces", "columns", "cut"]
    assert two[2].seconds == pytest.approx(one[2].seconds / 2, rel=1e-3)
    assert two[3] == one[3]
    assert many[2].machines == 2  # of 16 columns
    assert many[2].seconds == two[2].seconds


def test_columns_follow_the_mean_degree():
    assert [expected_columns(it) for it in (1000, 20, 5, 1)] == [16, 16, 56, 512]


def test_what_does_not_fit_is_named():
    steps = predict_steps(10**9, 10**10, "EffectiveResistance")
    text = first_limit(steps, 64 * 10**9)
    assert text == (
        "step 'pieces' does not fit: its nodes take 480 GB on every machine, which has "
        "64 GB"
    )
    assert first_limit(steps, 500 * 10**9) is None
    assert max(map(len, describe(steps, None).splitlines())) <= 80


def test_the_command(tmp_path, capsys):
    convert_graph(barbell(4), tmp_path / "g")
    code, out, _ = run(capsys, "estimate", tmp_path / "g", "--method", "DSpar")
    assert code == 0
    assert out.splitlines()[0].split() == [
        *("step", "machines", "time", "memory", "files", "read")
    ]
    sizes = ["--nodes", "1e9", "--edges", "1e10"]
    code, out, _ = run(capsys, "estimate", *sizes, "--memory", "64GB")
    assert code == 1
    assert "does not fit" in out
    code, out, _ = run(capsys, "estimate", *sizes, "--json", "--memory", "1TB")
    assert code == 0
    assert json.loads(out)["steps"][0]["name"] == "convert"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "give a graph folder, or --nodes and --edges"),
        (["--nodes", "5"], "give both --nodes and --edges"),
        (["--nodes", "5", "--edges", "0"], "'num_pairs' must be at least 1 (got 0)"),
        (
            ["--nodes", "5", "--edges", "9", "--method", "Teddy"],
            "needs the whole graph",
        ),
        (["none"], "no such folder: none"),
    ],
)
def test_refusals(capsys, words, text):
    code, _, err = run(capsys, "estimate", *words)
    assert code == 2
    assert text in err

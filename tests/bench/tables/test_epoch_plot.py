"""The plot of training epochs has the seconds of the tables."""

from pathlib import Path

import pytest

from gsparse.bench.tables.documents import Results
from gsparse.bench.tables.published import BLOCKS
from gsparse.bench.tables.published.epoch_plot import STYLES, plot_epochs, steps
from gsparse.bench.tables.published.speed import duration
from gsparse.bench.tables.rows import select
from tests.cli.command import run

RESULTS = Results(Path(__file__).parents[3] / "docs" / "results")
PLAIN, PEER, OURS, CUT, FLOOR = STYLES


def line(block, graph):
    (found,) = [
        it for it in BLOCKS[block](RESULTS).split("\n") if it.startswith(f"| {graph}")
    ]
    return [it.strip() for it in found.strip("|").split("|")]


@pytest.mark.parametrize("graph", ["Physics", "tolokers", "PubMed"])
def test_steps_are_the_numbers_of_the_tables(graph):
    rows = select(RESULTS("epoch"), {"dataset": graph, "model": "gat"})
    found = {title: duration(it) for title, it in steps(rows).items()}
    assert list(found) == [*STYLES]
    _, peer, ours, _, _, cut, *_ = line("epoch-headline", graph)
    assert found[PEER] == peer.partition(" (")[0]
    assert (found[OURS], found[CUT]) == (ours, cut)
    assert found[PLAIN] == line("epoch-steps", graph)[1]


def test_a_step_that_was_not_run_is_left_out():
    rows = select(RESULTS("epoch"), {"dataset": "PubMed", "model": "sage"})
    assert PLAIN not in steps(rows)
    assert PEER in steps(rows)
    whole = [row for row in rows if row["sparsity"] in (0.0, 1.0)]
    assert list(steps(whole)) == [PEER, OURS, FLOOR]
    assert steps([]) == {}


def test_the_command_draws_epochs(tmp_path, capsys):
    path = tmp_path / "ladder.png"
    rows = RESULTS.folder / "epoch.jsonl"
    found = run(capsys, "report", rows, "--model", "gat", "--plot", path)
    assert found == (0, "", f"plot written to {path}\n")
    assert path.read_bytes().startswith(b"\x89PNG")
    code, _, err = run(capsys, "report", rows, "--dataset", "Nowhere", "--plot", path)
    assert (code, err) == (
        2,
        "error: a plot of epochs needs rows with seconds (got none)\n",
    )


def test_no_seconds_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"needs rows with seconds \(got none\)"):
        plot_epochs([], tmp_path / "a.png")

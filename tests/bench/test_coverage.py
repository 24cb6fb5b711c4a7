"""Rows and the commands that make them."""

import inspect

import pytest

from gsparse.bench.commands import NO_MATTER, Command
from gsparse.bench.coverage import coverage, unknown_commands
from gsparse.bench.experiment.request import requested_tasks
from gsparse.bench.tables.documents import Results
from gsparse.bench.tables.rows import KEYS, append_row
from gsparse.cli import experiments

BENCH = "gsparse bench --dataset digits --method RandomEdge --sparsity 0.5 --seeds 2"
COMMAND = Command(f"{BENCH} --table a")


def write_rows(folder, tasks, **values):
    for task in tasks:
        row = dict.fromkeys(KEYS) | {"config_hash": task.config.hash, "seed": task.seed}
        row |= {"dataset": "digits", "model": task.config.model, "method": "x"}
        append_row(folder / "a.jsonl", row | values)


def test_rows_of_a_command_are_complete(tmp_path):
    assert len(COMMAND.tasks) == 3 * 2  # Dense, RandomEdge and the MLP
    write_rows(tmp_path, COMMAND.tasks)
    found = coverage("a", [COMMAND], Results(tmp_path))
    assert (found.num_rows, found.orphans, found.missing) == (6, [], [])


def test_a_missing_run_and_an_orphan_are_found(tmp_path):
    write_rows(tmp_path, COMMAND.tasks[1:])
    write_rows(tmp_path, COMMAND.tasks[:1], config_hash="other")
    found = coverage("a", [COMMAND], Results(tmp_path))
    assert [row["config_hash"] for row in found.orphans] == ["other"]
    assert found.missing == ["digits Dense, seed 0"]
    assert not coverage(
        "a", [COMMAND], Results(tmp_path), [("a", "digits", "gat")]
    ).missing


def test_rows_without_a_command_are_orphans(tmp_path):
    write_rows(tmp_path, COMMAND.tasks)
    elsewhere = Command(f"{BENCH} --table b")
    assert len(coverage("a", [elsewhere], Results(tmp_path)).orphans) == 6


def test_whole_graphs_are_accepted_for_receptive_fields(tmp_path):
    local = Command(f"{BENCH} --table a --local")
    assert {task.config.hops for task in local.tasks} > {2}
    write_rows(tmp_path, COMMAND.tasks)
    assert not coverage("a", [local], Results(tmp_path)).missing


def test_measurements_are_compared_by_graph(tmp_path):
    command = Command(
        "OMP_NUM_THREADS=1 python -m gsparse.bench.contests resistance_families "
        "--graphs 'joined by 1, 1,000 nodes,PubMed'"
    )
    assert command.table == "resistance_families"
    assert command.graphs == ("joined by 1, 1,000 nodes", "PubMed")
    row = dict.fromkeys(KEYS) | {"config_hash": "x", "seed": 0, "method": "jl"}
    for graph in ("PubMed", "Cora"):
        made = row | {"dataset": graph, "config_hash": graph}
        append_row(tmp_path / "resistance_families.jsonl", made)
    found = coverage("resistance_families", [command], Results(tmp_path))
    assert [it["dataset"] for it in found.orphans] == ["Cora"]
    assert found.missing == ["joined by 1, 1,000 nodes"]


def test_options_are_those_of_the_command_line():
    """By name and default; the rest changes no row."""
    typed = inspect.signature(experiments.bench).parameters
    known = inspect.signature(requested_tasks).parameters
    rest = {name.replace("-", "_") for name in NO_MATTER}
    assert set(typed) - set(known) == rest | {"plan", "memory", "plot", "as_json"}
    for name, parameter in known.items():
        assert (typed[name].default or ()) == (parameter.default or ()), name


DOCUMENT = """\
Text with `gsparse bench` and `gsparse reproduce fastgat`.

    gsparse bench --dataset digits --seeds 2 \\
      --method RandomEdge --sparsity 0.5 --table a --jobs 2 --threads 2 --out here  # 1
    gsparse bench --dataset digits --plan
    gsparse bench --dataset graph.npz --seeds 7
    gsparse reproduce structured
"""


def test_documented_commands_are_compared_without_order_and_places():
    assert unknown_commands(DOCUMENT, [COMMAND]) == []
    other = DOCUMENT.replace("--seeds 2", "--seeds 3")
    (found,) = unknown_commands(other, [COMMAND])
    assert found.startswith("gsparse bench --dataset digits --seeds 3 --method")
    full = f"{DOCUMENT.rstrip()} --full\n"
    assert unknown_commands(full, [COMMAND]) == ["gsparse reproduce structured --full"]


@pytest.mark.parametrize(
    "words", ["contests scaling", "contests epoch --graphs Physics"]
)
def test_commands_that_measure_are_found(words):
    text = f"    python -m gsparse.bench.{words}\n"
    assert unknown_commands(text, []) == [text.strip()]
    assert unknown_commands(text, [Command(text.strip())]) == []

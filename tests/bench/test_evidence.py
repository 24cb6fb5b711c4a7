"""Published numbers have rows or sources, and rows have commands."""

import shutil
from pathlib import Path

import pytest

from gsparse.bench.commands import Command
from gsparse.bench.evidence import audit, format_audit
from gsparse.bench.tables.published import BLOCKS
from gsparse.bench.tables.published.commands import COMMANDS, published_commands

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "results"


def test_the_published_numbers_have_no_fault():
    found = audit(FOLDER, BLOCKS, published_commands())
    assert not found.faults, format_audit(found)
    assert found.counts["numbers in the text"] > 80
    assert found.counts["commands"] == sum(map(len, COMMANDS.values()))


def changed(path, before, after):
    text = path.read_text()
    assert text.count(before) >= 1, before
    path.write_text(text.replace(before, after, 1))


def test_one_digit_is_noticed_wherever_it_is(tmp_path):
    """In the text, in a block, in a row, in a command; and a row that is gone."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "README.md", tmp_path)
    folder = tmp_path / "docs" / "results"
    changed(tmp_path / "README.md", "for about 2 points", "for about 1 points")
    changed(tmp_path / "docs" / "prune.md", "+8.3 ± 2.6", "+9.3 ± 2.6")
    changed(tmp_path / "docs" / "incremental.md", "| 88.2 ± 1.4 |", "| 88.3 ± 1.4 |")
    changed(
        tmp_path / "docs" / "fastgat.md", "--sparsity 0.8,0.9 \\", "--sparsity 0.8 \\"
    )
    changed(folder / "structured.jsonl", '"test_score": 0.7', '"test_score": 0.6')
    lines = (folder / "converged.jsonl").read_text().splitlines(keepends=True)
    (folder / "converged.jsonl").write_text("".join(lines[1:]))

    text = "\n".join(audit(folder, BLOCKS, published_commands()).faults)
    assert "1 points has no row and no source" in text
    assert "README.md does not say: more than 80 % of PubMed's edges" in text
    assert "docs/prune.md does not say: +8.3 ± 2.6 with GCN" in text
    assert "docs/incremental.md: block incremental differs" in text
    assert "docs/structured.md: block structured-" in text
    assert "docs/fastgat.md: no listed command: gsparse bench" in text
    assert "converged: 1 runs have no row" in text


@pytest.mark.parametrize("command", published_commands(), ids=lambda it: it.text[:60])
def test_every_command_asks_for_runs_or_graphs(command):
    assert (FOLDER / f"{command.table}.jsonl").exists()
    measures = command.text == "gsparse reproduce interactions --full"
    assert measures or bool(command.tasks) != bool(command.graphs)


def test_a_command_that_makes_no_table_is_refused():
    with pytest.raises(ValueError, match=r"make a whole table \(got gsparse methods\)"):
        _ = Command("gsparse methods").table
    with pytest.raises(ValueError, match="'sparsities' must be an option"):
        _ = Command("gsparse bench --sparsities 0.5").tasks

"""Results of single methods agree with the tables that have all of them."""

from pathlib import Path

import pytest

from gsparse.bench.tables.documents import Results
from gsparse.bench.tables.published import BLOCKS
from gsparse.bench.tables.published.method_results import comparison, result

RESULTS = Results(Path(__file__).parents[3] / "docs" / "results")


def cells(text, *labels):
    """Return the cells of a line after its first ones, by the titles of its table."""
    head, _, *lines = [it for it in text.split("\n") if it.startswith("|")]
    titles = [it.strip() for it in head.strip("|").split("|")]
    found = [[it.strip() for it in line.strip("|").split("|")] for line in lines]
    (line,) = [it for it in found if tuple(it[: len(labels)]) == labels]
    return dict(zip(titles, line, strict=True))


def test_edges_have_the_scores_of_the_table_of_their_paper():
    ours = cells(result(RESULTS, "KEdge"), "PubMed", "public", "GCN")
    table = BLOCKS["kedge-pubmed-gcn"](RESULTS)
    for title, line in (("KEdge", "KEdge"), ("random edges", "RandomEdge")):
        assert ours[title] == cells(table, "80 %", line)["chosen"]
    assert ours["all edges"] == cells(table, "0 %", "Dense")["from scratch"]
    assert ours["MLP, no edges"] == cells(table, "100 %", "MLP")["from scratch"]
    assert ours["seeds"] == "10"


def test_weights_have_the_scores_of_the_table_of_their_paper():
    ours = cells(result(RESULTS, "ProbMask"), "Cora", "public", "GAT", "95 %")
    table = cells(BLOCKS["prune-headline"](RESULTS), "Cora", "GAT")
    assert ours["ProbMask"] == table["ProbMask 95 %"]
    assert ours["random weights"] == table["RandomWeight 95 %"]
    assert ours["all weights"] == table["Dense"]


def test_controls_have_the_seeds_of_the_method():
    """A method with three seeds is compared with three of the ten of its controls."""
    lines = list(comparison("Teddy").lines(RESULTS))
    assert len(lines) == 2
    for _, found in lines:
        assert [sorted(row["seed"] for row in it) for it in found] == [[0, 1, 2]] * 4
    assert cells(result(RESULTS, "Teddy"), "PubMed", "public", "GCN")["seeds"] == "3"


def test_the_commands_are_those_of_the_rows():
    text = result(RESULTS, "KEdge")
    for name in ("kedge-pubmed", "kedge-citation", "kedge-graphs"):
        assert f"gsparse reproduce {name} --full --out docs/results" in text
    assert "kedge-citation" not in result(RESULTS, "Teddy")


@pytest.mark.parametrize(
    ("name", "gates"),
    [
        ("KEdge", "features and terms of single edges"),
        ("PTDNet", "features"),
        ("NeuralSparse", "features and terms of single edges"),
        ("EdgeGates", "terms of single edges"),
    ],
)
def test_masks_say_what_they_are_computed_from(name, gates):
    assert f" The mask, from {gates}, is fitted to" in result(RESULTS, name)


def test_a_baseline_is_not_its_own_control():
    assert "random edges |" not in result(RESULTS, "RandomEdge")
    assert "random weights |" not in result(RESULTS, "RandomWeight")


def test_a_seed_that_counts_twice_is_refused():
    class Twice(Results):
        def __call__(self, table):
            return super().__call__(table) * 2

    with pytest.raises(ValueError, match="a cell must have one row a seed"):
        result(Twice(RESULTS.folder), "DSpar")


def test_what_no_row_compares_says_so():
    assert result(RESULTS, "LAMP").startswith("There is no measured result")

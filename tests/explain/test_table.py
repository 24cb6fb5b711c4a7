"""The table of interactions: ranks, quantiles, files, plots, and width."""

import csv
import json

import pytest
import torch

from gsparse.explain import Interactions, plot_graph, plot_pairs, text_bar


def table(seed=82911, f=7, num=9, **options):
    i, j = torch.triu_indices(f, f, 1)
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(num, i.numel(), generator=generator)
    return Interactions(i, j, draws, f, "8-GEH", **options)


def test_ranks_follow_the_mean():
    found = table()
    order = found.mean.argsort(descending=True)
    for rank, pair in enumerate(order.tolist(), 1):
        assert found.rank(int(found.i[pair]), int(found.j[pair])) == rank
        assert found.rank(int(found.j[pair]), int(found.i[pair])) == rank
    torch.testing.assert_close(found.top(4).mean, found.mean[order[:4]])
    assert found.units(4).sum() == len({u for pair in found.pairs(4) for u in pair})
    matrix = found.matrix()
    assert torch.equal(matrix, matrix.t())
    assert matrix.diagonal().abs().max() == 0
    assert float(matrix.max()) == float(found.mean.max())
    with pytest.raises(ValueError, match=r"must be a pair of the table \(got 0, 9\)"):
        found.rank(0, 9)


@pytest.mark.parametrize("q", [0.0, 0.05, 0.5, 0.93, 1.0])
def test_quantiles_are_those_of_torch(q):
    found = table(num=8)
    torch.testing.assert_close(found.quantile(q), found.draws.quantile(q, 0))
    half = table(num=8, level=0.5)
    for it, low, high in ((found, 0.05, 0.95), (half, 0.25, 0.75)):
        torch.testing.assert_close(it.low, it.draws.quantile(low, 0))
        torch.testing.assert_close(it.high, it.draws.quantile(high, 0))


def test_it_fits_eighty_columns():
    names = [f"a very long name of a feature, number {k}" for k in range(7)]
    for found in (table(), table(names=names), table(num=1)):
        text = str(found)
        assert len(text.splitlines()) == 12
        assert max(map(len, text.splitlines())) <= 80
    assert repr(found) == "Interactions(8-GEH, pairs=21, draws=1)"
    big = table()
    huge = Interactions(big.i, big.j, 1e-30 * big.draws, 7, "AEH")
    assert max(map(len, str(huge).splitlines())) <= 80


def test_files_hold_the_rows(tmp_path):
    found = table(names=list("abcdefg")).top(3)
    found.save(tmp_path / "a.csv")
    found.save(tmp_path / "a.jsonl")
    with (tmp_path / "a.csv").open() as file:
        read = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").open()]
    assert lines == found.rows()
    assert [row["first"] for row in read] == [row["first"] for row in found.rows()]
    assert float(read[0]["mean"]) == pytest.approx(float(found.mean[0]))
    assert table(num=1).rows()[0]["sd"] is None
    with pytest.raises(ValueError, match=r"must end in .csv or .jsonl \(got 'a.txt'\)"):
        found.save(tmp_path / "a.txt")


def test_draws_must_fit_the_pairs():
    with pytest.raises(ValueError, match="'draws' must have one column per pair"):
        Interactions(torch.tensor([0]), torch.tensor([1]), torch.ones(2, 3), 3, "AEH")


@pytest.mark.parametrize("num", [1, 9])
def test_pictures_are_written(tmp_path, num):
    pytest.importorskip("matplotlib")
    plot_pairs(table(num=num), tmp_path / "pairs.png")
    same = ["a name that is too long to be written in full"] * 7
    found = table(num=num, names=same)
    plot_graph(found, tmp_path / "graph.svg", k=6)
    assert (tmp_path / "pairs.png").read_bytes()[:4] == b"\x89PNG"
    drawn = (tmp_path / "graph.svg").read_text()
    assert drawn.count("<!-- a name that…ten in full -->") == int(found.units(6).sum())
    assert len(list(tmp_path.iterdir())) == 2


def test_the_bar_goes_to_stderr_when_it_is_asked_for(capsys):
    tell = text_bar("draws", every=0)
    tell(1, 4)
    tell(4, 4)
    out, err = capsys.readouterr()
    assert out == ""
    assert "draws [#######.......................] 1/4" in err
    assert err.endswith("\n")

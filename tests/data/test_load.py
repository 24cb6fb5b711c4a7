"""Loading: sources of files, trusted formats, and kept attributes.

A tiny data set in the format of ``HeterophilousGraphDataset`` stands for all others.
"""

import hashlib
import logging
import subprocess
import sys
import types

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.datasets import GitHub, HeterophilousGraphDataset

from gsparse.data import card, cards, load
from gsparse.data.pyg_files import _join, _size
from gsparse.data.raw_files import sha256_of
from gsparse.data.store import read_tensors, to_data, to_tensors

TINY = """
name = "tiny"
description = "A path"
kind = "pyg"
pyg_class = "HeterophilousGraphDataset"
kwargs = {{ name = "minesweeper" }}
root = "Hetero"
raw = "Hetero/minesweeper/raw"
url = "nowhere"
undirected = true
splits = ["given"]
default_split = "given"
metric = "accuracy"
licence = "none"
source = "the moon"
reference = "none"
[counts]
num_nodes = 12
num_edges = {num_edges}
num_features = 3
num_classes = 2
[sha256]
"minesweeper.npz" = "{sha256}"
"""
BOMB = TINY.replace("HeterophilousGraphDataset", "GitHub").replace(
    "splits =", "unpickles = true\nsplits ="
)
BOMB = BOMB.replace('kwargs = {{ name = "minesweeper" }}\n', "").replace(
    "minesweeper", "github"
)
BOMB = BOMB.replace("Hetero/github/raw", "Hetero/raw").replace('"tiny"', '"bomb"')


def write_tiny(folder, num_nodes=12):
    """A path with two classes and two splits."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes = np.arange(num_nodes)
    part = (nodes[None] + np.arange(2)[:, None]) % 3
    np.savez(
        folder / "minesweeper.npz",
        node_features=np.eye(num_nodes, 3, dtype=np.float32) + (nodes % 2)[:, None],
        node_labels=nodes % 2,
        edges=np.stack([nodes[:-1], nodes[1:]], axis=1),
        train_masks=part == 0,
        val_masks=part == 1,
        test_masks=part == 2,
    )
    return hashlib.sha256((folder / "minesweeper.npz").read_bytes()).hexdigest()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Folders of its own for cards, data and cache; no network."""
    folder = tmp_path / "datasets"
    folder.mkdir()
    monkeypatch.setattr(cards, "_CHECKOUT", folder)
    monkeypatch.setattr(cards, "_INSTALLED", tmp_path / "none")
    cards._all_cards.cache_clear()
    monkeypatch.setenv("GSPARSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GSPARSE_OFFLINE", "1")
    monkeypatch.delenv("GSPARSE_DATA", raising=False)
    (folder / "tiny.toml").write_text(TINY.format(num_edges=22, sha256=""))
    yield tmp_path
    cards._all_cards.cache_clear()


def put_card(place, text, **values):
    (place / "datasets" / "tiny.toml").write_text(
        text.format(**{"num_edges": 22, "sha256": "", **values})
    )
    cards._all_cards.cache_clear()


def raw(root):
    return root / "Hetero" / "minesweeper" / "raw"


def is_the_path(data):
    row, col = data.edge_index
    return (
        data.num_nodes == 12
        and data.num_edges == 22
        and bool(((row - col).abs() == 1).all())
    )


@pytest.mark.parametrize("where", ["argument", "environment", "checkout"])
def test_places(place, monkeypatch, where):
    root = {"checkout": place / "datasets" / "raw"}.get(where, place / where)
    write_tiny(raw(root))
    if where == "environment":
        monkeypatch.setenv("GSPARSE_DATA", str(root))
    data = load("tiny", root=root if where == "argument" else None)
    assert is_the_path(data)
    assert (data.name, data.variant) == ("tiny", "published")


def test_order_of_places(place, monkeypatch):
    """The argument goes before the environment, that before the checkout."""
    for name in ("argument", "environment", "datasets/raw"):
        write_tiny(raw(place / name))
    monkeypatch.setenv("GSPARSE_DATA", str(place / "environment"))
    for name, argument in (("argument", place / "argument"), ("environment", None)):
        (raw(place / name) / "minesweeper.npz").write_bytes(b"broken")
        with pytest.raises(Exception):  # noqa: B017, PT011  numpy's own complaint
            load("tiny", root=argument)
        (raw(place / name) / "minesweeper.npz").unlink()
    assert is_the_path(load("tiny"))


def test_without_a_checkout_the_user_cache(place, monkeypatch):
    installed = place / "cards"
    (place / "datasets").rename(installed)
    monkeypatch.setattr(cards, "_INSTALLED", installed)
    write_tiny(raw(place / "cache" / "raw"))
    assert is_the_path(load("tiny"))


def test_offline_says_where_to_put_what(place):
    with pytest.raises(FileNotFoundError) as error:
        load("tiny", root=place / "mine")
    message = str(error.value)
    assert "no raw files of tiny, and GSPARSE_OFFLINE is set" in message
    assert f"put minesweeper.npz into {raw(place / 'mine')} (from the moon)" in message
    assert str(raw(place / "datasets" / "raw")) in message


def test_nothing_is_written_beside_the_raw_files(place):
    root = place / "mine"
    write_tiny(raw(root))
    load("tiny", root=root)
    assert [path.name for path in root.rglob("*") if path.is_file()] == [
        "minesweeper.npz"
    ]
    kept = [path for path in (place / "cache").rglob("*") if path.is_file()]
    assert sorted(path.suffix for path in kept) == [".json", ".pt"]


def test_kept_file_is_used_and_holds_tensors_only(place, monkeypatch):
    write_tiny(raw(place / "datasets" / "raw"))
    first = load("tiny", seed=1)
    (kept,) = (place / "cache" / "processed").iterdir()
    assert all(isinstance(value, torch.Tensor) for value in read_tensors(kept).values())
    monkeypatch.delattr(HeterophilousGraphDataset, "process")
    second = load("tiny", seed=1)
    assert second.x.equal(first.x)
    assert second.train_mask.equal(first.train_mask)


def test_new_raw_files_make_a_new_kept_file(place):
    root = place / "datasets" / "raw"
    write_tiny(raw(root))
    load("tiny")
    write_tiny(raw(root), num_nodes=13)
    with pytest.raises(
        ValueError, match=r"'num_nodes' of tiny \(published\) must be 12 .* \(got 13\)"
    ):
        load("tiny")


def test_broken_kept_file_is_made_again(place):
    write_tiny(raw(place / "datasets" / "raw"))
    load("tiny")
    (kept,) = (place / "cache" / "processed").iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    assert is_the_path(load("tiny"))
    assert read_tensors(kept) is not None


def test_cache_that_cannot_be_written(place, monkeypatch):
    write_tiny(raw(place / "datasets" / "raw"))
    monkeypatch.setenv("GSPARSE_CACHE", "/dev/null/cache")
    assert is_the_path(load("tiny"))


def test_counts_are_checked(place):
    write_tiny(raw(place / "datasets" / "raw"))
    put_card(place, TINY, num_edges=24)
    with pytest.raises(
        ValueError, match=r"'num_edges' of tiny .* must be 24 .*\(got 22\)"
    ):
        load("tiny")
    assert not (place / "cache" / "processed").exists()


def test_hash_on_the_card_is_checked(place):
    digest = write_tiny(raw(place / "datasets" / "raw"))
    put_card(place, TINY, sha256=digest)
    assert is_the_path(load("tiny"))
    put_card(place, TINY, sha256="0" * 64)
    with pytest.raises(
        ValueError, match=rf"'minesweeper.npz' of tiny .* \(got {digest}\)"
    ):
        load("tiny")


def test_variant_by_hash(place):
    digest = write_tiny(raw(place / "datasets" / "raw"), num_nodes=13)
    variant = f"""
[[variants]]
name = "long"
num_nodes = 13
num_edges = 24
sha256 = {{{{ "minesweeper.npz" = "{digest}" }}}}
"""
    put_card(place, TINY + variant, sha256="0" * 64)
    data = load("tiny")
    assert (data.variant, data.num_nodes) == ("long", 13)


def test_unknown_pickle_is_not_read(place, tmp_path):
    """GitHub's class unpickles; a file whose hash no card knows must not reach it."""
    trace = tmp_path / "trace"

    class Bomb:
        def __reduce__(self):
            return trace.touch, ()

    folder = place / "datasets" / "raw" / "Hetero" / "raw"
    folder.mkdir(parents=True)
    np.savez(folder / "github.npz", features=np.array([Bomb()], dtype=object))
    put_card(place, BOMB)
    with pytest.raises(ValueError, match=r"SHA-256 of the card .* unpickle it"):
        load("bomb")
    assert not trace.exists()
    digest = hashlib.sha256((folder / "github.npz").read_bytes()).hexdigest()
    put_card(place, BOMB, sha256=digest)
    with pytest.raises(Exception):  # noqa: B017, PT011  let through, and it goes off
        load("bomb")
    assert trace.exists()


def test_download(place, monkeypatch, caplog):
    monkeypatch.delenv("GSPARSE_OFFLINE")
    calls = []

    def fetch(self):
        calls.append(self.raw_dir)
        write_tiny(type(place)(self.raw_dir))

    monkeypatch.setattr(HeterophilousGraphDataset, "download", fetch)
    with caplog.at_level(logging.WARNING, logger="gsparse.data"):
        assert is_the_path(load("tiny", root=place / "mine"))
    assert "downloading tiny from nowhere (size unknown)" in caplog.text
    assert (raw(place / "mine") / "minesweeper.npz").is_file()
    assert is_the_path(load("tiny", root=place / "mine"))
    assert len(calls) == 1
    assert not list((place / "mine").rglob(".download*"))


def test_own_download_of_a_pickle_is_trusted_later(place, monkeypatch):
    monkeypatch.delenv("GSPARSE_OFFLINE")

    def fetch(self):
        np.savez(
            f"{self.raw_dir}/github.npz",
            features=np.eye(12, 3),
            target=np.arange(12) % 2,
            edges=np.stack([np.arange(22) % 11, np.arange(22) % 11], axis=1),
        )

    monkeypatch.setattr(GitHub, "download", fetch)
    put_card(
        place,
        BOMB.replace('["given"]', '["60-20-20"]').replace('"given"', '"60-20-20"'),
    )
    assert load("bomb").num_nodes == 12
    monkeypatch.setattr(GitHub, "download", None)
    for kept in (place / "cache" / "processed").iterdir():
        kept.unlink()
    assert load("bomb").num_nodes == 12


def test_download_of_wrong_files_is_not_kept(place, monkeypatch):
    monkeypatch.delenv("GSPARSE_OFFLINE")
    monkeypatch.setattr(
        HeterophilousGraphDataset,
        "download",
        lambda self: write_tiny(type(place)(self.raw_dir)),
    )
    put_card(place, TINY, sha256="0" * 64)
    with pytest.raises(ValueError, match="must have a SHA-256 of the card"):
        load("tiny")
    assert not list((place / "datasets").rglob("*.npz"))


def test_no_connection(place, monkeypatch):
    monkeypatch.delenv("GSPARSE_OFFLINE")

    def fail(self):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(HeterophilousGraphDataset, "download", fail)
    with pytest.raises(
        FileNotFoundError,
        match=r"could not download tiny from nowhere \(no route.*put mine",
    ):
        load("tiny")


def test_two_processes_at_once(place):
    root = place / "mine"
    write_tiny(raw(root))
    script = (
        "import pathlib, sys\n"
        "from gsparse.data import cards, load\n"
        "cards._CHECKOUT = pathlib.Path(sys.argv[1])\n"
        "print(load('tiny', root=sys.argv[2]).num_edges)"
    )
    command = [sys.executable, "-c", script, str(place / "datasets"), str(root)]
    runs = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    results = [run.communicate() for run in runs]
    assert [out.strip() for out, _ in results] == ["22", "22"], results
    assert len(list((place / "cache" / "processed").iterdir())) == 1


def test_unchanged_files_are_hashed_once(place, monkeypatch):
    folder = raw(place)
    digest = write_tiny(folder)
    assert sha256_of(folder, ("minesweeper.npz",)) == {"minesweeper.npz": digest}
    monkeypatch.setattr(hashlib, "sha256", None)
    assert sha256_of(folder, ("minesweeper.npz",)) == {"minesweeper.npz": digest}
    monkeypatch.undo()
    monkeypatch.setenv("GSPARSE_CACHE", str(place / "cache"))
    other = write_tiny(folder, num_nodes=9)
    assert sha256_of(folder, ("minesweeper.npz",)) == {"minesweeper.npz": other}


def test_structure_without_labels(place):
    text = (
        TINY.replace('"pyg"', '"edges"')
        .replace('["given"]', "[]")
        .replace('"given"', '""')
    )
    text = text.replace(
        "undirected = true", "undirected = true\nboth_directions = false"
    )
    text = text.replace("minesweeper.npz", "path.txt").replace(
        "num_features = 3", "num_features = 0"
    )
    put_card(place, text.replace("num_classes = 2", "num_classes = 0"))
    folder = raw(place / "datasets" / "raw")
    folder.mkdir(parents=True)
    lines = "".join(f"{node} {node + 1}\n" for node in range(11))
    (folder / "path.txt").write_text(lines)
    data = load("tiny")
    assert is_the_path(data)
    assert "train_mask" not in data


def test_ogb(place, monkeypatch):
    """With a stand-in for the package; without one, a line that names it."""
    text = TINY.replace('"pyg"', '"ogb"').replace('"given"', '"public"')
    put_card(place, text.replace("Hetero/minesweeper/raw", "Hetero/minesweeper"))
    write_tiny(raw(place / "datasets" / "raw").parent)
    monkeypatch.setitem(sys.modules, "ogb.nodeproppred", None)
    with pytest.raises(ImportError, match=r"'minesweeper' needs the package ogb"):
        load("tiny")

    class StandIn(HeterophilousGraphDataset):
        raw_dir = property(lambda self: f"{self.root}/{self.name}")

        def get_idx_split(self):
            parts = {"train": [0, 1], "valid": [2], "test": [3, 4, 5]}
            return {key: torch.tensor(value) for key, value in parts.items()}

    module = types.SimpleNamespace(PygNodePropPredDataset=StandIn)
    monkeypatch.setitem(sys.modules, "ogb", types.SimpleNamespace(nodeproppred=module))
    monkeypatch.setitem(sys.modules, "ogb.nodeproppred", module)
    data = load("tiny")
    masks = [
        data[f"{part}_mask"].nonzero().flatten().tolist()
        for part in ("train", "val", "test")
    ]
    assert masks == [[0, 1], [2], [3, 4, 5]]


def test_many_graphs_become_one():
    graphs = [
        Data(
            x=torch.full((n, 1), n),
            edge_index=torch.tensor([[0], [n - 1]]),
            num_nodes=n,
        )
        for n in (2, 3, 4)
    ]
    data = _join([graphs[:1], graphs[1:2], graphs[2:]])
    assert data.edge_index.tolist() == [[0, 2, 5], [1, 4, 8]]
    assert data.train_mask.nonzero().flatten().tolist() == [0, 1]
    assert data.test_mask.nonzero().flatten().tolist() == [5, 6, 7, 8]


@pytest.mark.parametrize("density", [0.0, 0.1, 0.9])
def test_store_keeps_features(density):
    x = torch.rand(20, 7, generator=torch.Generator().manual_seed(5))
    x = x * (x < density)
    tensors = to_tensors(Data(x=x, edge_index=torch.zeros(2, 0, dtype=torch.long)))
    assert ("x" in tensors) == (density > 0.25)
    assert to_data(tensors).x.equal(x)
    assert to_data(tensors, sparse_features=True).x.to_dense().equal(x)


def test_digits():
    data = load("digits", seed=30013)
    assert (data.num_nodes, data.num_edges) == (
        card("digits").num_nodes,
        card("digits").num_edges,
    )
    deg = data.edge_index[0].bincount()
    assert deg.min() >= 20
    distance = torch.cdist(data.x, data.x).fill_diagonal_(9)
    linked = torch.zeros(1797, 1797, dtype=torch.bool)
    linked[data.edge_index[0], data.edge_index[1]] = True
    nearest = distance.argmin(dim=1)
    assert linked[torch.arange(1797), nearest].all()
    row, col = data.edge_index
    assert (data.y[row] == data.y[col]).float().mean() > 0.9
    for label in range(10):
        counts = [
            int(data[f"{part}_mask"][data.y == label].sum())
            for part in ("train", "val")
        ]
        assert counts == [5, 30]


def test_digits_are_those_of_scikit_learn():
    bunch = pytest.importorskip("sklearn.datasets").load_digits()
    data = load("digits")
    assert torch.equal(data.x, torch.from_numpy(bunch.data / 16).float())
    assert torch.equal(data.y, torch.from_numpy(bunch.target).long())


def test_an_address_in_words_is_not_asked_for_its_size(monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("no request")

    monkeypatch.setattr("urllib.request.urlopen", never)
    assert _size(card("Flickr")) == "size unknown"

"""Damaged files: every reader returns a consistent graph or raises an error."""

import gzip
import io
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from gsparse.data import random_graph, read_graph, write_graph
from gsparse.data.io import FORMATS

TOKENS = [
    b"0",
    b"-1",
    b"1e9",
    b"nan",
    b"inf",
    b"9223372036854775808",
    b"#",
    b"%",
    b"\n",
]
TOKENS += [
    b'"',
    b",",
    b";",
    b"\t",
    b"\r",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"a",
    b"_",
]
TOKENS += [b"# nodes: 99999999999", b"source,target\n", b"symmetric", b"\x00" * 8]
TOKENS += [b"\xff" * 8, b"'<i8'", b"(2,", b"complex", b"1+2j", b" ", b"0.5", b"."]


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Change, insert, remove or repeat some bytes at one to three places."""
    out = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at, size = int(rng.integers(len(out) + 1)), int(rng.integers(1, 9))
        match rng.integers(5):
            case 0:
                out[at : at + 1] = bytes([rng.integers(256)])
            case 1:
                out[at:at] = TOKENS[rng.integers(len(TOKENS))]
            case 2:
                out[at : at + size] = TOKENS[rng.integers(len(TOKENS))]
            case 3:
                del out[at : at + size * int(rng.integers(1, 20))]
            case 4:
                out[at:at] = out[at : at + size]
    return bytes(out)


def mutate_inside(content: bytes, rng: np.random.Generator) -> bytes:
    """Change one member of an archive, or what is compressed, and pack it again."""
    if content[:2] == b"\x1f\x8b":
        return gzip.compress(mutate(gzip.decompress(content), rng), mtime=0)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = list(members)[rng.integers(len(members))]
    members[name] = mutate(members[name], rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, part in members.items():
            archive.writestr(name, part)
    return out.getvalue()


def seeds(folder):
    """Valid files: every format, and the forms that only readers know."""
    graph = random_graph(num_nodes=8, p=0.4, seed=6133, weighted=True)
    for suffix in FORMATS:
        write_graph(graph, folder / f"graph{suffix}")
    for layout in ("csr", "csc", "coo"):
        matrix = sp.coo_array((graph.edge_weight, graph.edge_index), shape=(8, 8))
        sp.save_npz(folder / f"{layout}.npz", matrix.asformat(layout))
    torch.save({"edge_index": graph.edge_index, "y": graph.y}, folder / "dict.pt")
    text = "weight,source,target,time\n0.5,0,1,1082040961\n2,1,0,1082040962\n"
    (folder / "names.csv").write_text(text)
    (folder / "quoted.csv").write_text('"source";"target"\n"a b";"c"\n"c";"a b"\n')
    (folder / "wide.txt").write_bytes("0 1 5\n1 0 5\n".encode("utf-16"))
    banner = "%%MatrixMarket matrix coordinate pattern symmetric\n"
    (folder / "symmetric.mtx").write_text(f"{banner}% a\n3 3 2\n2 1\n3 2\n")
    return sorted(folder.iterdir())


def check(data):
    """A graph that everything else can trust."""
    edge_index, num_nodes = data.edge_index, data.num_nodes
    assert edge_index.dim() == 2
    assert edge_index.size(0) == 2
    assert not edge_index.is_floating_point()
    if edge_index.numel():
        assert edge_index.min() >= 0
        assert edge_index.max() < num_nodes
    if data.get("edge_weight") is not None:
        assert data.edge_weight.shape == edge_index.shape[1:]
        assert torch.isfinite(data.edge_weight).all()
    for key in ("x", "train_mask", "val_mask", "test_mask"):
        if isinstance(data.get(key), torch.Tensor):
            assert data[key].size(0) == num_nodes
    if data.get("node_label") is not None:
        assert len(data.node_label) == num_nodes


def read_mutant(source, folder, rng):
    """Read one mutant; why it was refused, or None."""
    content = source.read_bytes()
    packed = source.suffix in (".gz", ".npz", ".pt")
    if packed and rng.random() < 0.7:
        content = mutate_inside(content, rng)
    else:
        content = mutate(content, rng)
    path = folder / f"mutant{''.join(source.suffixes)}"
    path.write_bytes(content)
    relabel, symmetrize = (bool(flag) for flag in rng.random(2) < 0.25)
    try:
        data = read_graph(path, relabel=relabel, symmetrize=symmetrize)
    except ValueError as error:
        return str(error)
    check(data)
    return None


NAMES = [*(f"graph{suffix}" for suffix in FORMATS), "csr.npz", "csc.npz", "coo.npz"]
NAMES += ["dict.pt", "names.csv", "quoted.csv", "wide.txt", "symmetric.mtx"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return {path.name: path for path in seeds(tmp_path_factory.mktemp("seeds"))}


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_a_graph_or_refused(sources, tmp_path, name):
    rng = np.random.default_rng(23159)
    refused = [read_mutant(sources[name], tmp_path, rng) for _ in range(40)]
    assert any(refused)
    assert not [text for text in refused if text and len(text.splitlines()) != 1]

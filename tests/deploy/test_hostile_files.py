"""Files that somebody has changed are refused in words, and run no code."""

import copy
import json
import os
import pickle
import resource
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch_geometric.nn import GAT

from gsparse.compaction import compact
from gsparse.data import planted_partition
from gsparse.deploy import load, load_pruned, prune_model, save, tensor_file
from gsparse.nn import KEdge, accelerate
from gsparse.prune import Magnitude, Pruner, Rows
from gsparse.train import GCN
from gsparse.transforms import RandomEdge

DATA = planted_partition(60, num_classes=3, seed=24841)
FILE = "model.safetensors"
VALUES = (
    *(None, True, -1, 10**12, 2**80, 1.5, float("nan"), "os:system", "../../x", "lin"),
    *([], {}, [[[]]], {"a": 1}, [10**12, 10**12], ["KEdge", {}], [1] * 60),
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Header and tensors of a file with every entry that a header can have."""
    folder = tmp_path_factory.mktemp("saved")
    data = DATA.clone()
    data.edge_weight = data.edge_index.sum(0) + 1.0
    torch.manual_seed(30941)
    model = GAT(DATA.num_features, 16, 2, 3, heads=4, norm="batch_norm")
    Pruner(model, Magnitude(), sparsity=0.5, structure=Rows())
    small = compact(model, (data.x, data.edge_index), inputs="sliced")
    Pruner(small, Magnitude(), sparsity=0.5)
    small.kept_features = torch.arange(DATA.num_features)
    masked = KEdge(accelerate(small), small.in_channels, 0.5)
    save(folder, masked, RandomEdge(0.5, seed=3)(data))
    return read(folder / FILE)


def read(path):
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["gsparse"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del header["checksum"]
    assert header["packed"]
    return header, tensors


def write(path, header, tensors):
    """Write a file with a checksum that fits, as an attacker would."""
    if isinstance(header, dict):
        header = {**header, "checksum": tensor_file._checksum(header, tensors)}
    save_file(tensors, path, {"gsparse": json.dumps(header)})


def places(value, path=()):
    """Return the paths of all entries of a JSON value."""
    is_long = path[:1] == ("weights",) or (path[:1] == ("layers",) and len(path) > 1)
    if is_long or not isinstance(value, dict | list):
        return [path]
    keys = value if isinstance(value, dict) else range(len(value))
    inner = [places(value[key], (*path, key)) for key in keys]
    return [path, *(it for found in inner for it in found)]


def changed(header, path, value):
    if not path:
        return value
    header = inner = copy.deepcopy(header)
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return header


def attempt(folder, header, tensors):
    """Load a file, which must work or be refused by a ValueError of one line."""
    write(folder / FILE, header, tensors)
    try:
        saved = load(folder)
        if saved.graph is not None:
            saved.cut(DATA)
        return True
    except ValueError as error:
        lines, length = str(error).count("\n") + 1, len(str(error))
    assert (lines, length) < (2, 900)
    return False


@pytest.mark.slow
def test_every_entry_of_the_header_may_be_anything(tmp_path, parts):
    """Each entry is replaced by each of many values: none crashes or takes memory."""
    header, tensors = parts
    assert attempt(tmp_path, header, tensors)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    modules = {*sys.modules}
    found = places(header)
    sections = {path[0] for path in found if path}
    assert sections >= {"blueprint", "flags", "graph", "kept_features", "packed"}
    loaded = sum(
        attempt(tmp_path, changed(header, path, value), tensors)
        for path in found
        if path[:1] != ("card",)
        for value in VALUES
    )
    assert 0 < loaded < 0.4 * len(found) * len(VALUES)  # version, dropout, ...
    assert {*sys.modules} == modules
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KB


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("blueprint", "build"), "os:system", r"needs the function .* 'os:system'"),
        (("blueprint", "build"), "gsparse.deploy:save", "names in files are not imp"),
        (("blueprint", "wrappers"), [["Sequential", {}]], "is no wrapper of gsparse"),
        (("blueprint", "arguments", "num_layers"), 10**9, "must be in 1 to"),
        (("blueprint", "arguments", "hidden_channels"), "x", "does not take the arg"),
        (("blueprint", "arguments", "aggr"), ["mean"] * 10**6, "lists must have at m"),
        (("blueprint", "wrappers", 0, 1, "in_channels"), 10**9, "KEdge has sizes"),
        (("blueprint", "sizes"), {"": {"forward": 3}}, "is no size of the model"),
        (("blueprint", "sizes"), {"": {"in_channels": "3"}}, "is no size of the mo"),
        (("blueprint", "sizes"), {"model.convs.0": {"node_dim": 1}}, "is no size"),
        (("layers",), {"model.convs.0": {"heads": 3}}, "'model.convs.0.heads' of the"),
        (("blueprint", "sizes"), {"no.such": {}}, "has no layer 'no.such'"),
        (("blueprint", "guards"), {"": [1, 2]}, "has no such guard"),
        (("blueprint", "extra"), 1, "no such one"),
        (("packed", "a"), {"form": "gaps", "shape": [10**8, 10**8]}, "fit into memory"),
        (("flags", "a"), {"form": "gaps", "shape": [2], "num_true": 3}, "3 true entr"),
        (("kept_features",), [["no.layer", None]], "whole model file"),
        (("graph", "num_edges"), 3, "no such record"),
        (("graph", "marks"), {}, "no such record"),
        (("format",), 3, r"format 2 at most \(got 3\); install a newer gsparse"),
        (("format",), "3", "format '3'"),
        (("format",), None, "format None"),
        ((), [], "got another safetensors file"),
    ],
)
def test_entries_that_are_refused(tmp_path, parts, path, value, text):
    header, tensors = parts
    write(tmp_path / FILE, changed(header, path, value), tensors)
    with pytest.raises(ValueError, match=text):
        load(tmp_path)


WATCHED = """
import sys
from gsparse.deploy import load
good, *bad = sys.argv[1:]
load(good)
seen = []
sys.addaudithook(lambda event, args: seen.append((event, str(args))))
refused = 0
for folder in bad:
    try:
        load(folder)
    except ValueError:
        refused += 1
events = ("open", "import", "pickle", "subprocess", "socket", "exec", "ctypes", "os")
print(refused, [it for it in seen if it[0].split(".")[0] in events])
"""
NAMES = ("evil:make", "evil", "../evil:make", "torch:load", "gsparse.deploy:save")


def test_names_in_files_are_not_imported(tmp_path, parts):
    """The interpreter reports every import, opened file and process."""
    header, tensors = parts
    (tmp_path / "evil.py").write_text("print('imported')\ndef make(**_): pass\n")
    folders = [tmp_path / f"{number}" for number in range(len(NAMES) + 1)]
    builds = [header["blueprint"]["build"], *NAMES]
    for folder, build in zip(folders, builds, strict=True):
        folder.mkdir()
        new = changed(header, ("blueprint", "build"), build)
        write(folder / FILE, new, tensors)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, folders)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{os.getcwd()}:{tmp_path}"},
    )
    assert done.stdout == f"{len(NAMES)} []\n", done.stdout + done.stderr


def test_files_of_other_kinds(tmp_path, parts):
    with pytest.raises(FileNotFoundError, match="there is no model file"):
        load(tmp_path)
    path = tmp_path / FILE
    path.mkdir()
    with pytest.raises(FileNotFoundError, match="there is no model file"):
        load(tmp_path)
    path.rmdir()
    for content in (b"", b"\x80" * 9, pickle.dumps(GCN(2, 2, 2)), b"\xff" * 8 + b"{}"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="must be a whole model file"):
            load(tmp_path)
    save_file({"a": torch.ones(1)}, path, {"gsparse": "[" * 100_000})
    with pytest.raises(ValueError, match="must be a whole model file"):
        load(tmp_path)


def test_any_changed_byte_is_noticed(tmp_path, parts):
    write(tmp_path / FILE, *parts)
    content = bytearray((tmp_path / FILE).read_bytes())
    for at in range(0, len(content), 97):
        content[at] ^= 16
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(ValueError, match="safetensors must be "):
            load(tmp_path)
        content[at] ^= 16
    (tmp_path / FILE).write_bytes(content)
    load(tmp_path)


@pytest.mark.parametrize("change", ["other name", "other dtype", "one dimension"])
def test_tensors_of_another_model(tmp_path, parts, change):
    header, tensors = copy.deepcopy(parts)
    value = tensors.pop("model.convs.0.att_src")
    if change == "other name":
        tensors["model.convs.0.att"] = value
    else:
        value = value.long() if change == "other dtype" else value.flatten()
        tensors["model.convs.0.att_src"] = value
    write(tmp_path / FILE, header, tensors)
    with pytest.raises(ValueError, match="must"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("out_channels",), 10**14),
        (("out_channels",), "x"),
        (("options", "num_layers"), 10**7),
        (("options", "no_such"), 1),
        (("num_features",), 10**13),
        (("bits",), 99),
        (("model",), "no such"),
        ((), [1]),
    ],
)
def test_models_of_the_shell(tmp_path, path, value):
    prune_model("digits", "gcn", "Magnitude", 0.5, epochs=1, out=tmp_path)
    with safe_open(tmp_path / FILE, "pt") as file:
        header = json.loads(file.metadata()["gsparse"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del header["checksum"]
    path = ("card", "settings", "specification", *path)
    write(tmp_path / FILE, changed(header, path, value), tensors)
    for read_folder in (load, load_pruned):
        with pytest.raises(ValueError, match=r"model file|fit into memory"):
            read_folder(tmp_path)

"""Processes of torch.distributed keep the edges that one process keeps."""

import pytest

from gsparse.data import chung_lu, convert_graph, open_graph
from gsparse.deploy import sparsify_folder
from gsparse.distributed import sparsify_folder as sparsify_shared
from gsparse.linalg.stream_columns import Columns
from gsparse.transforms import DSpar, EffectiveResistance
from tests.distributed.launcher import Launcher

SCRIPT = """
import os, sys
import torch
import torch.distributed as dist
from gsparse.distributed import sparsify_folder
from gsparse.linalg.stream_columns import StoredColumns
from gsparse.transforms import DSpar, EffectiveResistance

class Odd(Exception):
    def __init__(self, first, second):
        super().__init__(first)

rank, size, place, target, transform, fault = sys.argv[1:]
torch.set_num_threads(1)
dist.init_process_group(
    "gloo", init_method=f"file://{place}/{target}-store", rank=int(rank),
    world_size=int(size),
)
graph, (where, fault) = "g", fault.split(":")
if rank == where:
    def store(self, batches):
        if fault == "die":
            os._exit(9)
        raise Odd(1, 2) if fault == "odd" else OSError("no space left")
    if fault == "absent":
        os._exit(9)
    if fault == "graph":
        graph = "other"
    elif fault == "seed":
        transform = transform.replace("seed=5", "seed=6")
    else:
        StoredColumns.store = store
found = sparsify_folder(f"{place}/{graph}", f"{place}/{target}", eval(transform))
print(found.num_pairs)
dist.destroy_process_group()
"""
STREAM = "EffectiveResistance(0.8, method='stream', seed=5)"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("ranks")
    convert_graph(chung_lu(400, 2400, exponent=2.5, seed=3), place / "g")
    convert_graph(chung_lu(400, 2400, exponent=2.5, seed=4), place / "other")
    sparsify_folder(place / "g", place / "alone", eval(STREAM))
    return place


@pytest.fixture(scope="module")
def launcher():
    with Launcher() as found:
        yield found


@pytest.fixture
def run(launcher, place):
    """Run processes and return the exit code and the errors of each."""

    def run(size, target, transform=STREAM, fault=":"):
        return launcher.run(place, SCRIPT, size, place, target, transform, fault)

    return run


def content(folder):
    assert open_graph(folder, verify=True).num_pairs > 0
    return {
        name: (folder / name).read_bytes()
        for name in ("indptr.npy", "indices.npy", "weight.npy")
    }


@pytest.mark.parametrize("size", [1, 4])
def test_any_number_of_processes_keeps_the_same_edges(place, run, size):
    codes, errors = run(size, f"shared-{size}")
    assert codes == [0] * size, errors
    assert content(place / f"shared-{size}") == content(place / "alone")
    assert not list(place.glob(".*"))


def test_other_methods_are_left_to_the_first_process(place, run):
    codes, errors = run(2, "dspar", "DSpar(0.5, seed=5)")
    assert codes == [0, 0], errors
    sparsify_folder(place / "g", place / "dspar-alone", DSpar(0.5, seed=5))
    assert content(place / "dspar") == content(place / "dspar-alone")


def test_work_goes_on_after_a_process_is_lost(place, run, monkeypatch):
    codes, errors = run(2, "lost", fault="1:die")
    assert codes[0] not in (0, -9), errors
    assert codes[1] == 9
    assert "a process of the group has ended" in errors[0]
    assert "it goes on from the solved columns" in errors[0]
    files = place / ".lost.part" / "scratch" / "columns"
    solved = {path.name for path in files.rglob("squares-*")}
    assert solved == {"squares-0"}
    again = []

    def squares(self, batch, right=Columns._squares):
        again.append(f"squares-{batch}")
        return right(self, batch)

    monkeypatch.setattr(Columns, "_squares", squares)
    sparsify_folder(place / "g", place / "lost", eval(STREAM))
    assert again
    assert not solved & set(again)
    assert content(place / "lost") == content(place / "alone")


@pytest.mark.parametrize(("seed", "reused"), [(5, True), (6, False)])
def test_only_columns_of_the_same_seed_are_used_again(place, monkeypatch, seed, reused):
    def squares(self, batch, right=Columns._squares):
        solved.append(batch)
        if batch == 1 and interrupt:
            raise KeyboardInterrupt
        return right(self, batch)

    monkeypatch.setattr(Columns, "_squares", squares)
    solved, interrupt, target = [], True, place / f"again-{seed}"
    with pytest.raises(KeyboardInterrupt):
        sparsify_folder(place / "g", target, eval(STREAM))
    solved, interrupt = [], False
    transform = EffectiveResistance(0.8, method="stream", seed=seed)
    sparsify_folder(place / "g", target, transform)
    assert solved[0] == (1 if reused else 0)
    sparsify_folder(place / "g", place / f"fresh-{seed}", transform)
    assert content(target) == content(place / f"fresh-{seed}")


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("1:raise", "process 1 failed: OSError: no space left"),
        ("0:odd", "Odd: 1"),
    ],
)
def test_the_error_of_one_process_ends_all(place, run, fault, text):
    target = f"full-{fault[0]}-{fault[2:]}"
    codes, errors = run(2, target, fault=fault)
    assert codes == [1, 1]
    for error in errors:
        assert text in error.splitlines()[-1]
    assert not (place / target).exists()


def test_a_process_that_never_comes_ends_all(place, run):
    codes, errors = run(2, "absent", fault="1:absent")
    assert codes == [1, 9]
    assert "a process of the group has ended" in errors[0]


@pytest.mark.parametrize("differs", ["graph", "seed"])
def test_different_arguments_are_refused(place, run, differs):
    codes, errors = run(2, f"no-{differs}", fault=f"1:{differs}")
    assert codes == [1, 1]
    for error in errors:
        last = error.splitlines()[-1]
        assert "all processes must call sparsify_folder with the same arg" in last
        assert differs in last
    assert not list(place.glob(f"no-{differs}*/")) + list(place.glob(".*"))


def test_wrong_arguments_end_all_processes(place, run):
    codes, errors = run(2, "wrong", "EffectiveResistance(0.8)")
    assert codes == [1, 1]
    for error in errors:
        assert "needs method='stream' for a graph folder" in error


def test_a_group_is_needed(place):
    with pytest.raises(RuntimeError, match=r"call init_process_group\('gloo'\)"):
        sparsify_shared(place / "g", place / "no", DSpar(0.5))

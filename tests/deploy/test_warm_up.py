"""Kernels that are compiled before they are needed."""

import subprocess
import sys

import torch
from numba.core import event

from gsparse.deploy import warm_up

PROGRAM = """
import torch
from gsparse.data import planted_partition
from gsparse.nn import FastGCNConv
data = planted_partition(60)
for _ in range(2):
    FastGCNConv(200, 16)(data.x, data.edge_index)
"""


def test_a_second_call_compiles_nothing():
    noise = torch.get_rng_state()
    first = [name for name, _ in warm_up()]
    assert torch.equal(torch.get_rng_state(), noise)
    with event.install_recorder("numba:compile") as compiled:
        second = [name for name, _ in warm_up()]
    assert first == second
    assert {"FastGATConv, 8 x 8", "FastGCNConv", "effective resistance"} <= {*first}
    assert not compiled.buffer


def test_the_first_compilation_is_said_once(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    said = [
        subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
        for _ in range(2)
    ]
    assert [it.returncode for it in said] == [0, 0], said[0].stderr
    line = "compiling kernels that are new to this machine: up to half a minute\n"
    assert [it.stderr.count(line) for it in said] == [1, 0]

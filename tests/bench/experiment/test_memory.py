"""Peak memory counts allocations and ignores memory freed before."""

import sys

import pytest
import torch

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.memory import peak, peak_bytes, reset_peak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
CPU = torch.device("cpu")


def test_a_block_that_comes_and_goes_is_seen():
    torch.ones(50 * 2**20)  # 200 MiB, freed at once: not part of what follows
    before = reset_peak(CPU)
    torch.ones(16 * 2**20)
    assert 63 < (peak(CPU) - before) / 2**20 < 70  # Linux counts in batches of pages
    before = reset_peak(CPU)
    assert (peak(CPU) - before) / 2**20 < 6


@pytest.mark.slow
def test_fewer_edges_need_fewer_bytes():
    dense = peak_bytes(Config("digits", "random-5-30", "gat", "Dense", 0.0), 0)
    cut = peak_bytes(Config("digits", "random-5-30", "gat", "RandomEdge", 0.9), 0)
    assert dense.keys() == {"train_peak_bytes", "infer_peak_bytes"}
    assert dense["train_peak_bytes"] > cut["train_peak_bytes"] > 0
    assert dense["infer_peak_bytes"] > cut["infer_peak_bytes"] > 0


def test_a_child_that_fails_is_said():
    with pytest.raises(RuntimeError, match="could not be measured: ValueError"):
        peak_bytes(Config("digits", "random-5-30", "gin", "Dense", 0.0), 0)

"""Peak memory of a run in a process of its own."""

import sys

import pytest

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.memory import peak_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


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

"""A new process returns JSON, or an error message."""

import os

import pytest
import torch

from gsparse.bench.experiment.fresh_process import ask


def _who(request):
    return {"asked": request, "pid": os.getpid(), "threads": torch.get_num_threads()}


def _fail(request):
    raise ValueError(f"no {request}")


def test_it_is_another_process_with_as_many_threads(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__))
    found = ask(_who, [1, "a", None], "asking failed")
    assert found["asked"] == [1, "a", None]
    assert found["pid"] != os.getpid()
    assert found["threads"] == torch.get_num_threads()


def test_the_last_line_of_an_error_comes_back(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__))
    with pytest.raises(RuntimeError, match="asking failed: ValueError: no bread"):
        ask(_fail, "bread", "asking failed")

"""The thread team is torch's own, with the given number of threads."""

import platform
import threading

import pytest
import torch

from gsparse.kernels import team
from gsparse.kernels.team import run_on_team

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux" or not torch.backends.openmp.is_available(),
    reason="torch runs without OpenMP here",
)


def test_every_thread_does_its_part():
    meeting = threading.Barrier(2, timeout=60)
    seen = set()

    def part():
        seen.add(threading.get_ident())
        meeting.wait()  # would time out if one thread did both parts

    assert run_on_team(part, 2)
    assert len(seen) == 2
    assert threading.get_ident() in seen


def test_an_error_arrives_after_all_are_done():
    def part():
        raise KeyError("by design")

    with pytest.raises(KeyError, match="by design"):
        run_on_team(part, 2)
    assert run_on_team(lambda: None, 2)


def test_no_team_in_a_team_or_where_there_is_none(monkeypatch):
    found = []
    run_on_team(lambda: found.append(run_on_team(found.clear, 2)), 2)
    assert found == [False, False]
    monkeypatch.setattr(team, "_team", lambda: None)
    assert not run_on_team(found.clear, 2)
    assert found == [False, False]

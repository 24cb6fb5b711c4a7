"""Other processes on the cores are noticed with several threads only."""

import pytest

from gsparse.deploy.busy_cores import busy_cores


@pytest.mark.parametrize(
    ("threads", "load", "cores", "is_said"),
    [
        (1, 9.0, 2, False),
        (2, 0.4, 2, False),
        (2, 0.6, 2, True),
        (4, 3.0, 8, False),
        (4, 5.0, 8, True),
    ],
)
def test_threads_and_load_must_fit_the_cores(threads, load, cores, is_said):
    text = busy_cores(threads, load, cores)
    assert (text is not None) == is_said
    if is_said:
        assert "OMP_WAIT_POLICY=passive" in text
        assert "--threads 1" in text
        assert len(text) <= 80


def test_a_system_without_a_load_says_nothing(monkeypatch):
    monkeypatch.delattr("os.getloadavg", raising=False)
    assert busy_cores(threads=2, cores=2) is None

"""Fixtures for real data, and a count of the tests skipped without it."""

import pytest
import torch
from hypothesis import settings

from gsparse.data import card, load
from gsparse.data.raw_files import find_raw

# The same examples in every run, and no deadline for a busy machine;
# `pytest --hypothesis-profile=default` draws others.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")

_SKIPPED = "real data set not here: "


@pytest.fixture
def real(monkeypatch):
    """Loads a real data set, or skips the test by the name of the data set."""

    def load_real(name, **kwargs):
        if find_raw(card(name)) is None:
            pytest.skip(_SKIPPED + card(name).name)
        monkeypatch.setenv("GSPARSE_OFFLINE", "1")
        return load(name, **kwargs)

    return load_real


@pytest.fixture(autouse=True)
def _same_number_of_threads():
    """A test that changes the number of threads does not change it for others."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def pytest_terminal_summary(terminalreporter):
    reasons = [
        str(report.longrepr[2] if isinstance(report.longrepr, tuple) else "")
        for report in terminalreporter.stats.get("skipped", [])
    ]
    missing = [reason.split(_SKIPPED)[1] for reason in reasons if _SKIPPED in reason]
    line = f"{len(missing)} tests on real data skipped"
    if missing:
        line += f" (not here: {', '.join(sorted(set(missing)))}); set GSPARSE_DATA"
    terminalreporter.write_line(line)

"""Peak memory counts allocations and ignores memory freed before."""

import os
import sys

import pytest
import torch

from gsparse.deploy.peak_memory import available_bytes, peak, reset_peak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
CPU = torch.device("cpu")


def test_a_block_that_comes_and_goes_is_seen():
    torch.ones(50 * 2**20)  # 200 MiB, freed at once: not part of what follows
    before = reset_peak(CPU)
    torch.ones(16 * 2**20)
    assert 63 < (peak(CPU) - before) / 2**20 < 70  # Linux counts in batches of pages
    before = reset_peak(CPU)
    assert (peak(CPU) - before) / 2**20 < 6


def test_available_memory_is_part_of_the_whole():
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 2**20 < available_bytes() <= whole

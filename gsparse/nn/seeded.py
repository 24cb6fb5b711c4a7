"""Context manager for a random seed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's generator within this context and restore it afterwards."""
    in_use = torch.cuda.is_available() and torch.cuda.is_initialized()
    with torch.random.fork_rng([torch.cuda.current_device()] if in_use else []):
        torch.manual_seed(seed)
        yield

"""Context manager for evaluation mode."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch.nn import Module


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Put a model into evaluation mode within this context.

    The mode of every module is restored afterwards.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training

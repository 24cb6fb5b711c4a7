"""Leave autocast for computations on probabilities."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def full_precision(x: Tensor) -> Iterator[Tensor]:
    """Disable autocast within this context; yields ``x``, in float32 if it has 16 bits.

    Gates are ranked by small differences of their log-odds, and logarithms of
    probabilities near 0 and 1 cannot be represented in 16 bits. With this context a
    mask is the same inside and outside of autocast. Without autocast nothing changes.

    Args:
        x: Input of the computation.

    Shapes:
        - **x, output:** any shape

    Example:
        >>> import torch
        >>> from gsparse.nn.full_precision import full_precision
        >>> x = torch.full((1, 1), 1.0039)
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     low = x @ x
        ...     with full_precision(x) as x:
        ...         low.dtype, (x @ x).dtype
        (torch.bfloat16, torch.float32)
    """
    kind = x.device.type
    if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
        yield x
        return
    with torch.autocast(kind, enabled=False):
        yield x.float() if x.dtype in (torch.float16, torch.bfloat16) else x

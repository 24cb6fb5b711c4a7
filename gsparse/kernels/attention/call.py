"""Convert tensors and settings to arguments of the numba kernels of attention."""

from typing import Any

import numpy as np
from torch import Tensor

from gsparse.kernels.attention.reference import drop_threshold, mix_seed
from gsparse.kernels.threads import array

#: From this many ``E * H * C`` products on, a kernel is compiled for the shape, which
#: takes some seconds and is kept on disk. Smaller inputs use the kernel for any shape,
#: which takes 1.6 to 2 times as long for few narrow heads.
SPECIALISE_WORK = 300_000


def arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    """Return the arrays that numba takes for tensors."""
    return tuple(map(array, tensors))


def shape_key(x: Tensor, num_edges: int) -> tuple[int, int]:
    """Return the heads and channels to compile for; (0, 0) for small inputs."""
    _, heads, channels = x.shape
    work = num_edges * heads * channels
    return (heads, channels) if work >= SPECIALISE_WORK else (0, 0)


def drop_rule(seed: Tensor, dropout: float, kind: type) -> tuple[Any, ...]:
    """Return keys, threshold and scale of dropout as numbers of fixed size."""
    key, key2 = mix_seed(int(seed))
    threshold, scale = drop_threshold(dropout)
    return np.uint32(key), np.uint32(key2), np.uint32(threshold), kind(scale)

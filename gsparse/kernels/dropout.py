"""Dropout by counter: the mask is a function of seed and position, never stored."""

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.scalar import random_bits
from gsparse.kernels.threads import jit, run_blocks, take_block

BLOCK = 1 << 16


@jit()
def _drop(
    counter: np.ndarray,
    values: np.ndarray,
    place: np.ndarray,
    out: np.ndarray,
    threshold: np.uint32,
    scale: float,
    key: np.ndarray,
) -> None:
    size = values.shape[0]
    identity = place.shape[0] == 0
    first, second = key[0], key[1]
    while True:
        start = take_block(counter) * BLOCK
        if start >= size:
            break
        stop = min(start + BLOCK, size)
        if identity:
            for k in range(start, stop):
                keep = random_bits(np.uint32(k), first, second) >= threshold
                out[k] = values[k] * scale if keep else 0.0
        else:
            for k in range(start, stop):
                keep = random_bits(np.uint32(place[k]), first, second) >= threshold
                out[k] = values[k] * scale if keep else 0.0


def drop_values(
    values: Tensor, p: float, seed: int, place: Tensor | None = None
) -> Tensor:
    r"""Zero each value with probability ``p`` and scale the others by 1 / (1 - p).

    Value ``k`` is dropped by a hash of ``place[k]`` and the seed, so the same mask can
    be applied to the values in two orders without storing it. On the CPU it costs a
    tenth of ``torch.nn.functional.dropout``; elsewhere that function's generator is
    used on a mask in the order of ``place``.

    Args:
        values: What to drop out.
        p: Probability of zero, in [0, 1).
        seed: Number of the random stream.
        place: Position that each value's mask belongs to; its own if left out.

    Shapes:
        - **values**, **place**, **output:** :math:`(n,)`
    """
    scale = 1 / (1 - p)
    if values.device.type != "cpu":
        generator = torch.Generator(values.device).manual_seed(seed)
        mask = torch.rand(values.shape, generator=generator, device=values.device) >= p
        mask = mask if place is None else mask[place]
        return values * mask * scale
    out = torch.empty_like(values)
    key = np.array([seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF], np.uint32)
    none = np.empty(0, np.int64)
    run_blocks(
        _drop,
        values.numel(),
        values.detach().numpy(),
        none if place is None else place.numpy(),
        out.numpy(),
        np.uint32(min(round(p * 2**32), 2**32 - 1)),
        scale,
        key,
    )
    return out

"""Dropout whose mask is a function of seed and position and is never stored."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import handle_torch_function, has_torch_function_unary

from gsparse.kernels.attention.reference import (
    drop_threshold,
    mix_seed,
    random_bits_reference,
)
from gsparse.kernels.differentiable import differentiable
from gsparse.kernels.scalar import data, random_bits
from gsparse.kernels.threads import jit, run_blocks, take_block

BLOCK = 1 << 14


@jit()
def _drop(
    counter: np.ndarray,
    values: np.ndarray,
    out: np.ndarray,
    threshold: np.uint32,
    scale: float,
    key: np.uint32,
    key2: np.uint32,
) -> None:
    x, y, zero = data(values), data(out), values.dtype.type(0)
    start = take_block(counter) * BLOCK
    while start < values.shape[0]:
        for k in range(start, min(start + BLOCK, values.shape[0])):
            keep = random_bits(np.uint32(k), key, key2) >= threshold
            y[k] = x[k] * scale if keep else zero
        start = take_block(counter) * BLOCK


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    r"""Zero each entry with probability ``p`` and scale the others by 1 / (1 - p).

    Equals :func:`torch.nn.functional.dropout` with another stream of random numbers:
    entry ``k`` is dropped by a hash of ``k`` (mod :math:`2^{32}`) and of a seed drawn
    from torch's generator. On the CPU, where torch draws one number after the other, it
    takes a tenth of the time and stores no mask; the result does not depend on the
    number of threads. On other devices, and for dtypes other than
    float32 and float64, torch's function runs. Differentiable any number of times.

    Args:
        x: Input.
        p: Probability that an entry is zeroed, in [0, 1].
        training: Return ``x`` unchanged if false.

    Raises:
        ValueError: If ``p`` is out of range.

    Shapes:
        - **x**, **output:** any

    Example:
        >>> import torch
        >>> from gsparse.kernels.dropout import dropout
        >>> dropout(torch.ones(2, 3), p=0.5).unique().tolist() in ([0, 2], [0], [2])
        True
    """
    if has_torch_function_unary(x):
        return handle_torch_function(dropout, (x,), x, p, training)
    if not 0 <= p <= 1:
        raise ValueError(f"'p' must be in [0, 1] (got {p})")
    if not training or p == 0:
        return x
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return functional.dropout(x, p, training)
    return _dropout(x, float(p), torch.randint(2**62, ()))


def dropout_reference(x: Tensor, p: float, seed: int) -> Tensor:
    """Compute :func:`dropout` for a given seed in plain torch (for tests)."""
    threshold, scale = drop_threshold(p)
    keep = (random_bits_reference(x.numel(), seed, x) >= threshold).view(x.shape)
    return torch.where(keep, x * scale, torch.zeros_like(x))


def _dropped(x: Tensor, p: float, seed: Tensor) -> Tensor:
    x = x.detach().contiguous()
    out = torch.empty_like(x)
    key, key2 = mix_seed(int(seed))
    threshold, scale = drop_threshold(p)
    values = x.view(-1).numpy()
    run_blocks(
        _drop,
        values.size,
        values,
        out.view(-1).numpy(),
        np.uint32(threshold),
        values.dtype.type(scale),
        np.uint32(key),
        np.uint32(key2),
    )
    return out


def _like(x: Tensor, p: float, seed: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _save(ctx: Any, inputs: tuple[Tensor, float, Tensor], output: Tensor) -> None:  # noqa: ANN401
    _, ctx.p, seed = inputs
    ctx.save_for_backward(seed)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
    return _dropout(grad, ctx.p, *ctx.saved_tensors), None, None


_dropout = differentiable(
    "gsparse::dropout",
    _dropped,
    fake=_like,
    save=_save,
    backward=_backward,
    reference=lambda x, p, seed: dropout_reference(x, p, int(seed)),
)

"""Backward pass of GAT attention on the CPU: the part computed for each target."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from gsparse.kernels.attention.lanes import MAX_HEADS, Shape, fill
from gsparse.kernels.attention.simd import add_row, dots
from gsparse.kernels.scalar import Pointer, at, data, stack
from gsparse.kernels.threads import jit, take_block
from gsparse.kernels.vector_code import fixed_shape, shape_of


@jit(forceinline=True)
def _targets(
    counter: np.ndarray,
    blocks: np.ndarray,
    inputs: tuple[np.ndarray, ...],
    slope: float,
    outputs: tuple[np.ndarray, ...],
    shape: Shape,
    scratch: tuple[Pointer, ...],
) -> None:
    alpha_dst, lse, part_sum = inputs[0], inputs[2], inputs[4]
    out, part, grad = data(inputs[1]), data(inputs[3]), data(inputs[5])
    bias = data(inputs[6])
    record, grad_dst, grad_bias = outputs
    delta, share, offset, one = scratch
    heads, channels, fixed = shape
    width = heads * channels
    fill(one, heads, 1.0)
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        bias_sum = at(data(grad_bias), block * width)
        for i in range(blocks[block], blocks[block + 1]):
            row = at(grad, i * width)
            dots(row, at(out, i * width), delta, heads, channels, fixed)
            dots(row, at(part, i * width), share, heads, channels, fixed)
            dots(row, bias, offset, heads, channels, fixed)
            add_row(bias_sum, one, row, heads, channels, fixed)
            for h in range(heads):
                drift = delta[h] - offset[h]
                above = share[h] - drift * part_sum[i, h]
                grad_dst[i, h] = above - slope * above
                record[i, 0, h] = alpha_dst[i, h]
                record[i, 1, h] = lse[i, h]
                record[i, 2, h] = drift
        block = take_block(counter)


@lru_cache
def targets_kernel(heads: int, channels: int) -> Callable[..., None]:
    """Return the loop for records of targets and gradients of scores and bias."""
    most = heads or MAX_HEADS

    @jit()
    def gat_targets(counter, blocks, inputs, slope, outputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        shape = shape_of(inputs[1], fixed_shape(heads, channels))
        most_heads = (stack(most, slope), stack(most, slope))
        scratch = (*most_heads, stack(most, slope), stack(most, slope))
        _targets(counter, blocks, inputs, slope, outputs, shape, scratch)

    return gat_targets

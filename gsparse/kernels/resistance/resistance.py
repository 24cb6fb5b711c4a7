"""Compiled loops for sampled resistances: random signs, and squares per pair."""

import math

import numpy as np

from gsparse.kernels.resistance.laplacian import ROWS, WIDTH
from gsparse.kernels.scalar import mix, stack
from gsparse.kernels.threads import jit, take_block

#: Pairs a thread takes at a time.
PAIRS = 1 << 14


@jit()
def random_flow(
    counter: np.ndarray,
    ptr: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray,
    seed: np.uint64,
    out: np.ndarray,
) -> None:
    """Compute ``WIDTH`` columns of ``B^T W^(1/2) Q`` with random signs of pairs.

    The sign in column c is bit c of a hash of (seed, smaller end, larger end), so it
    does not depend on the order of the edges or the number of threads.
    """
    num_nodes = out.shape[0]
    weighted = values.shape[0] > 0
    total = stack(8, out[0, 0])
    one = out[0, 0] * 0 + 1
    block = take_block(counter)
    while block * ROWS < num_nodes:
        for u in range(block * ROWS, min((block + 1) * ROWS, num_nodes)):
            for c in range(WIDTH):
                total[c] = 0
            own = mix(seed + np.uint64(u))
            for e in range(ptr[u], ptr[u + 1]):
                v = indices[e]
                if v > u:
                    bits = mix(own + np.uint64(v))
                else:  # the opposite sign at the other end
                    bits = ~mix(mix(seed + np.uint64(v)) + np.uint64(u))
                root = math.sqrt(values[e]) if weighted else one
                low = np.int32(bits & np.uint64(255))
                for c in range(WIDTH):
                    total[c] += root * np.int32(1 - 2 * ((low >> np.int32(c)) & 1))
            for c in range(WIDTH):
                out[u, c] = total[c]
        block = take_block(counter)


@jit()
def add_squares(
    counter: np.ndarray,
    row: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    deg: np.ndarray,
    fields: np.ndarray,
    total: np.ndarray,
) -> None:
    """Add the squared far parts of the potential difference over each pair.

    ``fields[u]`` holds ``WIDTH`` potentials x of u and then as many currents L x.
    With y the potentials of the two ends for a unit current while all others are
    grounded, the far part is ``x_u - x_v - y_u (L x)_u - y_v (L x)_v``. The squares of
    the columns are added into one total ``[M, 1]``, or each into its own
    ``[M, WIDTH]``.
    """
    near, square = stack(2, fields[0, 0]), stack(8, fields[0, 0])
    weighted, apart = weight.shape[0] > 0, total.shape[1] > 1
    block = take_block(counter)
    while block * PAIRS < row.shape[0]:
        for e in range(block * PAIRS, min((block + 1) * PAIRS, row.shape[0])):
            u, v = row[e], col[e]
            w = weight[e] if weighted else 1.0
            rest_u, rest_v = deg[u] - w, deg[v] - w
            if rest_u <= 0 or rest_v <= 0:
                continue  # a leaf: nothing is far
            det = rest_u * rest_v + w * (rest_u + rest_v)
            near[0], near[1] = rest_v / det, rest_u / det
            for c in range(WIDTH):
                far = fields[u, c] - near[0] * fields[u, WIDTH + c]
                far -= fields[v, c] - near[1] * fields[v, WIDTH + c]
                square[c] = far * far
            if apart:
                for c in range(WIDTH):
                    total[e, c] += square[c]
            else:
                low = (square[0] + square[1]) + (square[2] + square[3])
                high = (square[4] + square[5]) + (square[6] + square[7])
                total[e, 0] += low + high
        block = take_block(counter)


@jit()
def grounded(rest_u: float, rest_v: float, w: float) -> float:
    """Return the resistance of a pair with all other nodes grounded, a lower bound."""
    if rest_u <= 0 or rest_v <= 0:
        return 1 / w
    return (rest_u + rest_v) / (rest_u * rest_v + w * (rest_u + rest_v))


@jit()
def summarise(
    counter: np.ndarray,
    row: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    deg: np.ndarray,
    bridge: np.ndarray,
    known: np.ndarray,
    far: np.ndarray,
    scale: float,
    out: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Compute resistances from far parts, and 1 / w for bridges.

    The far part is ``known`` (if not empty) plus ``scale`` times the sum of the columns
    of ``far``. Per block of pairs ``sums`` gets the total of w R before clipping,
    the number of clipped pairs, and the totals of (scaled far / R)^2 and of
    ((known + scaled far) / R)^2. ``out`` may be empty, ``[M, 1]`` for the resistances,
    or ``[M, 2]`` for these clipped to 1 / w and the scaled far parts.
    """
    weighted, has_known = weight.shape[0] > 0, known.shape[0] > 0
    block = take_block(counter)
    while block * PAIRS < row.shape[0]:
        for e in range(block * PAIRS, min((block + 1) * PAIRS, row.shape[0])):
            w = weight[e] if weighted else 1.0
            value, fixed = 0.0, 0.0
            if bridge[e]:
                total = 1 / w
            else:
                for c in range(far.shape[1]):
                    value += far[e, c]
                value *= scale
                fixed = known[e, 0] if has_known else 0.0
                total = grounded(deg[row[e]] - w, deg[col[e]] - w, w) + fixed + value
            if w > 0:
                sums[block, 0] += w * total
                sums[block, 1] += w * total > 1 + 1e-12
            if 0 < total < np.inf:
                sums[block, 2] += (value / total) ** 2
                sums[block, 3] += ((value + fixed) / total) ** 2
            if out.shape[0] > 0:
                out[e, 0] = total
                if out.shape[1] > 1:
                    out[e, 0] = min(total, 1 / w)
                    out[e, 1] = value
        block = take_block(counter)

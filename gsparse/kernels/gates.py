"""Draw steered Hard-Kumaraswamy gates: values and derivatives in one pass."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.checks import check_shape
from gsparse.kernels.differentiable import differentiable, refuse_second_derivative
from gsparse.kernels.scalar import data, exp, log
from gsparse.kernels.threads import array, jit, run_blocks, take_block

# ruff: noqa: ANN401 (torch's contexts are untyped, and numbers within kernels)

BLOCK = 1 << 12
COST = 64
"""Work of one gate, in inner steps."""

_ZERO, _ONE, _TWO, _HALF = (np.float32(c) for c in (0, 1, 2, 0.5))
_ODD = [np.float32(1 / k) for k in (3, 5, 7, 9, 11, 13)]
_I3, _I5, _I7, _I9, _I11, _I13 = _ODD
_EXPM1 = [np.float32(1 / math.factorial(k)) for k in range(2, 9)]
_E2, _E3, _E4, _E5, _E6, _E7, _E8 = _EXPM1
_NEAR, _TINY = np.float32(-math.log(2)), np.finfo(np.float32).tiny


@jit(forceinline=True)
def _log1p(x: Any) -> Any:
    """Return log(1 + x) for x in [-1/2, 1] with relative error 1e-7, also near 0."""
    s = x / (_TWO + x)
    z = s * s
    p = (_I13 * z + _I11) * z + _I9
    p = ((p * z + _I7) * z + _I5) * z + _I3
    return _TWO * (s + s * z * p)


@jit(forceinline=True)
def _expm1(x: Any) -> Any:
    """Return exp(x) - 1 for x in [-log 2, 0] with relative error 2e-7, also near 0."""
    h = x * _HALF
    p = (_E8 * h + _E7) * h + _E6
    p = ((p * h + _E5) * h + _E4) * h + _E3
    e = h + h * h * (p * h + _E2)
    return e * (e + _TWO)


@jit(forceinline=True)
def _tanh(x: Any) -> Any:
    return _ONE - _TWO / (exp(_TWO * x) + _ONE)


@jit()
def _draw_kernel(
    counter: np.ndarray,
    scores: np.ndarray,
    uniform: np.ndarray,
    low: Any,
    high: Any,
    sure: Any,
    log_t0: Any,
    drawn: np.ndarray,
    opened: np.ndarray,
    slopes: np.ndarray,
) -> None:
    r"""Compute gates, :math:`P(z \ne 0)` and the derivatives of both.

    With :math:`L = \log(1 - t_0^a)` and :math:`q = -\log \sigma(\text{odds})`,
    :math:`b = q / -L` and :math:`k = (1 - v^{1/b})^{1/a}`; the derivatives are those
    of :math:`\log k` with respect to the odds and :math:`\log a`, written so that
    nothing cancels.
    """
    size = uniform.shape[0]
    s, v, z, o = data(scores), data(uniform), data(drawn), data(opened)
    slope = data(slopes)
    start = take_block(counter) * BLOCK
    while start < size:
        for i in range(start, min(start + BLOCK, size)):
            t = _tanh(s[2 * i] / sure)
            odds, bend = sure * t, _ONE - t * t
            log_a = _tanh(s[2 * i + 1])
            a = exp(log_a)
            power = exp(a * log_t0)
            rest = _log1p(-power)  # L
            small = exp(-abs(odds))
            is_open = (_ONE if odds >= _ZERO else small) / (_ONE + small)
            is_shut = (small if odds >= _ZERO else _ONE) / (_ONE + small)
            q = max(-odds, _ZERO) + _log1p(small)
            y = -log(max(v[i], _TINY)) * rest / q  # log(v) / b
            w = exp(y)  # v ** (1 / b)
            near = y > _NEAR  # both branches stay finite, for the vector unit
            near_u = -_expm1(max(y, _NEAR))
            u = near_u if near else _ONE - w
            log_u = log(near_u) if near else _log1p(max(-w, -_HALF))
            k = exp(log_u / a)
            value = low + (high - low) * k
            inside = (high - low) * k if _ZERO < value < _ONE else _ZERO
            lean = w * y / u
            bow = -power * log_t0 / ((_ONE - power) * rest)  # dL/da / L
            z[i] = min(max(value, _ZERO), _ONE)
            o[i] = is_open
            slope[i] = -inside * lean * is_shut / (a * q) * bend
            slope[size + i] = (
                -inside * (log_u / a + lean * bow) * (_ONE - log_a * log_a)
            )
            slope[2 * size + i] = is_open * is_shut * bend
        start = take_block(counter) * BLOCK


def _drawn(
    scores: Tensor, uniform: Tensor, low: float, high: float, sure: float
) -> tuple[Tensor, Tensor, Tensor]:
    size = uniform.numel()
    check_shape("uniform", uniform, (size,), torch.float32)
    check_shape("scores", scores, (size, 2), torch.float32)
    drawn, opened = uniform.new_empty(size), uniform.new_empty(size)
    slopes = uniform.new_empty(3, size)
    numbers = (low, high, sure, math.log(-low / (high - low)))
    run_blocks(
        _draw_kernel,
        size * COST,
        array(scores),
        uniform.numpy(),
        *(np.float32(number) for number in numbers),
        drawn.numpy(),
        opened.numpy(),
        slopes.numpy(),
    )
    return drawn, opened, slopes


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    slopes = output[2]
    ctx.mark_non_differentiable(slopes)
    ctx.set_materialize_grads(False)  # no zeros for the slopes
    ctx.save_for_backward(slopes)


def _backward(
    ctx: Any, drawn: Tensor | None, opened: Tensor | None, _: Any
) -> tuple[Any, ...]:
    refuse_second_derivative()
    (slopes,) = ctx.saved_tensors
    grad = slopes.new_zeros(slopes.size(1), 2)
    if drawn is not None:
        torch.mul(slopes[0], drawn, out=grad[:, 0])
        torch.mul(slopes[1], drawn, out=grad[:, 1])
    if opened is not None:
        grad[:, 0].addcmul_(slopes[2], opened)
    return grad, None, None, None, None


_draw = differentiable(
    "gsparse::draw_gates",
    _drawn,
    fake=lambda scores, uniform, *rest: (
        torch.empty_like(uniform),
        torch.empty_like(uniform),
        uniform.new_empty(3, uniform.shape[0]),
    ),
    save=_save,
    backward=_backward,
)


def draw_gates(
    scores: Tensor, uniform: Tensor, low: float, high: float, sure: float
) -> tuple[Tensor, Tensor]:
    r"""Draw a gate :math:`z` for each pair of scores, and compute :math:`P(z \ne 0)`.

    The gates are those of :class:`~gsparse.nn.steered_gate.SteeredGate`, computed in
    one pass instead of forty, on the CPU in float32. Differentiable once in the scores.

    Args:
        scores: Scores that determine the log-odds and :math:`\log a`.
        uniform: Numbers in (0, 1), one per gate.
        low: Value that 0 is stretched to.
        high: Value that 1 is stretched to.
        sure: Bound of the log-odds.

    Returns:
        Gates in [0, 1], and :math:`P(z \ne 0)`.

    Shapes:
        - **scores:** :math:`(M, 2)`
        - **uniform**, **output:** :math:`(M,)`

    Raises:
        ValueError: If shapes do not match.
        TypeError: If the dtype is not float32.
        RuntimeError: In forward mode and within ``vmap``.
    """
    drawn, opened, _ = _draw(scores, uniform, low, high, sure)
    return drawn, opened

"""exp and log of the kernels against NumPy's, on all inputs of attention."""

import math

import numpy as np
import pytest

from gsparse.kernels.scalar import exp, log
from gsparse.kernels.threads import jit


@jit()
def _exp(values):
    out = np.empty_like(values)
    for k in range(values.shape[0]):
        out[k] = exp(values[k])
    return out


@jit()
def _log(values):
    out = np.empty_like(values)
    for k in range(values.shape[0]):
        out[k] = log(values[k])
    return out


def test_exp_in_single_precision():
    values = np.linspace(-86.9, 88, 200_001, dtype=np.float32)
    error = np.abs(_exp(values) / np.exp(values.astype(np.float64)) - 1)
    assert error.max() < 3e-7
    assert _exp(np.float32([-100, -np.inf])).tolist() == [0, 0]
    assert np.isfinite(_exp(np.float32([200, np.inf]))).all()


def test_log_in_single_precision():
    values = np.exp(np.linspace(-87, 88, 200_001)).astype(np.float32)
    values = np.concatenate([values, np.linspace(0.5, 2, 200_001, dtype=np.float32)])
    expected = np.log(values.astype(np.float64))
    error = np.abs(_log(values) - expected)
    assert (error < 1.5e-7 * np.maximum(np.abs(expected), 0.1) + 1e-8).all()
    assert _log(np.float32([1]))[0] == 0


@pytest.mark.parametrize("value", [1e-300, 0.3, 1.0, 1e300])
def test_double_precision_is_that_of_the_library(value):
    assert _log(np.array([value]))[0] == math.log(value)
    assert _exp(np.array([math.log(value)]))[0] == math.exp(math.log(value))

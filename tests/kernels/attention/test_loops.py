"""Formulas over heads and channels against NumPy, for every way to emit them."""

import numpy as np
import pytest

from gsparse.kernels.attention.grid import fixed_shape, shape_of
from gsparse.kernels.attention.loops import add_rows, dots
from gsparse.kernels.scalar import data
from gsparse.kernels.threads import jit

# Sums by shuffles of pairs (multiples of 8), by strides (up to 4), head by head.
SHAPES = [(8, 8), (4, 16), (2, 8), (1, 8), (8, 3), (6, 2), (16, 4), (1, 2), (3, 5)]


def loops(heads, channels):
    """Inner products and sums of rows; for any shape if both are 0."""

    @jit()
    def run(a, b, indices, terms, products, sums):
        shape = shape_of(a, fixed_shape(heads, channels))
        dots(data(products), data(a), data(b), shape)
        low, high = np.int64(0), np.int64(indices.shape[0])
        x, acc, term = data(a), data(sums), data(terms)
        add_rows(acc, term, x, data(indices), low, high, shape)

    return run


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_equal_their_definition(shape, dtype):
    random = np.random.default_rng(70379)
    a, b = random.standard_normal((2, 5, *shape)).astype(dtype)
    indices = np.array([3, 0, 4, 3], np.int32)
    terms = random.standard_normal((4, shape[0])).astype(dtype)
    near = {"rtol": 1e-5, "atol": 1e-5}
    for run in (loops(*shape), loops(0, 0)):
        products, sums = np.zeros(shape[0], dtype), np.zeros(shape, dtype)
        run(a, b, indices, terms, products, sums)
        np.testing.assert_allclose(products, (a[0] * b[0]).sum(-1), **near)
        expected = np.einsum("kh,khc->hc", terms, a[indices])
        np.testing.assert_allclose(sums, expected, **near)

"""Entries scaled from both sides, against the dense matrix."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from gsparse.kernels.csr_pattern import CsrPattern, walks
from gsparse.kernels.scale_op import _scale, scale_entries

DENSE = torch.tensor([[0.0, 2.0, -1.0], [0.0, 0.0, 0.0], [4.0, 0.0, 3.0]])


def pattern(dtype=torch.float64):
    csr = DENSE.to_sparse_csr()
    found = CsrPattern.from_csr(csr.crow_indices(), csr.col_indices(), 3)
    return found, csr.values().to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_entries_are_scaled_by_row_and_column(dtype):
    where, values = pattern(dtype)
    left, right = (torch.tensor(it, dtype=dtype) for it in ([1, 5, 2], [3, 7, 0.5]))
    expected = (left.unsqueeze(1) * DENSE.to(dtype) * right)[DENSE != 0]
    assert scale_entries(where, values, left, right).equal(expected)


def test_derivatives_to_all_factors_and_twice():
    where, values = pattern()
    sides = torch.randn(2, 3, dtype=torch.float64)
    leaves = [it.clone().requires_grad_() for it in (values, *sides)]
    assert gradcheck(lambda *it: scale_entries(where, *it), leaves)
    assert gradgradcheck(lambda *it: scale_entries(where, *it), leaves)


def test_op_keeps_torchs_rules():
    where, values = pattern()
    sides = (torch.ones(3, dtype=torch.float64, requires_grad=True) for _ in "ab")
    torch.library.opcheck(_scale.op, (values.requires_grad_(), *sides, *walks(where)))

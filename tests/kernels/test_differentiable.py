"""Operators that use an autograd function outside of tracing."""

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from gsparse.kernels.csr_pattern import CsrPattern
from gsparse.kernels.gates import draw_gates
from gsparse.kernels.spmm_op import spmm_values

DENSE = torch.tensor([[0.0, 2.0], [3.0, 4.0], [0.0, 0.0]])
CSR = DENSE.to_sparse_csr()
PATTERN = CsrPattern.from_csr(CSR.crow_indices(), CSR.col_indices(), 2)
VALUES, X = CSR.values().clone(), torch.tensor([[1.0, -1.0], [0.5, 2.0]])


def product(values, x):
    return spmm_values(PATTERN, values, x)


def seen_by(mode):
    with mode:
        assert product(VALUES, X).equal(DENSE @ X)
    return mode.seen


def test_modes_see_the_operator():
    class Functions(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.seen = [*getattr(self, "seen", ()), func]
            return func(*args, **(kwargs or {}))

    class Dispatch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.seen = [*getattr(self, "seen", ()), func]
            return func(*args, **(kwargs or {}))

    operator = torch.ops.gsparse.spmm.default
    assert operator in seen_by(Functions())
    assert operator in seen_by(Dispatch())


def test_subclasses_and_fake_tensors_see_the_operator():
    class Named(Tensor):
        seen = ()

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            cls.seen = (*cls.seen, func)
            return super().__torch_function__(func, types, args, kwargs or {})

    out = product(VALUES, X.as_subclass(Named))
    assert isinstance(out, Named)
    assert torch.ops.gsparse.spmm.default in Named.seen


def test_graphs_hold_the_operator():
    class Product(torch.nn.Module):
        def forward(self, values, x):
            return product(values, x).relu()

    program = torch.export.export(Product(), (VALUES, X))
    assert "gsparse.spmm" in program.graph_module.code
    assert program.module()(VALUES, X).equal((DENSE @ X).relu())


def test_transforms_of_functions_have_the_same_derivative():
    loss = lambda x: product(VALUES, x).square().sum()  # noqa: E731
    x = X.clone().requires_grad_()
    loss(x).backward()
    torch.testing.assert_close(torch.func.grad(loss)(X), x.grad)


def test_second_derivatives_of_kernels_without_one_are_refused():
    scores = torch.randn(4, 2, requires_grad=True)
    drawn, _ = draw_gates(scores, torch.rand(4), -0.1, 1.1, 10.0)
    with pytest.raises(RuntimeError, match=r"second derivative.*'reference'"):
        torch.autograd.grad(drawn.sum(), scores, create_graph=True)

"""Sparse times dense against its definition, in value and derivative."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from gsparse.data import random_graph
from gsparse.kernels import Graph, spmm_op
from gsparse.kernels.csr_pattern import CsrPattern
from gsparse.kernels.spmm import SparseMatrix, spmm
from gsparse.kernels.spmm_op import sddmm, spmm_reference, spmm_values


def random_matrix(rows, cols, share, seed, dtype=torch.float32):
    """A dense matrix with that share of non-zeros, and its pattern and values."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(rows, cols, generator=generator, dtype=dtype)
    matrix *= torch.rand(rows, cols, generator=generator) < share
    csr = matrix.to_sparse_csr()
    pattern = CsrPattern.from_csr(csr.crow_indices(), csr.col_indices(), cols)
    return matrix, pattern, csr.values().clone()


def by_definition(pattern, values, dense):
    """One entry at a time."""
    out = torch.zeros(pattern.shape[0], dense.size(1), dtype=dense.dtype)
    for i in range(pattern.shape[0]):
        for e in range(int(pattern.indptr[i]), int(pattern.indptr[i + 1])):
            out[i] += values[e] * dense[int(pattern.indices[e])]
    return out


@pytest.mark.parametrize("columns", [*range(1, 36), 40, 62, 63, 64, 65, 127, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_product_matches_definition(columns, dtype):
    """The widths take every combination of register blocks."""
    _, pattern, values = random_matrix(13, 9, 0.4, 30211, dtype)
    dense = torch.randn(9, columns, dtype=dtype)
    expected = by_definition(pattern, values, dense)
    torch.testing.assert_close(spmm_values(pattern, values, dense), expected)
    torch.testing.assert_close(spmm_reference(pattern, values, dense), expected)


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (5, 1), (1, 5), (6, 4)])
def test_empty_rows_and_matrices(rows, cols):
    matrix = SparseMatrix.from_csr(torch.zeros(rows, cols).to_sparse_csr())
    assert spmm(matrix, torch.ones(cols, 3)).equal(torch.zeros(rows, 3))
    dense = torch.ones(cols, 0)
    assert spmm(matrix, dense).shape == (rows, 0)


def test_strided_and_transposed_factors():
    matrix, pattern, values = random_matrix(20, 12, 0.3, 88019)
    weight = torch.randn(5, 12)
    out = spmm_values(pattern, values, weight.t())
    torch.testing.assert_close(out, matrix @ weight.t())
    wide = torch.randn(12, 10)
    out = spmm_values(pattern, values, wide[:, 2:6])
    torch.testing.assert_close(out, matrix @ wide[:, 2:6])
    out = spmm_values(pattern, values, torch.ones(1, 4).expand(12, 4))
    torch.testing.assert_close(out, matrix @ torch.ones(12, 4))


def test_derivatives_to_both_factors_and_twice():
    _, pattern, values = random_matrix(8, 6, 0.4, 51749, torch.float64)
    dense = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    factors = values.requires_grad_(), dense
    assert gradcheck(lambda v, x: spmm_values(pattern, v, x), factors)
    assert gradgradcheck(lambda v, x: spmm_values(pattern, v, x), factors)


def test_transpose_is_the_transpose():
    """Walking the other direction multiplies by the transposed matrix."""
    matrix, pattern, values = random_matrix(70, 40, 0.2, 66601)
    dense = torch.randn(40, 16, requires_grad=True)
    grad = torch.randn(70, 16)
    spmm_values(pattern, values, dense).backward(grad)
    torch.testing.assert_close(dense.grad, matrix.t() @ grad)


@pytest.mark.parametrize("columns", [1, 2, 3, 7, 8, 15, 16, 31, 40, 64, 127, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_transpose_of_few_rows(columns, dtype, monkeypatch):
    """Added up in parts, which is another way to the same sums."""
    matrix, pattern, values = random_matrix(400, 3, 0.6, 70981, dtype)
    grad = torch.randn(400, columns + 2, dtype=dtype)[:, 1:-1]  # rows with a stride
    dense = torch.randn(3, columns, dtype=dtype, requires_grad=True)
    parts, seen = spmm_op.spmm_narrow_kernel, []
    note = lambda *args: (seen.append(args[-1].shape), parts(*args))  # noqa: E731
    monkeypatch.setattr(spmm_op, "spmm_narrow_kernel", note)
    spmm_values(pattern, values, dense).backward(grad)
    assert seen == [(spmm_op.NUM_PARTS, 3, columns)]
    expected = (matrix.t().double() @ grad.double()).to(dtype)
    near = 1e-4 if dtype == torch.float32 else 1e-9  # 240 terms that cancel
    torch.testing.assert_close(dense.grad, expected, atol=near, rtol=near)


@pytest.mark.parametrize("columns", [0, 1, 2, 3, 7, 8, 15, 16, 31, 40, 127])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_derivatives_at_once(columns, dtype):
    matrix, pattern, values = random_matrix(17, 11, 0.4, 93199, dtype)
    values, grad = values.requires_grad_(), torch.randn(17, columns, dtype=dtype)
    dense = torch.randn(11, columns, dtype=dtype, requires_grad=True)
    spmm_values(pattern, values, dense).backward(grad)
    near = {"atol": 1e-4, "rtol": 1e-4} if dtype == torch.float32 else {}
    torch.testing.assert_close(dense.grad, matrix.t() @ grad, **near)
    inner = (grad @ dense.detach().t())[matrix != 0]
    torch.testing.assert_close(values.grad, inner, **near)


@pytest.mark.parametrize(("seed", "share"), [(15013, 0.1), (90217, 0.05)])
def test_result_does_not_depend_on_threads(seed, share):
    """Enough work for several threads, by either way back; equal to the last bit."""
    _, pattern, values = random_matrix(900, 700, share, seed)
    dense, grad = torch.randn(700, 40), torch.randn(900, 40)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            x, v = dense.clone().requires_grad_(), values.clone().requires_grad_()
            out = spmm_values(pattern, v, x)
            out.backward(grad)
            found.append((out.detach(), x.grad, v.grad))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(a.equal(b) for a, b in zip(found[0], other, strict=True))


def test_graph_is_a_pattern():
    """A Graph sums over in-edges: the product with the transposed adjacency."""
    data = random_graph(num_nodes=30, p=0.2, seed=20903)
    graph = Graph.from_edge_index(data.edge_index, 30)
    dense = torch.randn(30, 4)
    source, target = data.edge_index
    expected = torch.zeros(30, 4).index_add(0, target, dense[source])
    out = spmm_values(graph, torch.ones(graph.num_edges), dense)
    torch.testing.assert_close(out, expected)


def test_entries_of_one_place_add_up():
    row, col = torch.tensor([1, 0, 1]), torch.tensor([2, 0, 2])
    values = torch.tensor([1.0, 2.0, 3.0])
    matrix = SparseMatrix.from_entries(row, col, values, (2, 3))
    expected = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 4.0]])
    assert spmm(matrix, torch.eye(3)).equal(expected)
    assert matrix.csr.to_dense().equal(expected)


def test_other_values_share_the_pattern():
    matrix, pattern, values = random_matrix(9, 7, 0.5, 40427)
    twice = SparseMatrix(pattern, values).with_values(2 * values)
    assert twice.pattern is pattern
    torch.testing.assert_close(spmm(twice, torch.eye(7)), 2 * matrix)


def test_compiles():
    _, pattern, values = random_matrix(9, 7, 0.5, 77093)
    compiled = torch.compile(
        lambda v, x: spmm_values(pattern, v, x).sin(), backend="aot_eager", dynamic=True
    )
    x = torch.randn(7, 5, requires_grad=True)
    expected = spmm_values(pattern, values, x).sin()
    torch.testing.assert_close(compiled(values, x), expected)
    (grad,) = torch.autograd.grad(compiled(values, x).sum(), x)
    torch.testing.assert_close(grad, torch.autograd.grad(expected.sum(), x)[0])


def test_ops_keep_torchs_rules():
    _, pattern, values = random_matrix(6, 4, 0.5, 12373)
    args = values.requires_grad_(), torch.randn(4, 3, requires_grad=True)
    from gsparse.kernels.csr_pattern import walks
    from gsparse.kernels.spmm_op import _grads, _sddmm, spmm_walks

    torch.library.opcheck(spmm_walks.op, (*args, *walks(pattern)))
    left = torch.randn(6, 3, requires_grad=True)
    torch.library.opcheck(_sddmm.op, (left, args[1], *walks(pattern)))
    torch.library.opcheck(_grads.op, (*args, left.detach(), *walks(pattern)))


class TestRefusals:
    def test_shape_of_values(self):
        _, pattern, values = random_matrix(6, 4, 0.5, 12373)
        match = rf"'values' must have shape \[{pattern.nnz}\] \(got \[1\]\)"
        with pytest.raises(ValueError, match=match):
            spmm_values(pattern, values[:1], torch.ones(4, 2))

    @pytest.mark.parametrize("shape", [(5, 2), (4,)])
    def test_shape_of_dense(self, shape):
        _, pattern, values = random_matrix(6, 4, 0.5, 12373)
        with pytest.raises(ValueError, match=r"'dense' must have shape \[4, c\]"):
            spmm_values(pattern, values, torch.ones(shape))

    def test_dtype(self):
        _, pattern, values = random_matrix(6, 4, 0.5, 12373)
        with pytest.raises(TypeError, match=r"one floating-point dtype .*float64"):
            spmm_values(pattern, values, torch.ones(4, 2, dtype=torch.float64))

    def test_column_out_of_range(self):
        with pytest.raises(ValueError, match=r"'indices' must be in \[0, 2\)"):
            CsrPattern.from_csr(torch.tensor([0, 1]), torch.tensor([2]), 2)

    def test_pointers_that_do_not_fit(self):
        with pytest.raises(ValueError, match=r"'indptr' must rise from 0 to .* 1 \("):
            CsrPattern.from_csr(torch.tensor([0, 2]), torch.tensor([0]), 2)


def test_inner_products_at_the_entries():
    matrix, pattern, _ = random_matrix(6, 9, 0.4, seed=5, dtype=torch.float64)
    generator = torch.Generator().manual_seed(6)
    left, right = (
        torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (6, 9)
    )
    found = sddmm(pattern, left, right)
    expected = (left @ right.t())[matrix != 0]  # both in the order of rows
    torch.testing.assert_close(found, expected)
    leaves = left.requires_grad_(), right.requires_grad_()
    assert gradcheck(lambda a, b: sddmm(pattern, a, b), leaves)
    assert gradgradcheck(lambda a, b: sddmm(pattern, a, b), leaves)


@pytest.mark.parametrize("columns", [0, 1, 2, 3, 7, 8, 15, 16, 31, 40, 127])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inner_products_of_any_width(columns, dtype):
    matrix, pattern, _ = random_matrix(11, 9, 0.4, 42043, dtype)
    generator = torch.Generator().manual_seed(columns)
    left, right = (
        torch.randn(n, columns, generator=generator, dtype=dtype) for n in (11, 9)
    )
    expected = (left.double() @ right.double().t())[matrix != 0].to(dtype)
    found = sddmm(pattern, left, right)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)

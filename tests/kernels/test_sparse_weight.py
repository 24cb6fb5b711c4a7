"""A sparse weight times dense features is the dense product."""

import pytest
import torch

from gsparse.kernels.sparse_weight import (
    SparseWeight,
    sparse_linear,
    sparse_linear_reference,
)

SHAPES = [
    (0, 20, 5),
    (1, 1, 1),
    (1, 40, 7),
    (15, 15, 15),
    (16, 16, 16),
    (37, 5, 3),
    (64, 32, 16),
    (130, 20, 18),
    (200, 100, 33),
    (77, 0, 4),
    (77, 4, 0),
]
FLOATS = [torch.float32, torch.float64]


def make(n, f, c, share=0.2, dtype=torch.float64, seed=71933):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, f, generator=generator, dtype=dtype)
    weight = torch.randn(c, f, generator=generator, dtype=dtype)
    weight = weight * (torch.rand(c, f, generator=generator) < share)
    return x, weight, torch.randn(c, generator=generator, dtype=dtype)


def definition(x, weight, bias):
    """Entry by entry, over the non-zero weights."""
    out = bias.repeat(len(x), 1)
    for o, j in weight.nonzero().tolist():
        out[:, o] += weight[o, j] * x[:, j]
    return out


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 1.0])
def test_it_is_the_sum_over_the_weights(shape, share, dtype):
    x, weight, bias = make(*shape, share, dtype)
    sparse = SparseWeight.from_dense(weight)
    expected = definition(x, weight, bias)
    torch.testing.assert_close(sparse_linear(x, sparse, bias), expected)
    torch.testing.assert_close(sparse_linear_reference(x, sparse, bias), expected)
    torch.testing.assert_close(
        sparse_linear(x, sparse), definition(x, weight, torch.zeros_like(bias))
    )


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.9])
def test_windows_are_the_fewest_that_cover_what_is_read(share):
    _, weight, _ = make(1, 100, 6, share)
    sparse = SparseWeight.from_dense(weight)
    used = weight.any(0).nonzero().flatten().tolist()
    assert sparse.indices.tolist() == weight.nonzero()[:, 1].tolist()
    window, within = sparse.places // 16, sparse.places % 16
    assert (sparse.starts[window] + within).equal(sparse.indices)
    assert all(0 <= start <= 84 for start in sparse.starts.tolist())
    least, end = 0, -1  # a column that is not yet covered needs a window
    for column in used:
        if column >= end:
            least, end = least + 1, column + 16
    assert len(sparse.starts) == least


def test_columns_that_no_weight_reads_are_not_touched():
    x, weight, bias = make(70, 64, 5)
    weight[:, 16:48] = 0
    clean = sparse_linear(x, SparseWeight.from_dense(weight), bias)
    x[:, 16:48] = torch.nan
    assert sparse_linear(x, SparseWeight.from_dense(weight), bias).equal(clean)
    assert len(SparseWeight.from_dense(weight).starts) == 2


def test_outputs_without_weights_are_their_bias():
    x, weight, bias = make(70, 30, 20)
    weight[3:19] = 0
    out = sparse_linear(x, SparseWeight.from_dense(weight), bias)
    assert out[:, 3:19].equal(bias[3:19].expand(70, -1))


def test_any_number_of_threads_gives_the_same_bits():
    x, weight, bias = make(3001, 120, 40, dtype=torch.float32)
    sparse, before = SparseWeight.from_dense(weight), torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(sparse_linear(x, sparse, bias))
    finally:
        torch.set_num_threads(before)
    assert found[0].equal(found[1])
    assert found[0].equal(found[2])


def test_a_row_does_not_depend_on_its_place():
    x, weight, bias = make(203, 50, 21, dtype=torch.float32)
    sparse = SparseWeight.from_dense(weight)
    out = sparse_linear(x, sparse, bias)
    assert sparse_linear(x[37:], sparse, bias).equal(out[37:])
    assert sparse_linear(x[5:6], sparse, bias).equal(out[5:6])


def test_views_and_more_dimensions():
    x, weight, bias = make(60, 24, 9)
    sparse = SparseWeight.from_dense(weight)
    out = sparse_linear(x, sparse, bias)
    wide = torch.randn(60, 31, dtype=x.dtype)
    wide[:, 3:27] = x
    assert sparse_linear(wide[:, 3:27], sparse, bias).equal(out)
    assert sparse_linear(x.t().contiguous().t(), sparse, bias).equal(out)
    assert sparse_linear(x.view(3, 20, 24), sparse, bias).equal(out.view(3, 20, 9))
    assert sparse_linear(x[0], sparse, bias).equal(out[0])
    same = x[:1].expand(60, -1)
    assert sparse_linear(same, sparse, bias).equal(out[:1].expand(60, -1))


def test_dense_and_back():
    _, weight, _ = make(1, 30, 12)
    assert SparseWeight.from_dense(weight).to_dense().equal(weight)
    csr = weight.to_sparse_csr()
    parts = csr.crow_indices(), csr.col_indices(), csr.values()
    assert SparseWeight.from_csr(*parts, 30).to_dense().equal(weight)


def test_a_gradient_goes_through_the_dense_weight():
    x, weight, bias = make(9, 12, 4)
    x.requires_grad_()
    sparse = SparseWeight.from_dense(weight)
    assert torch.autograd.gradcheck(lambda x: sparse_linear(x, sparse, bias), x)
    with torch.no_grad():
        assert not sparse_linear(x, sparse, bias).requires_grad


def test_other_dtypes_run_in_plain_torch():
    x, weight, bias = make(9, 12, 4)
    half = SparseWeight.from_dense(weight.bfloat16())
    out = sparse_linear(x.bfloat16(), half, bias.bfloat16())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.double(), x @ weight.t() + bias, rtol=0.1, atol=0.1)


def test_features_in_a_sparse_tensor_too():
    x, weight, _ = make(9, 12, 4)
    sparse = SparseWeight.from_dense(weight)
    torch.testing.assert_close(sparse_linear(x.to_sparse_csr(), sparse), x @ weight.t())


def test_compiles_whole():
    x, weight, bias = make(40, 20, 6)
    sparse = SparseWeight.from_dense(weight)
    compiled = torch.compile(
        lambda x: sparse_linear(x, sparse, bias).relu(),
        backend="aot_eager",
        fullgraph=True,
        dynamic=True,
    )
    for rows in (40, 17):
        expected = sparse_linear(x[:rows], sparse, bias).relu()
        assert compiled(x[:rows]).equal(expected)


def test_refuses_another_number_of_columns():
    _, weight, _ = make(1, 20, 6)
    sparse = SparseWeight.from_dense(weight)
    with pytest.raises(ValueError, match=r"'x' must have 20 columns \(got \[3, 19\]\)"):
        sparse_linear(torch.ones(3, 19), sparse)

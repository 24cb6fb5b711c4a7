"""Normalised weights against the dense matrix, in value and derivative."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from gsparse.kernels import Graph
from gsparse.kernels.csr_pattern import walks
from gsparse.kernels.normalise_op import (
    _normalise,
    normalised_reference,
    normalised_values,
)

EDGES = torch.tensor([[0, 1, 2, 2, 3, 0, 4, 4], [1, 0, 0, 1, 2, 3, 2, 4]])


def weights(dtype=torch.float64):
    """Node 5 has no edge; of node 3 all weights are 0."""
    graph = Graph.from_edge_index(EDGES, 6)
    values = torch.tensor([0.5, 2.0, 1.0, 0.3, 0.0, 0.7, 1.5, 0.2], dtype=dtype)
    values[EDGES[1] == 3] = 0
    return graph, values[graph.edge_id.long()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_values_are_those_of_the_dense_matrix(dtype):
    graph, values = weights(dtype)
    source, target = graph.edge_index
    dense = torch.zeros(6, 6, dtype=dtype).index_put((target, source), values)
    degree = dense.sum(1)
    root = torch.where(degree > 0, degree.rsqrt(), 0)
    expected = (root.unsqueeze(1) * dense * root)[target, source]
    found = normalised_values(graph, values)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected)
    assert (found[target == 3] == 0).all()


def test_derivatives_and_second_ones():
    graph, values = weights()
    values = (values + 0.1).requires_grad_()
    assert gradcheck(lambda v: normalised_values(graph, v), values)
    assert gradgradcheck(lambda v: normalised_values(graph, v), values)


def test_the_derivative_is_that_of_the_reference():
    graph, values = weights()
    factor, found = torch.linspace(-1, 2, 8, dtype=torch.float64), []
    for function in (normalised_values, normalised_reference):
        given = values.clone().requires_grad_()
        (function(graph, given) * factor).sum().backward()
        found.append(given.grad)
    torch.testing.assert_close(*found)


def test_result_does_not_depend_on_threads():
    generator = torch.Generator().manual_seed(21)
    edges = torch.randint(4_000, (2, 300_000), generator=generator)
    graph = Graph.from_edge_index(edges, 4_000)
    values = torch.rand(300_000, generator=generator)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            given = values.clone().requires_grad_()
            out = normalised_values(graph, given)
            out.square().sum().backward()
            found.append((out, given.grad))
    finally:
        torch.set_num_threads(before)
    assert all(a.equal(b) for a, b in zip(*found, strict=True))


def test_op_keeps_torchs_rules_and_compiles():
    graph, values = weights(torch.float32)
    values = values.requires_grad_()
    torch.library.opcheck(_normalise.op, (values, *walks(graph)))
    compiled = torch.compile(normalised_values, backend="aot_eager", dynamic=True)
    out, expected = compiled(graph, values), normalised_values(graph, values)
    torch.testing.assert_close(out, expected)
    grads = [
        torch.autograd.grad(it.square().sum(), values)[0] for it in (out, expected)
    ]
    torch.testing.assert_close(*grads)

"""The Triton kernels by Triton's interpreter, in a process of its own."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from gsparse.kernels import Graph, gat_attention_reference
from gsparse.kernels.attention import gat_op
from gsparse.kernels.attention.operators import structure

CHILD = "import sys; sys.path.insert(0, sys.argv[1]); import {0}; {0}.compare()"


@pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
def test_interpreted_kernels_equal_the_cpu_ops():
    here = os.path.dirname(__file__)
    child = subprocess.run(
        [sys.executable, "-c", CHILD.format("test_attention_triton"), here],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr


def compare():
    """Both bodies of the ops on the same CPU tensors; runs in the child."""
    from gsparse.kernels.attention import gat_triton

    generator = torch.Generator().manual_seed(80471)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    for dropout, weighted, scored in [(0.0, False, False), (0.4, True, True)]:
        edge_index = torch.randint(9, (2, 60), generator=generator)
        graph = Graph.from_edge_index(edge_index, 11, "keep")
        x, empty = draw(11, 2, 5), torch.empty(0)
        alphas = (empty, empty) if scored else (draw(11, 2), draw(11, 2))
        att, bias = (draw(2, 2, 5), draw(10)) if scored else (empty, empty)
        weight = draw(60).relu() if weighted else empty
        seed = torch.tensor(5471)
        inputs = (structure(graph), *alphas, x, weight, att, bias, seed)
        ours = gat_op.gat_forward(*inputs, 0.2, dropout, True)
        theirs = gat_triton.gat_forward_cuda(*inputs, 0.2, dropout, True)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(b.view_as(a), a, rtol=1e-4, atol=1e-5)
        grad = draw(11, 2, 5)
        last = (0.2, dropout, weighted)
        expected = gat_op.gat_backward(*inputs, ours, grad, *last)
        found = gat_triton.gat_backward_cuda(*inputs, ours, grad, *last)
        for a, b in zip(expected, found, strict=True):
            torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-4)
        if not scored:
            reference = gat_attention_reference(graph, *alphas, x)
            torch.testing.assert_close(theirs[0], reference, rtol=1e-4, atol=1e-5)

"""Kernels work where torch and llvmlite lack the private interfaces they use."""

import ctypes
import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import llvmlite
import numpy as np
import pytest
import torch

from gsparse.kernels import (
    Graph,
    gat_attention,
    gat_attention_reference,
    team,
    threads,
    tracing,
)
from gsparse.kernels.gates import draw_gates
from gsparse.kernels.spmm_op import spmm_reference, spmm_values
from gsparse.kernels.threads import jit, run_blocks, take_block

EDGES = torch.tensor([[0, 1, 2, 3, 0, 2], [1, 2, 3, 0, 2, 2]])
GRAPH = Graph.from_edge_index(EDGES, 4)

OPAQUE_POINTERS = """
import torch
from llvmlite import ir
from gsparse.kernels import Graph, gat_attention, gat_attention_reference
from gsparse.kernels import gatv2_attention, gatv2_attention_reference
from gsparse.kernels.attention import operators
from gsparse.kernels.gates import draw_gates
from gsparse.kernels.spmm_op import spmm_reference, spmm_values
from gsparse.nn.steered_gate import HIGH, LOW, MOST_SURE, SteeredGate

assert str(ir.PointerType(ir.IntType(8))) == "ptr"
operators.SPECIALISE_WORK = 0  # vector instructions also for this small graph
generator = torch.Generator().manual_seed(41903)
graph = Graph.from_edge_index(torch.randint(20, (2, 90), generator=generator), 20)
numbers = lambda *shape: torch.randn(*shape, generator=generator).requires_grad_()
score, other, att = numbers(20, 2), numbers(20, 2), numbers(2, 5)
x, x_dst = numbers(20, 2, 5), numbers(20, 2, 5)
values, dense = numbers(90), numbers(20, 11)
for ours, theirs, inputs in (
    (gat_attention, gat_attention_reference, (graph, score, other, x)),
    (gatv2_attention, gatv2_attention_reference, (graph, x, x_dst, att)),
    (spmm_values, spmm_reference, (graph, values, dense)),
):
    out, expected = ours(*inputs), theirs(*inputs)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    grads = (torch.autograd.grad((o * o).sum(), inputs[1:]) for o in (out, expected))
    torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-4)
gates = torch.randn(50, 2, generator=generator)
_, opened = draw_gates(gates, torch.rand(50, generator=generator), LOW, HIGH, MOST_SURE)
expected = SteeredGate(gates, fused=False).variable.expected_l0
torch.testing.assert_close(opened, expected, rtol=2e-5, atol=2e-6)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(llvmlite, "ir_layer_typed_pointers_enabled"),
    reason="this llvmlite cannot switch its typed pointers off",
)
def test_kernels_compile_without_typed_pointers(tmp_path):
    """In a fresh process without cached kernels, so that everything is compiled."""
    environment = {
        **os.environ,
        "LLVMLITE_ENABLE_IR_LAYER_TYPED_POINTERS": "0",
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    command = [sys.executable, "-c", OPAQUE_POINTERS]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@jit()
def _mark(counter, visits):
    block = take_block(counter)
    while block < visits.shape[0]:
        visits[block] += 1
        block = take_block(counter)


def _no_library(path):
    raise OSError(path)


def _start_that_does_nothing(part, data, num_threads, flags):
    pass


LIBRARIES = {
    "no library": _no_library,
    "no symbol": lambda path: SimpleNamespace(),
    "no effect": lambda path: SimpleNamespace(GOMP_parallel=_start_that_does_nothing),
}


@pytest.mark.skipif(platform.system() != "Linux", reason="the team is that of Linux")
@pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)
def test_blocks_run_on_threads_of_our_own_without_a_team(library, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(ctypes, "CDLL", library)
    team._team.cache_clear()
    try:
        visits = np.zeros(64, np.int64)
        assert not team.run_on_team(lambda: None, 2)
        run_blocks(_mark, threads.MIN_WORK, visits)
    finally:
        team._team.cache_clear()
    assert (visits == 1).all()


CORES = {
    "absent": SimpleNamespace(),
    "changed": SimpleNamespace(
        **{
            name: lambda argument: None
            for name in (
                "_are_functorch_transforms_active",
                "_len_torch_function_stack",
                "_len_torch_dispatch_stack",
                "_get_dispatch_mode",
            )
        }
    ),
    "other answers": SimpleNamespace(
        _are_functorch_transforms_active=lambda: None,
        _len_torch_function_stack=lambda: (),
        _len_torch_dispatch_stack=lambda: (),
        _get_dispatch_mode=lambda key: None,
        _TorchDispatchModeKey=SimpleNamespace(PROXY=0),
        _functorch=SimpleNamespace(get_interpreter_stack=list, TransformType=0),
    ),
}


def test_this_torch_has_the_predicates():
    assert tracing.has_predicates()


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_missing_predicates_are_noticed(core):
    assert not tracing.has_predicates(core)


@pytest.fixture
def without_predicates(monkeypatch):
    monkeypatch.setattr(tracing, "HAS_PREDICATES", False)
    monkeypatch.setattr(tracing, "_CORE", SimpleNamespace())


def test_kernels_run_as_operators_without_the_predicates(without_predicates):
    assert tracing.is_recorded()
    assert tracing.is_transformed() is tracing.is_beyond_grad() is None
    generator = torch.Generator().manual_seed(50221)
    values = torch.randn(6, generator=generator, dtype=torch.double).requires_grad_()
    dense = torch.randn(4, 3, generator=generator, dtype=torch.double).requires_grad_()
    product = lambda *factors: spmm_values(GRAPH, *factors)  # noqa: E731
    expected = spmm_reference(GRAPH, values, dense)
    torch.testing.assert_close(product(values, dense), expected, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradgradcheck(product, (values, dense))
    alpha, x = torch.randn(4, 2, generator=generator), torch.randn(4, 2, 3)
    torch.testing.assert_close(
        gat_attention(GRAPH, alpha, alpha, x),
        gat_attention_reference(GRAPH, alpha, alpha, x),
    )
    scores = torch.randn(5, 2, generator=generator).requires_grad_()
    drawn, opened = draw_gates(scores, torch.rand(5), -0.1, 1.1, 10.0)
    (drawn + opened).sum().backward()
    assert torch.isfinite(scores.grad).all()


def test_transforms_are_refused_without_the_predicates(without_predicates):
    values = torch.ones(3, 6)
    with pytest.raises(RuntimeError, match="Batching rule not implemented"):
        torch.vmap(lambda v: spmm_values(GRAPH, v, torch.ones(4, 2)))(values)

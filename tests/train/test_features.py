"""Sparse features against the dense matrix."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from torch.nn import functional
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv, SAGEConv

from gsparse.data import random_graph
from gsparse.train import SparseFeatures, sparse_features


@pytest.fixture
def dense():
    generator = torch.Generator().manual_seed(27191)
    x = torch.rand(40, 30, generator=generator)
    return x * (torch.rand(40, 30, generator=generator) < 0.1)


@pytest.fixture
def x(dense):
    return sparse_features(dense)


@pytest.mark.parametrize(
    "product",
    [
        lambda x, w: functional.linear(x, w),
        lambda x, w: functional.linear(input=x, weight=w),
        lambda x, w: functional.linear(x, w, torch.arange(5.0)),
        lambda x, w: x @ w.t(),
        lambda x, w: x.matmul(w.t()),
        lambda x, w: torch.mm(x, w.t()),
        lambda x, w: x @ w[0],
        lambda x, w: w @ x.t(),
    ],
)
def test_products_and_their_gradients(x, dense, product):
    weight = torch.randn(5, 30, requires_grad=True)
    out, expected = product(x, weight), product(dense, weight)
    assert type(out) is torch.Tensor
    torch.testing.assert_close(out, expected)
    grads = [torch.autograd.grad(o.square().sum(), weight)[0] for o in (out, expected)]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("drop", [functional.dropout, torch.nn.Dropout(0.4)])
def test_dropout_drops_stored_values_only(x, dense, drop):
    torch.manual_seed(88069)
    out = drop(x, 0.4) if drop is functional.dropout else drop(x)
    assert isinstance(out, SparseFeatures)
    dropped = out.to_dense()
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], dense[kept] / 0.6)
    assert 0 < kept.sum() < (dense != 0).sum()


def test_gradient_sees_the_same_mask(x):
    """The derivative by the weight is the dropped matrix, transposed."""
    dropped = functional.dropout(x, 0.5)
    weight = torch.zeros(1, 30, requires_grad=True)
    grad = torch.randn(40, 1)
    functional.linear(dropped, weight).backward(grad)
    torch.testing.assert_close(weight.grad, grad.t() @ dropped.to_dense())


def test_no_dropout_in_evaluation(x):
    assert functional.dropout(x, 0.5, training=False) is x
    with pytest.raises(ValueError, match=r"'p' must be in \[0, 1\] \(got 2\)"):
        functional.dropout(x, 2)


@pytest.mark.parametrize("conv", [GCNConv, SAGEConv, GATConv])
def test_pyg_layers_take_it_unedited(x, dense, conv):
    data = random_graph(num_nodes=40, p=0.1, seed=31973)
    layer = conv(30, 6)
    expected = layer(dense, data.edge_index)
    torch.testing.assert_close(layer(x, data.edge_index), expected)


def test_looks_like_the_dense_matrix(x, dense):
    assert x.shape == dense.shape
    assert (x.size(1), x.dim(), len(x)) == (30, 2, 40)
    assert (x.dtype, x.device) == (dense.dtype, dense.device)
    assert Data(x=x).num_nodes == 40
    assert repr(x) == f"SparseFeatures(size=(40, 30), stored={int((dense != 0).sum())})"
    assert x.to_dense().equal(dense)
    assert x.to_csr().layout == torch.sparse_csr


@pytest.mark.parametrize(
    "function",
    [
        torch.sum,
        lambda x: x.mean(0),
        lambda x: x + 1,
        lambda x: torch.cat([x, x]),
        lambda x: x[3:7],
        lambda x: functional.normalize(x),
    ],
)
def test_everything_else_sees_the_dense_matrix(x, dense, function):
    out = function(x)
    assert type(out) is torch.Tensor
    torch.testing.assert_close(out, function(dense))


@pytest.mark.parametrize(
    "duplicate",
    [
        torch.clone,
        torch.Tensor.detach,
        copy.deepcopy,
        lambda x: pickle.loads(pickle.dumps(x)),
        lambda x: Data(x=x).clone().x,
        lambda x: Data(x=x).to("cpu").x,
        lambda x: x.double().float(),
    ],
)
def test_copies_stay_sparse(x, dense, duplicate):
    twin = duplicate(x)
    assert isinstance(twin, SparseFeatures)
    assert twin.to_dense().equal(dense)


def test_features_take_no_gradient(x):
    for ask in (x.requires_grad_, lambda: setattr(x, "requires_grad", True)):
        with pytest.raises(RuntimeError, match=r"get no gradient; use x.to_dense\(\)"):
            ask()


@pytest.mark.parametrize("layout", [torch.Tensor.to_sparse_csr, torch.Tensor.clone])
def test_conversion_depends_on_the_share(dense, layout):
    share = int((dense != 0).sum()) / dense.numel()
    assert isinstance(sparse_features(layout(dense), share + 0.001), SparseFeatures)
    kept = sparse_features(layout(dense), share)
    assert type(kept) is torch.Tensor
    assert kept.equal(dense)


def test_conversion_in_inference_mode_serves_training(dense):
    with torch.inference_mode():
        x = sparse_features(dense)
    weight = torch.randn(5, 30, requires_grad=True)
    functional.linear(x, weight).sum().backward()
    torch.testing.assert_close(weight.grad, dense.sum(0).expand(5, 30))


def test_conversion_is_done_once(dense, x):
    assert sparse_features(x) is x
    full = torch.ones(3, 2)
    assert sparse_features(full) is full


@pytest.mark.parametrize("bad", [torch.ones(3), torch.ones(3, 2, dtype=torch.long)])
def test_what_is_no_feature_matrix(bad):
    with pytest.raises(ValueError, match=r"'x' must be a floating-point matrix \[N, F"):
        sparse_features(bad)


def test_refuses_a_whole_graph(dense):
    with pytest.raises(TypeError, match=r"such as data\.x \(got Data\)"):
        sparse_features(Data(x=dense))


def test_the_matrix_is_that_of_torch(dense):
    dense[0], dense[-1] = 0.0, 0.0
    ours, csr = sparse_features(dense).to_csr(), dense.to_sparse_csr()
    assert torch.equal(ours.crow_indices().long(), csr.crow_indices())
    assert torch.equal(ours.col_indices().long(), csr.col_indices())
    assert torch.equal(ours.values(), csr.values())


def test_a_user_sees_no_warning():
    code = (
        "import torch; from gsparse.train import sparse_features; "
        "print(sparse_features(torch.eye(8)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error:Sparse CSR", "-c", code],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "SparseFeatures(size=(8, 8), stored=8)\n", done.stderr

"""Learned masks under autocast: equal masks, and training works."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch_geometric.nn.models import GAT, GCN, GraphSAGE

from gsparse.data import random_graph
from gsparse.nn import (
    DropEdge,
    FastGAT,
    FeatureMask,
    KEdge,
    NeuralSparse,
    PTDNet,
    SparseGAT,
)

DATA = random_graph(num_nodes=30, p=0.2, seed=60317)
LABELS = torch.arange(30) % 3
MODELS = {
    "GCN": lambda: GCN(8, 6, 2, 3),
    "GAT": lambda: GAT(8, 6, 2, 3, heads=2),
    "SAGE": lambda: GraphSAGE(8, 6, 2, 3),
}
MASKS = {
    "KEdge": (lambda m: KEdge(m, 8, 0.5, seed=7), "GCN", torch.bfloat16),
    "KEdge, layers": (
        lambda m: KEdge(m, 8, 0.5, scope="layer", seed=7),
        "SAGE",
        torch.float16,
    ),
    "PTDNet": (lambda m: PTDNet(m, 8, 0.5, seed=7), "GAT", torch.float16),
    "PTDNet, shared": (
        lambda m: PTDNet(m, 8, 0.5, scope="shared", seed=7),
        "SAGE",
        torch.bfloat16,
    ),
    "NeuralSparse": (lambda m: NeuralSparse(m, 8, 0.5, seed=7), "SAGE", torch.bfloat16),
    "SparseGAT": (lambda m: SparseGAT(m, 8, 0.5, seed=7), "GAT", torch.bfloat16),
    "DropEdge": (DropEdge, "GCN", torch.float16),
    "FeatureMask": (lambda m: FeatureMask(m, 8, 0.5, seed=7), "GAT", torch.float16),
    "FastGAT": (lambda m: FastGAT(m, 0.5, seed=7), "GAT", torch.bfloat16),
}


@pytest.mark.parametrize("name", MASKS)
def test_output_is_near_and_training_is_finite(name):
    wrap, kind, dtype = MASKS[name]
    torch.manual_seed(41771)
    model = wrap(MODELS[kind]())
    full = model.eval()(DATA.x, DATA.edge_index)
    with torch.autocast("cpu", dtype):
        low = model(DATA.x, DATA.edge_index)
    # Four layers of roundings to 8 bits at most.
    assert (low - full).abs().max() < 2**-5 * full.abs().max()
    optimizer = torch.optim.Adam(model.train().parameters(), lr=0.01)
    before = [p.detach().clone() for p in model.parameters()]
    for _ in range(3):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype):
            loss = cross_entropy(model(DATA.x, DATA.edge_index).float(), LABELS)
            loss = loss + (model.penalty() if hasattr(model, "penalty") else 0)
        loss.backward()
        optimizer.step()
    for parameter, old in zip(model.parameters(), before, strict=True):
        assert parameter.isfinite().all()
        assert parameter.grad is None or not parameter.equal(old)


@pytest.mark.parametrize("wrap", [KEdge, NeuralSparse, SparseGAT])
def test_the_same_edges_stay_inside_and_outside(wrap):
    """Features with differences that bfloat16 does not see."""
    data = DATA.clone()
    data.x = 1 + DATA.x / 1000
    torch.manual_seed(41771)
    model = wrap(MODELS["GCN"](), 8, sparsity=0.5, seed=7)
    with torch.autocast("cpu", torch.bfloat16):
        inside = model.sparsify(data)
    assert inside.edge_index.equal(model.sparsify(data).edge_index)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_models_of_other_precisions(dtype):
    model = PTDNet(MODELS["GCN"](), 8, 0.5, seed=7).to(dtype)
    out = model(DATA.x.to(dtype), DATA.edge_index)
    assert out.dtype == dtype
    (out.float().square().mean() + model.penalty()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())

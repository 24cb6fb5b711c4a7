"""Masked weights in every layer, after copies, in files and in wrappers."""

import copy
import io
import multiprocessing
import pickle

import pytest
import torch
from torch import nn
from torch_geometric.nn import (
    GIN,
    GATConv,
    GATv2Conv,
    GCN2Conv,
    GCNConv,
    GINConv,
    GraphConv,
    HeteroLinear,
    Linear,
    SAGEConv,
    SGConv,
    TransformerConv,
)
from torch_geometric.nn.models import GAT, GCN

from gsparse.data import random_graph
from gsparse.nn import (
    DropEdge,
    FastGATConv,
    FastGATv2Conv,
    FastGCNConv,
    FastSAGEConv,
    KEdge,
    accelerate,
    edge_weights,
)
from gsparse.prune import Magnitude, Pruner, RandomWeight, WeightMasks

DATA = random_graph(num_nodes=30, p=0.2, seed=60317)
CONVS = {
    "GCNConv": lambda: GCNConv(8, 6),
    "GCN2Conv": lambda: GCN2Conv(8, alpha=0.1),
    "SGConv": lambda: SGConv(8, 6, K=2),
    "SAGEConv": lambda: SAGEConv(8, 6),
    "GraphConv": lambda: GraphConv(8, 6),
    "GINConv": lambda: GINConv(nn.Sequential(nn.Linear(8, 6), nn.ReLU(), Linear(6, 6))),
    "GATConv": lambda: GATConv(8, 3, heads=2),
    "GATv2Conv": lambda: GATv2Conv(8, 3, heads=2),
    "TransformerConv": lambda: TransformerConv(8, 3, heads=2),
    "FastGCNConv": lambda: FastGCNConv(8, 6),
    "FastSAGEConv": lambda: FastSAGEConv(8, 6),
    "FastGATConv": lambda: FastGATConv(8, 3, heads=2),
    "FastGATv2Conv": lambda: FastGATv2Conv(8, 3, heads=2),
}


@pytest.fixture(params=CONVS.values(), ids=CONVS)
def make(request):
    return request.param


def run(conv):
    conv.eval()
    if isinstance(getattr(conv, "_orig_mod", conv), GCN2Conv):
        return conv(DATA.x, DATA.x, DATA.edge_index)
    return conv(DATA.x, DATA.edge_index)


def every_weight(conv):
    """Matrices and attention vectors; only norms and biases are left out."""
    return lambda name, parameter: "bias" not in name


def pruned(make, sparsity=0.5):
    torch.manual_seed(41771)
    conv = make()
    pruner = Pruner(
        conv, RandomWeight(), sparsity=sparsity, targets=every_weight(conv), seed=9
    )
    return conv, pruner


class TestEveryConvolution:
    def test_a_mask_is_a_zero_in_the_weight(self, make):
        conv, pruner = pruned(make)
        torch.manual_seed(41771)
        plain = make()
        for name, keep in ((name, pruner.masks[name]) for name in pruner.masks.targets):
            with torch.no_grad():
                plain.get_parameter(name).mul_(keep)
        assert run(conv).equal(run(plain))
        assert not run(conv).equal(run(make()))

    def test_pruned_weights_have_no_gradient_and_no_others_lose_theirs(self, make):
        conv, pruner = pruned(make)
        run(conv).square().sum().backward()
        reached = 0
        for name, parameter in pruner.masks.parameters().items():
            assert parameter.is_leaf
            assert not parameter.grad[~pruner.masks[name]].any()
            reached += int((parameter.grad != 0).sum())
        assert reached > 0

    def test_strict_checkpoint_into_a_fresh_pruned_layer(self, make):
        conv, _ = pruned(make)
        file = io.BytesIO()
        torch.save(conv.state_dict(), file)
        file.seek(0)
        torch.manual_seed(5)
        other = make()
        Pruner(other, RandomWeight(), sparsity=0.1, targets=every_weight(other), seed=1)
        other.load_state_dict(torch.load(file, weights_only=True), strict=True)
        assert run(other).equal(run(conv))

    def test_copies_and_pickles_keep_masks_of_their_own(self, make):
        conv, pruner = pruned(make)
        out = run(conv)
        twins = [copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))]
        pruner.undo()
        assert not run(conv).equal(out)
        for twin in twins:
            assert run(twin).equal(out)

    def test_undo_gives_back_every_bit(self, make):
        torch.manual_seed(41771)
        plain = make()
        conv, pruner = pruned(make)
        pruner.undo()
        assert type(conv) is type(plain)
        assert conv.state_dict().keys() == plain.state_dict().keys()
        assert run(conv).equal(run(plain))

    def test_permanent_zeros_load_into_a_plain_layer(self, make):
        conv, pruner = pruned(make)
        out = run(conv)
        pruner.make_permanent()
        plain = make()
        assert type(conv) is type(plain)
        plain.load_state_dict(conv.state_dict(), strict=True)
        assert run(plain).equal(out)

    def test_compiles_whole(self, make):
        conv, _ = pruned(make)
        compiled = torch.compile(conv, backend="aot_eager")
        torch.testing.assert_close(run(compiled), run(conv))

    def test_edge_masks_and_weight_masks_together(self, make):
        conv, pruner = pruned(make)
        half = (torch.arange(DATA.num_edges) % 2).float()
        if type(conv).__name__ == "MaskedGraphConv":
            pytest.skip("takes edge weights of its own")
        with edge_weights(conv, DATA.edge_index, half):
            both = run(conv)
        pruner.make_permanent()
        with edge_weights(conv, DATA.edge_index, half):
            torch.testing.assert_close(run(conv), both)


def write_checkpoints(folder):
    """What another process does: every convolution pruned, saved, and run."""
    for name, make in CONVS.items():
        conv, _ = pruned(make)
        torch.save([conv.state_dict(), run(conv).detach()], folder / f"{name}.pt")


def test_checkpoints_of_another_process_load_strictly(tmp_path):
    context = multiprocessing.get_context("spawn")
    other = context.Process(target=write_checkpoints, args=(tmp_path,))
    other.start()
    other.join(timeout=300)
    assert other.exitcode == 0
    for name, make in CONVS.items():
        state, out = torch.load(tmp_path / f"{name}.pt", weights_only=True)
        conv = make()
        Pruner(conv, RandomWeight(), sparsity=0.2, targets=every_weight(conv), seed=3)
        conv.load_state_dict(state, strict=True)
        assert run(conv).equal(out), name


def test_momentum_cannot_revive_a_weight():
    model = GCN(8, 6, 2, out_channels=3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)

    def step():
        optimizer.zero_grad()
        model(DATA.x, DATA.edge_index).square().sum().backward()
        optimizer.step()

    step()
    pruner = Pruner(model, Magnitude(), sparsity=0.7)
    gone = ~pruner.masks["convs.0.lin.weight"]
    for _ in range(3):
        step()
        assert not model.convs[0].lin.weight[gone].any()


def test_a_layer_called_alone_is_masked_too():
    model = GCN(8, 6, 2, out_channels=3)
    pruner = Pruner(model, Magnitude(), sparsity=0.9)
    full = pruner.masks.parameters()["convs.0.lin.weight"]
    hidden = model.convs[0].lin(DATA.x)
    expected = DATA.x @ (full * pruner.masks["convs.0.lin.weight"]).t()
    torch.testing.assert_close(hidden, expected)


def test_other_dtypes_and_autocast():
    model = GCN(8, 6, 2, out_channels=3)
    pruner = Pruner(model, Magnitude(), sparsity=0.6)
    model.double()
    assert pruner.masks["convs.0.lin.weight"].dtype == torch.bool
    assert model(DATA.x.double(), DATA.edge_index).dtype == torch.float64
    model.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(DATA.x, DATA.edge_index).isfinite().all()
    assert int((model.convs[0].lin.weight != 0).sum()) == pruner.report().num_kept


def test_drawing_parameters_anew_reaches_them():
    conv = GCNConv(8, 6)
    pruner = Pruner(conv, RandomWeight(), sparsity=0.5, seed=3)
    before = pruner.masks.parameters()["lin.weight"].clone()
    conv.reset_parameters()
    assert not pruner.masks.parameters()["lin.weight"].equal(before)


def test_fast_twins_and_learned_edge_masks_see_the_masks():
    torch.manual_seed(2)
    model = GAT(8, 6, 2, out_channels=3, heads=2)
    Pruner(model, Magnitude(), sparsity=0.6, targets=[r"att_", r"lin\.weight"])
    out = model.eval()(DATA.x, DATA.edge_index)
    fast = accelerate(copy.deepcopy(model))
    assert isinstance(fast.convs[0], FastGATConv)
    torch.testing.assert_close(fast(DATA.x, DATA.edge_index), out)
    all_edges = KEdge(model, 8, sparsity=0.0, seed=1).eval()
    torch.testing.assert_close(all_edges(DATA.x, DATA.edge_index), out)
    torch.testing.assert_close(DropEdge(model).eval()(DATA.x, DATA.edge_index), out)


def test_a_heterogeneous_linear_layer():
    layer = HeteroLinear(8, 4, num_types=3)
    kind = torch.arange(30) % 3
    Pruner(layer, RandomWeight(), sparsity=0.5, seed=4)
    out = layer(DATA.x, kind)
    for i in range(3):
        expected = DATA.x[kind == i] @ layer.weight[i] + layer.bias[i]
        torch.testing.assert_close(out[kind == i], expected)


def test_nan_behind_a_mask_is_a_zero():
    layer = nn.Linear(2, 1, bias=False)
    masks = WeightMasks(layer)
    masks["weight"] = torch.tensor([[True, False]])
    with torch.no_grad():
        masks.parameters()["weight"][0, 1] = torch.nan
    assert layer(torch.ones(1, 2)).isfinite().all()


def test_distributed_data_parallel(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1
    )
    try:
        model = GIN(8, 6, 2, out_channels=3)
        Pruner(model, Magnitude(), sparsity=0.6)
        parallel = nn.parallel.DistributedDataParallel(model)
        out = parallel(DATA.x, DATA.edge_index)
        out.sum().backward()
        assert out.equal(model(DATA.x, DATA.edge_index))
        assert parallel.state_dict().keys() >= {
            "module.convs.0.nn.lins.0.weight_masks.weight.keep"
        }
    finally:
        torch.distributed.destroy_process_group()


def test_one_pruner_at_a_time():
    model = GCN(8, 6, 2, out_channels=3)
    pruner = Pruner(model, Magnitude(), sparsity=0.5)
    with pytest.raises(
        ValueError, match=r"convs\.0\.lin\.weight: .* has a mask already"
    ):
        Pruner(model, Magnitude(), sparsity=0.5)
    pruner.undo()
    Pruner(model, Magnitude(), sparsity=0.5)

"""A pruned model with sparse layers computes what the masked model computes."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch_geometric.nn import (
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
from torch_geometric.nn.models import GAT, GCN, GIN

from gsparse.data import random_graph
from gsparse.nn import (
    FastGATConv,
    FastGATv2Conv,
    FastGCNConv,
    FastSAGEConv,
    edge_weights,
)
from gsparse.nn.sparse_linear import SparseLinear, to_sparse
from gsparse.prune import Pruner, RandomWeight, WeightMasks
from gsparse.train import sparse_features

DATA = random_graph(num_nodes=150, p=0.05, seed=60317)
FEATURES = torch.randn(150, 40, generator=torch.Generator().manual_seed(30817))
CONVS = {
    "GCNConv": lambda: GCNConv(40, 18),
    "SGConv": lambda: SGConv(40, 18, K=2),
    "SAGEConv": lambda: SAGEConv(40, 18),
    "SAGEConv project": lambda: SAGEConv(40, 18, project=True),
    "GraphConv": lambda: GraphConv(40, 18),
    "GINConv": lambda: GINConv(
        nn.Sequential(nn.Linear(40, 18), nn.ReLU(), Linear(18, 18))
    ),
    "GATConv": lambda: GATConv(40, 9, heads=2),
    "GATConv residual": lambda: GATConv(40, 9, heads=2, residual=True),
    "GATv2Conv": lambda: GATv2Conv(40, 9, heads=2),
    "TransformerConv": lambda: TransformerConv(40, 9, heads=2),
    "FastGCNConv": lambda: FastGCNConv(40, 18),
    "FastSAGEConv": lambda: FastSAGEConv(40, 18),
    "FastSAGEConv max": lambda: FastSAGEConv(40, 18, aggr="max"),
    "FastGATConv": lambda: FastGATConv(40, 9, heads=2),
    "FastGATv2Conv": lambda: FastGATv2Conv(40, 9, heads=2),
}


def is_matrix(name, parameter):
    return parameter.dim() == 2


@pytest.fixture(params=CONVS.values(), ids=CONVS)
def conv(request):
    torch.manual_seed(41771)
    layer = request.param().eval()
    Pruner(
        layer,
        RandomWeight(),
        sparsity=0.9,
        scope="local",
        targets=is_matrix,
        seed=90533,
    )
    with torch.no_grad():  # a bias that is zero could be lost unseen
        for name, parameter in layer.named_parameters():
            if "bias" in name:
                parameter.normal_()
    return layer


def sparse_layers(model):
    return [m for m in model.modules() if isinstance(m, SparseLinear)]


def close(first, second):
    torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-6)


class TestEveryConvolution:
    def test_the_same_output(self, conv):
        sparse = to_sparse(conv, 0.85)
        linear = [m for m in conv.modules() if isinstance(m, nn.Linear | Linear)]
        assert len(sparse_layers(sparse)) == len(linear) > 0
        with torch.no_grad():
            close(sparse(FEATURES, DATA.edge_index), conv(FEATURES, DATA.edge_index))

    def test_the_same_on_sparse_features(self, conv):
        x = FEATURES * (torch.arange(40) % 7 == 0)
        stored = sparse_features(x)
        assert type(stored) is not torch.Tensor
        sparse = to_sparse(conv, 0.85)
        with torch.no_grad():
            close(sparse(stored, DATA.edge_index), conv(x, DATA.edge_index))

    def test_the_same_under_an_edge_mask(self, conv):
        if isinstance(conv, GraphConv) or getattr(conv, "aggr", None) == "max":
            pytest.skip("takes edge weights of its own, or none")
        half = (torch.arange(DATA.num_edges) % 2).float()
        sparse = to_sparse(conv, 0.85)
        with torch.no_grad(), edge_weights(conv, DATA.edge_index, half):
            expected = conv(FEATURES, DATA.edge_index)
        with torch.no_grad(), edge_weights(sparse, DATA.edge_index, half):
            close(sparse(FEATURES, DATA.edge_index), expected)

    def test_the_model_stays_as_it_was(self, conv):
        before = {name: value.clone() for name, value in conv.state_dict().items()}
        kind = type(conv)
        to_sparse(conv, 0.85)
        assert type(conv) is kind
        assert before.keys() == conv.state_dict().keys()
        for name, value in conv.state_dict().items():
            assert value.equal(before[name])
        assert all(parameter.requires_grad for parameter in conv.parameters())


def pruned(sparsity=0.95, kind=GCN, **options):
    torch.manual_seed(11593)
    model = kind(40, 24, 3, out_channels=5, **options).eval()
    return model, Pruner(
        model, RandomWeight(), sparsity=sparsity, scope="local", seed=70687
    )


@pytest.mark.parametrize("kind", [GCN, GAT, GIN])
def test_whole_models(kind):
    model, _ = pruned(kind=kind)
    sparse = to_sparse(model)
    assert sparse_layers(sparse)
    close(sparse(FEATURES, DATA.edge_index), model(FEATURES, DATA.edge_index))


def test_masks_and_permanent_zeros_give_the_same():
    model, pruner = pruned()
    from_masks = to_sparse(model)
    pruner.make_permanent()
    permanent = to_sparse(model)
    assert from_masks.state_dict().keys() == permanent.state_dict().keys()
    for name, value in from_masks.state_dict().items():
        assert value.equal(permanent.state_dict()[name])


def test_only_layers_with_enough_zeros_are_replaced():
    model, pruner = pruned()
    pruner.masks["convs.1.lin.weight"] = torch.rand(24, 24) < 0.5
    sparse = to_sparse(model, 0.9)
    kinds = [type(conv.lin) for conv in sparse.convs]
    assert kinds == [SparseLinear, Linear, Linear]  # the head was not pruned
    kept = pruner.masks["convs.1.lin.weight"]
    assert not sparse.convs[1].lin.weight[~kept].any()
    assert not any("weight_masks" in name for name in sparse.state_dict())
    close(sparse(FEATURES, DATA.edge_index), model(FEATURES, DATA.edge_index))


def test_the_layer_stores_the_non_zeros():
    model, pruner = pruned(0.98)
    layer = to_sparse(model).convs[0].lin
    keep = pruner.masks["convs.0.lin.weight"]
    assert layer.values.numel() == int(keep.sum()) == 19
    assert layer.weight.equal(model.convs[0].lin.weight)
    assert repr(layer) == "SparseLinear(40, 24, bias=False, nnz=19, sparsity=98.02%)"
    assert layer.sparsity == 1 - 19 / 960


@pytest.mark.parametrize("sparsity", [0.7, 0.9, 0.95, 0.99])
def test_what_a_pruner_reaches_is_enough(sparsity):
    sparse = to_sparse(pruned(sparsity)[0], sparsity)  # 24 * 24 weights: it rounds
    assert len(sparse_layers(sparse)) == 2


def test_checkpoints_and_copies():
    model, _ = pruned()
    sparse = to_sparse(model)
    out = sparse(FEATURES, DATA.edge_index)
    file = io.BytesIO()
    torch.save(sparse.state_dict(), file)
    file.seek(0)
    other = to_sparse(pruned(0.8)[0], 0.8)  # other weights, and more of them
    assert not other(FEATURES, DATA.edge_index).equal(out)
    other.load_state_dict(torch.load(file, weights_only=True), strict=True)
    twins = [other, copy.deepcopy(sparse), pickle.loads(pickle.dumps(sparse))]
    for twin in twins:
        assert twin(FEATURES, DATA.edge_index).equal(out)
    names = {name.split(".")[-1] for name in sparse.state_dict()}
    assert names == {"indptr", "indices", "values", "bias", "weight"}


def test_a_checkpoint_that_is_no_matrix_is_refused():
    layer = SparseLinear(nn.Linear(6, 4))
    state = layer.state_dict()
    with pytest.raises(ValueError, match=r"'indices' must be in \[0, 6\)"):
        layer.load_state_dict(state | {"indices": state["indices"] + 3})
    fresh = SparseLinear(nn.Linear(6, 4))
    with pytest.raises(ValueError, match=r"'values' must have shape \[24\]"):
        fresh.load_state_dict(state | {"values": state["values"][1:]})
    with pytest.raises(RuntimeError, match="size mismatch for indptr"):
        SparseLinear(nn.Linear(6, 5)).load_state_dict(state)


def test_other_dtypes():
    model, _ = pruned()
    twice = to_sparse(model).double()
    assert twice.convs[0].lin.values.dtype == torch.float64
    expected = model.double()(FEATURES.double(), DATA.edge_index)
    close(twice(FEATURES.double(), DATA.edge_index), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = to_sparse(model.float())(FEATURES, DATA.edge_index)
    torch.testing.assert_close(out.double(), expected, rtol=0.1, atol=0.1)


def test_compiles_whole():
    model, _ = pruned()
    sparse = to_sparse(model)
    compiled = torch.compile(sparse, backend="aot_eager")
    close(compiled(FEATURES, DATA.edge_index), sparse(FEATURES, DATA.edge_index))


def test_a_gradient_by_the_features_and_none_by_the_weights():
    model, _ = pruned()
    sparse, x = to_sparse(model), FEATURES.clone().requires_grad_()
    assert not any(parameter.requires_grad for parameter in sparse.parameters())
    found, expected = (
        torch.autograd.grad(m(x, DATA.edge_index).square().sum(), x)[0]
        for m in (sparse, model)
    )
    torch.testing.assert_close(found, expected)
    out = sparse(FEATURES, DATA.edge_index)
    with pytest.raises(RuntimeError, match="does not require grad"):
        out.sum().backward()


def test_a_shared_layer_stays_shared():
    layer = nn.Linear(40, 40)
    WeightMasks(layer)["weight"] = torch.eye(40, dtype=torch.bool)
    sparse = to_sparse(nn.Sequential(layer, nn.ReLU(), layer))
    assert isinstance(sparse[0], SparseLinear)
    assert sparse[0] is sparse[2]


def test_a_model_that_is_one_layer():
    layer = nn.Linear(40, 4)
    with torch.no_grad():
        layer.weight.zero_()
    sparse = to_sparse(layer, 1.0)
    assert sparse(FEATURES).equal(layer.bias.expand(150, 4))


def test_what_it_leaves_dense():
    hooked = nn.Linear(40, 18)
    hooked.register_forward_hook(lambda module, args, out: -out)
    hetero, wide = HeteroLinear(40, 18, num_types=2), GCN2Conv(40, 0.1)
    model = nn.ModuleList([nn.Linear(40, 18), hooked, hetero, wide])
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    sparse = to_sparse(model)
    kinds = [type(layer) for layer in sparse]
    assert kinds == [SparseLinear, nn.Linear, HeteroLinear, GCN2Conv]


def test_refusals():
    model, pruner = pruned(0.5)
    found = r"convs\.0\.lin: 50\.0%, convs\.1\.lin: 50\.0%, convs\.2\.lin: 0\.0%"
    with pytest.raises(
        ValueError,
        match=rf"a linear layer of GCN must have at least 90\.0% zeros \(got {found}",
    ):
        to_sparse(model)
    with pytest.raises(ValueError, match="no such layer"):
        to_sparse(GCN2Conv(40, 0.1))
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"'min_sparsity' must be in \[0, 1\]"):
            to_sparse(model, wrong)
    with pytest.raises(TypeError, match=r"'layer' must be a linear layer \(got GCN\)"):
        SparseLinear(model)
    weights = pruner.masks.parameters().items()
    pruner.masks.soften({name: torch.ones_like(weight) for name, weight in weights})
    with pytest.raises(
        ValueError, match=r"the mask of 'convs\.0\.lin\.weight' must be final"
    ):
        to_sparse(model)

"""Exported weights and programs equal the weights and outputs of the model."""

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.nn import GCN, GIN, HeteroLinear

from gsparse.data import random_graph
from gsparse.deploy.export import export_program, export_weights
from gsparse.nn import to_sparse
from gsparse.prune import Magnitude, Pruner, RandomWeight, WeightMasks
from gsparse.prune.quantise_weights import quantise_weights
from gsparse.prune.structured.structures import Blocks
from gsparse.train import sparse_features
from gsparse.train.models import build_model


def graph(num_nodes, p, seed):
    data = random_graph(num_nodes=num_nodes, p=p, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_nodes, 8, generator=generator)
    weight = torch.rand(data.num_edges, generator=generator)
    return Data(x=x, edge_index=data.edge_index, edge_weight=weight)


SMALL, LARGE = graph(17, 0.3, 31181), graph(29, 0.2, 50423)


def fresh(name, **options):
    torch.manual_seed(83071)
    return build_model(name, 8, 3, hidden_channels=4, **options).eval()


@pytest.mark.parametrize("layout", ["csr", "coo"])
def test_every_pruned_weight_and_no_other(layout):
    torch.manual_seed(11971)
    model = GCN(8, 6, num_layers=3, out_channels=2)
    assert not model.convs[0].bias.any()  # zeros, but no pruned weight
    pruner = Pruner(model, RandomWeight(), sparsity=0.5, seed=9)
    found = export_weights(model, layout)
    assert list(found) == list(pruner.masks.targets)
    for name, weight in found.items():
        layer = model.get_submodule(name.removesuffix(".weight"))
        assert weight.to_dense().equal(layer.weight)
        assert weight._nnz() == int(pruner.masks[name].sum())
        assert not weight.requires_grad
    assert all(p.requires_grad for p in model.parameters())


def test_permanent_zeros_are_found_without_masks():
    model = fresh("gcn")
    pruner = Pruner(model, Magnitude(), sparsity=0.75)
    masked = export_weights(model)
    pruner.make_permanent()
    plain = export_weights(model)
    assert list(plain) == list(masked) == ["layers.0.lin.weight"]
    name = "layers.0.lin.weight"
    assert plain[name].to_dense().equal(masked[name].to_dense())


def test_blocks_are_stored_as_blocks():
    model = fresh("gcn")
    Pruner(model, Magnitude(), sparsity=0.5, structure=Blocks(2, 4))
    weight = export_weights(model, "bsr", block=(2, 4))["layers.0.lin.weight"]
    assert weight.values().shape == (2, 2, 4)  # 2 of 4 blocks
    assert weight.to_dense().equal(model.layers[0].lin.weight)


def test_vectors_and_stacks_go_as_coo():
    model = HeteroLinear(4, 2, num_types=3, bias=False)
    Pruner(model, RandomWeight(), sparsity=0.5, seed=3)
    with pytest.raises(ValueError, match=r"'weight' must be a matrix .*; use 'coo'"):
        export_weights(model)
    assert export_weights(model, "coo")["weight"].to_dense().equal(model.weight)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"layout": "ell"}, r"'layout' must be one of 'csr', 'bsr', 'coo' \(got 'ell'"),
        ({"layout": "bsr"}, r"'block' must be given .* \(got None with 'bsr'\)"),
        ({"block": (2, 2)}, r"for no other \(got \(2, 2\) with 'csr'\)"),
        ({"layout": "bsr", "block": (2, 0)}, r"two positive sizes \(got \(2, 0\)\)"),
        ({"layout": "bsr", "block": (3, 2)}, r"\(got \(3, 2\) for 'layers.0.lin"),
    ],
)
def test_layouts_that_are_refused(options, text):
    model = fresh("gcn")
    Pruner(model, Magnitude(), sparsity=0.5)
    with pytest.raises(ValueError, match=text):
        export_weights(model, **options)


def test_a_model_without_zeros_is_refused():
    with pytest.raises(ValueError, match=r"of GCN must have zeros \(got none\)"):
        export_weights(fresh("gcn"))


def test_weights_that_are_not_finite_are_refused():
    model = fresh("gcn")
    model.layers[0].lin.weight.data[0, 0] = torch.nan
    Pruner(model.layers[1], Magnitude(), sparsity=0.5)
    model.layers[0].lin.weight.data[0, 1] = 0
    with pytest.raises(ValueError, match=r"'layers.0.lin.weight' must be finite"):
        export_weights(model)


def test_a_mask_in_training_is_refused():
    model = fresh("gcn")
    masks = WeightMasks(model)
    masks.soften({name: torch.rand(masks[name].shape) for name in masks.targets})
    for export in (export_weights, lambda m: export_program(m, arguments(SMALL))):
        with pytest.raises(ValueError, match=r"must be final .* finalize\(\)"):
            export(model)


def arguments(data, weighted=False):
    found = (data.x, data.edge_index)
    return (*found, data.edge_weight) if weighted else found


def agree(program, model, weighted=False):
    run = program.module()
    with torch.no_grad():
        for data in (SMALL, LARGE):
            out = model(*arguments(data, weighted))
            torch.testing.assert_close(run(*arguments(data, weighted)), out)


@pytest.mark.parametrize("name", ["gcn", "gat", "sage", "mlp"])
def test_programs_of_standard_models_serve_other_graphs(name):
    model = fresh(name)
    Pruner(model, Magnitude(), sparsity=0.75)
    kinds = [type(module) for module in model.modules()]
    program = export_program(model, arguments(SMALL))
    assert not [name for name in program.state_dict if "weight_masks" in name]
    agree(program, model)
    assert [type(module) for module in model.modules()] == kinds


def test_a_program_of_a_pyg_model():
    model = GIN(8, 4, num_layers=2, out_channels=3).eval()
    agree(export_program(model, arguments(SMALL)), model)


def test_a_saved_program_has_edge_weights_and_no_dropout(tmp_path):
    model = fresh("gcn", dropout=0.9).train()
    program = export_program(model, arguments(SMALL, True))
    assert model.training
    torch.export.save(program, tmp_path / "gcn.pt2")
    agree(torch.export.load(tmp_path / "gcn.pt2"), model.eval(), weighted=True)


@pytest.mark.parametrize(
    "form", [quantise_weights, lambda m: to_sparse(m, 0.5)], ids=["codes", "sparse"]
)
def test_weights_in_other_forms(form):
    model = fresh("mlp")
    Pruner(model, Magnitude(), sparsity=0.75)
    model = form(model)
    agree(export_program(model, arguments(SMALL)), model)


def test_a_program_of_one_size_refuses_others():
    model = fresh("mlp")
    run = export_program(model, arguments(SMALL), dynamic=False).module()
    with pytest.raises(Exception, match=r"shape|Guard|guard"):
        run(*arguments(LARGE))


class _Branches(torch.nn.Module):
    def forward(self, x, edge_index):
        return x if x.sum() > 0 else -x


class _Random(torch.nn.Module):
    def forward(self, x, edge_index):
        return x + torch.rand_like(x)


@pytest.mark.parametrize(
    ("model", "example", "error", "text"),
    [
        (_Branches(), arguments(SMALL), ValueError, r"trace, .* \(got _Branches"),
        (
            _Random(),
            arguments(SMALL),
            ValueError,
            "check whether the model uses random numbers",
        ),
        (
            fresh("gat"),
            arguments(SMALL, True),
            ValueError,
            r"GAT, which fails with ValueError: .*no 'edge_weight'",
        ),
        (fresh("sage"), arguments(SMALL, True), ValueError, "no 'edge_weight'"),
        (fresh("gcn"), [SMALL.x], TypeError, r"must be a tuple .* \(got list\)"),
        (fresh("gcn"), (), TypeError, "the features first"),
        (
            fresh("gcn"),
            (sparse_features(torch.eye(17, 8)), SMALL.edge_index),
            TypeError,
            r"plain tensors \(got SparseFeatures\); give x.to_dense\(\)",
        ),
        (
            fresh("gcn"),
            (SMALL.x, EdgeIndex(SMALL.edge_index)),
            TypeError,
            r"\(got EdgeIndex\)",
        ),
    ],
)
def test_what_cannot_be_a_program_is_refused(model, example, error, text):
    with pytest.raises(error, match=text):
        export_program(model, example)

"""Every layer reads masked weights as zeros, or is refused with a reason."""

import copy
import inspect
import pickle

import pytest
import torch
import torch_geometric.nn
from torch import nn
from torch.nn.utils import prune
from torch.utils._pytree import tree_leaves
from torch_geometric.nn import GCN, HeteroLinear

from gsparse.nn import to_sparse
from gsparse.nn.masked_parameters import unmask_parameter
from gsparse.prune import Magnitude, Pruner, RandomWeight

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(60317))
IDS, STEPS = torch.tensor([[0, 1, 3]]), X.view(3, 1, 4)
LAYERS = {
    "Linear": (lambda: nn.Linear(4, 6), (X,)),
    "Bilinear": (lambda: nn.Bilinear(4, 4, 6), (X, X)),
    "Conv1d": (lambda: nn.Conv1d(1, 6, 3), (STEPS,)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(1, 6, 3), (STEPS,)),
    "Embedding": (lambda: nn.Embedding(5, 6, padding_idx=1), (IDS,)),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(5, 6), (IDS,)),
    "LSTM": (lambda: nn.LSTM(4, 6, bidirectional=True), (STEPS,)),
    "LSTM, projected": (lambda: nn.LSTM(4, 6, proj_size=2), (STEPS,)),
    "GRU": (lambda: nn.GRU(4, 6, 2, batch_first=True), (STEPS,)),
    "RNN": (lambda: nn.RNN(4, 6, bias=False), (STEPS,)),
    "LSTMCell": (lambda: nn.LSTMCell(4, 6), (X,)),
    "GRUCell": (lambda: nn.GRUCell(4, 6), (X,)),
    "MultiheadAttention": (lambda: nn.MultiheadAttention(4, 2), (STEPS,) * 3),
    "Transformer": (
        lambda: nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True),
        (STEPS,),
    ),
    "LayerNorm": (lambda: nn.LayerNorm(4), (X,)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), (X,)),
    "PReLU": (lambda: nn.PReLU(4), (X,)),
    "HeteroLinear": (lambda: HeteroLinear(4, 6, 2), (X, torch.tensor([0, 1, 1]))),
    "weight_norm": (
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 6)),
        (X,),
    ),
    "spectral_norm": (
        lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(4, 6)).eval(),
        (X,),
    ),
    "pruned by torch": (
        lambda: prune.random_unstructured(nn.Linear(4, 6), "weight", 3),
        (X,),
    ),
}


def twins(make, sparsity=0.25):
    """A layer with masks and the same one with zeros written by hand."""
    pair = []
    for masked in (True, False):
        torch.manual_seed(41771)
        layer = make()
        pruner = Pruner(layer, RandomWeight(), sparsity=sparsity, targets="", seed=9)
        keep = {name: pruner.masks[name] for name in pruner.masks.targets}
        if not masked:
            pruner.undo()
            for name, parameter in layer.named_parameters():
                parameter.data.mul_(keep[name])
        pair.append(layer)
    return *pair, keep


def run(layer, *args, **kwargs):
    torch.manual_seed(3)
    return tree_leaves(layer(*args, **kwargs))


def same(first, second):
    return all(a.equal(b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_a_layer_of_torch_reads_zeros(name, training):
    make, args = LAYERS[name]
    masked, plain, keep = twins(make)
    masked.train(training)
    plain.train(training)
    out = run(plain, *args)
    assert same(run(masked, *args), out)
    with torch.no_grad():
        assert same(run(masked, *args), run(plain, *args))
    for layer in (masked, plain):
        run(layer, *args)[0].square().sum().backward()
    gradients = dict(plain.named_parameters())
    for key, parameter in masked.named_parameters():
        if gradients[key].grad is not None:
            expected = torch.where(keep[key], gradients[key].grad, 0.0)
            torch.testing.assert_close(parameter.grad, expected)


@pytest.mark.parametrize("name", ["LSTM", "LSTM, projected", "GRU", "RNN"])
def test_recurrent_layers_are_copied_moved_and_freed(name):
    make, args = LAYERS[name]
    masked, plain, _ = twins(make)
    out = run(plain, *args)
    run(masked, *args)
    masked.flatten_parameters()
    for twin in (
        copy.deepcopy(masked),
        copy.copy(masked),
        pickle.loads(pickle.dumps(masked)),
        copy.deepcopy(masked).double().float(),
    ):
        assert same(run(twin, *args), out)
    torch.manual_seed(41771)
    full = run(make(), *args)
    for mask in list(masked.weight_masks):
        unmask_parameter(masked, mask)
    assert same(run(copy.deepcopy(masked), *args), full)
    assert [*map(id, masked._flat_weights)] == [*map(id, masked.parameters())]


def test_a_model_with_a_recurrent_jump_becomes_sparse():
    torch.manual_seed(41771)
    model = GCN(4, 8, 3, 2, jk="lstm").eval()
    edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
    Pruner(model, Magnitude(), sparsity=0.8, targets="weight")
    out = model(X, edge_index)
    torch.testing.assert_close(to_sparse(model, 0.5)(X, edge_index), out)
    assert copy.deepcopy(model)(X, edge_index).equal(out)


def test_lists_of_parameters_are_read_through_masks():
    model = nn.ParameterList([torch.ones(3), torch.ones(3)])
    Pruner(model, RandomWeight(), sparsity=0.5, targets="", seed=9)
    assert sum(int(it.sum()) for it in model) == 3


def test_gradients_of_sparse_embeddings_are_refused():
    layer = nn.Embedding(5, 6, sparse=True)
    Pruner(layer, RandomWeight(), sparsity=0.5, seed=9, targets="")
    with pytest.raises(ValueError, match=r"must be dense .* set sparse=False"):
        layer(IDS).sum().backward()


# Every convolution of PyG that can be built from these arguments.
ARGUMENTS = {
    **dict.fromkeys(("in_channels", "out_channels", "hidden_channels", "channels"), 8),
    **{"K": 2, "num_layers": 2, "dim": 2, "kernel_size": 3, "edge_channels": 4},
    **{"num_relations": 3, "aggregators": ["mean", "max"], "scalers": ["identity"]},
    "deg": torch.tensor([1, 4, 4, 3]),
    "nn": nn.Sequential(nn.Linear(8, 8)),
}
EDGES = torch.randint(12, (2, 40), generator=torch.Generator().manual_seed(90547))
NODES = torch.randn(12, 8, generator=torch.Generator().manual_seed(90547))
INPUTS = {
    "x": NODES,
    "x_0": NODES,
    "edge_index": EDGES,
    "hyperedge_index": EDGES,
    "edge_type": torch.arange(40) % 3,
}
EDGE_FEATURES = {"GMMConv": 2, "PDNConv": 4}


def convolutions():
    """Names of those that run on the inputs above, with what they take."""
    for name in torch_geometric.nn.conv.__all__:
        kind = getattr(torch_geometric.nn.conv, name)
        if kind is torch_geometric.nn.MessagePassing:
            continue  # PyG compiles what it makes into the class of all layers
        needed = [
            key
            for key, it in inspect.signature(kind.__init__).parameters.items()
            if it.default is inspect.Parameter.empty and key in ARGUMENTS
        ]
        try:
            conv = kind(**{key: copy.deepcopy(ARGUMENTS[key]) for key in needed})
            inputs = {
                key: INPUTS[key]
                for key, it in inspect.signature(conv.forward).parameters.items()
                if key in INPUTS
                and (it.default is inspect.Parameter.empty or key == "edge_type")
            }
            if name in EDGE_FEATURES:
                inputs["edge_attr"] = torch.ones(40, EDGE_FEATURES[name])
            conv(**inputs)
        except Exception:
            continue
        if any(True for _ in conv.parameters()):
            yield name, needed, inputs


def test_every_convolution_of_pyg_reads_zeros():
    tested = 0
    for name, needed, inputs in convolutions():
        kind = getattr(torch_geometric.nn.conv, name)

        def make(kind=kind, needed=needed):
            arguments = {key: copy.deepcopy(ARGUMENTS[key]) for key in needed}
            return kind(**arguments).eval()

        masked, plain, _ = twins(make)
        out = run(plain, **inputs)
        assert same(run(masked, **inputs), out), name
        assert same(run(copy.deepcopy(masked), **inputs), out), name
        tested += 1
    assert tested >= 30

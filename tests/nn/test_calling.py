"""A model is called with the arguments in its signature and no others."""

import warnings

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch_geometric.data import Batch, Data

from gsparse.data import random_graph
from gsparse.nn import DropEdge, FastGAT, KEdge
from gsparse.nn.calling import call_arguments, call_form
from gsparse.train import RankUpdate


class Recorder(nn.Module):
    """Keeps what it was called with."""

    def _note(self, **given):
        self.given = given


class Two(Recorder):
    def forward(self, x, edge_index):
        self._note(x=x, edge_index=edge_index)


class Weights(Recorder):
    def forward(self, x, ei, w=None):
        self._note(x=x, edge_index=ei, edge_weight=w)


class Swapped(Recorder):
    def forward(self, edge_index, x):
        self._note(x=x, edge_index=edge_index)


class Attributes(Recorder):
    def forward(self, x, edge_index, edge_attr=None):
        self._note(x=x, edge_index=edge_index, edge_attr=edge_attr)


class Late(Recorder):
    def forward(self, x, edge_index, batch=None, *, edge_weight=None):
        self._note(x=x, edge_index=edge_index, batch=batch, edge_weight=edge_weight)


class Needs(Recorder):
    def forward(self, x, edge_index, pos, edge_type):
        self._note(x=x, edge_index=edge_index, pos=pos, edge_type=edge_type)


class Named(Recorder):
    def forward(self, x, *, edge_index, edge_weight):
        self._note(x=x, edge_index=edge_index, edge_weight=edge_weight)


class Alone(Recorder):
    def forward(self, x, batch=None):
        self._note(x=x, batch=batch)


class Opaque(Recorder):
    def forward(self, *args):
        self._note(**dict(zip(("x", "edge_index", "edge_weight"), args, strict=True)))


class Through(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, *args, **kwargs):
        return self.net(*args, **kwargs)


class Whole(nn.Module):
    def forward(self, data):
        return data.x


def graph(**more):
    data = random_graph(num_nodes=9, p=0.5, seed=3121)
    return Data(x=data.x, edge_index=data.edge_index, **more)


def edge_values(*shape):
    return torch.rand(graph().num_edges, *shape)


EXPECTED = [
    (Two, {}),
    (Weights, {"edge_weight"}),
    (Attributes, {"edge_attr"}),
    (Late, {"edge_weight"}),
    (Needs, {"pos", "edge_type"}),
    (Named, {"edge_weight"}),
    (Opaque, {"edge_weight"}),
]


@pytest.mark.parametrize(
    "wrap",
    [lambda it: it, Through, AveragedModel],
    ids=["plain", "Through", "AveragedModel"],
)
@pytest.mark.parametrize(("kind", "taken"), EXPECTED)
@pytest.mark.filterwarnings("ignore:'edge_weight' of the data")
def test_a_model_is_given_what_it_takes_by_name(kind, taken, wrap):
    data = graph(
        edge_weight=edge_values(),
        edge_attr=edge_values(2),
        edge_type=edge_values().long(),
        pos=torch.rand(9, 2),
        batch=torch.zeros(9),
    )
    model = wrap(kind())
    call_arguments(model, data).call(model)
    given = next(m for m in model.modules() if isinstance(m, kind)).given
    for name, value in given.items():
        expected = data[name] if name in {"x", "edge_index", *taken} else None
        assert value is expected, name


@pytest.mark.parametrize("kind", [Weights, Opaque, Attributes, Late])
def test_what_the_data_lacks_is_none(kind):
    model, data = kind(), graph()
    call_arguments(model, data).call(model)
    assert set(map(type, model.given.values())) == {torch.Tensor, type(None)}


def test_a_batch_is_handed_on_and_a_vector_that_happens_to_be_there_is_not():
    model = Late()
    both = Batch.from_data_list([graph(), graph()])
    call_arguments(model, both).call(model)
    assert model.given["batch"] is both.batch


@pytest.mark.parametrize("model", [Alone(), nn.Linear(3, 2)])
def test_a_model_without_a_graph_is_given_features_only(model):
    assert len(call_arguments(model, graph()).args) == 1
    assert call_arguments(model, graph()).kwargs == {}


@pytest.mark.parametrize("kind", [Two, Attributes])
def test_unused_weights_are_named_once(kind):
    model, data = kind(), graph(edge_weight=edge_values())
    with pytest.warns(
        UserWarning, match=rf"not used: {kind.__name__}.forward\(x, edge"
    ):
        call_arguments(model, data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call_arguments(model, data)
        call_arguments(kind(), graph())


def test_layers_of_pyg_that_take_no_weights_are_named():
    data = graph(edge_weight=edge_values(), edge_attr=edge_values(1))
    model = pyg.GAT(data.num_features, 4, 2)
    with pytest.warns(UserWarning, match="not used: GAT.forward"):
        given = call_arguments(model, data)
    assert len(given.args) == 2
    assert given.kwargs == {}  # its layers have no edge_dim, and would fail
    model = pyg.GAT(data.num_features, 4, 2, edge_dim=1)
    assert set(call_arguments(model, graph(edge_attr=edge_values(1))).kwargs) == {
        "edge_attr"
    }
    given = call_arguments(pyg.GCN(data.num_features, 4, 2), data)
    assert given.args[2] is data.edge_weight


def test_sequential_of_pyg_says_what_it_takes():
    conv = pyg.GCNConv(3, 4), "x, edge_index, weight -> x"
    data = graph(edge_weight=edge_values())
    model = pyg.Sequential("x, edge_index, weight", [conv])
    assert call_arguments(model, data).args[2] is data.edge_weight
    conv = pyg.GCNConv(3, 4), "x, edge_index -> x"
    model = pyg.Sequential("x, edge_index", [conv])
    assert len(call_arguments(model, graph()).args) == 2


def test_compiled_and_parallel_models_and_those_that_say_nothing():
    data = graph(edge_attr=edge_values(2))
    compiled = torch.compile(Attributes(), backend="eager")
    assert call_arguments(compiled, data).kwargs == {"edge_attr": data.edge_attr}
    assert call_form(nn.DataParallel(Two())).positional == ("x", "edge_index")
    silent = nn.Module()
    silent.forward = max  # a builtin has no signature
    assert call_form(silent).is_open
    assert call_arguments(silent, data).args[2] is None


@pytest.mark.filterwarnings("ignore:'edge_weight' of the data")
def test_our_wrappers_take_what_their_model_takes():
    data = graph(edge_weight=edge_values(), edge_attr=edge_values(2))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = pyg.GATConv(data.num_features, 4)
            self.last = pyg.GATConv(4, 4)

        def forward(self, x, edge_index, edge_attr=None):
            return self.last(self.conv(x, edge_index), edge_index)

    learner = RankUpdate(Net(), rank=2, head="last")
    learner.add_task(2)
    for model in (KEdge(Net(), data.num_features, 0.5), DropEdge(Net()), learner):
        given = call_arguments(model, data)
        assert (len(given.args), set(given.kwargs)) == (2, {"edge_attr"})
    given = call_arguments(FastGAT(Net(), 0.5), data)
    assert set(given.kwargs) == {"edge_attr", "edge_weight"}


def test_what_cannot_be_called_is_refused_by_name():
    with pytest.raises(TypeError, match=r"Swapped.forward\(edge_index, x\) does not"):
        call_arguments(Swapped(), graph())
    with pytest.raises(TypeError, match=r"but Whole.forward\(data\) does not take"):
        call_arguments(Whole(), graph())
    with pytest.raises(TypeError, match=r"forward\(x, edge_index, pos, .* needs 'pos'"):
        call_arguments(Needs(), graph())
    layer = nn.Linear(3, 2, device="meta")
    with pytest.raises(ValueError, match=r"one device \(got meta and 'x' on cpu\)"):
        call_arguments(layer, graph())

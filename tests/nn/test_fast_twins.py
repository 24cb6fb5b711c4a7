"""``accelerate`` replaces layers and keeps everything else."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GATConv, GATv2Conv

from gsparse.data import random_graph
from gsparse.nn import FastGATConv, FastGATv2Conv, accelerate

DATA = random_graph(num_nodes=25, p=0.3, seed=67231)


@pytest.mark.parametrize("v2", [False, True])
def test_same_outputs_parameters_and_checkpoint(v2):
    model = GAT(DATA.num_features, 12, 3, out_channels=5, heads=4, v2=v2).eval()
    expected = model(DATA.x, DATA.edge_index)
    parameters, state = list(model.parameters()), model.state_dict()
    random_state = torch.get_rng_state()
    fast = accelerate(model)
    assert torch.get_rng_state().equal(random_state)
    assert fast is model
    assert all(type(c) is (FastGATv2Conv if v2 else FastGATConv) for c in fast.convs)
    assert all(p is q for p, q in zip(fast.parameters(), parameters, strict=True))
    assert list(fast.state_dict()) == list(state)
    assert not any(module.training for module in fast.modules())
    out = fast(DATA.x, DATA.edge_index)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


def test_a_layer_alone_and_one_used_twice():
    conv = GATConv(DATA.num_features, DATA.num_features)
    net = nn.ModuleList([conv, conv])
    accelerate(net)
    assert net[0] is net[1]
    assert isinstance(net[0], FastGATConv)
    alone = accelerate(GATv2Conv(3, 4), attention="reference")
    assert isinstance(alone, FastGATv2Conv)
    assert alone.attention == "reference"
    assert accelerate(alone).attention == "fused"


def test_subclasses_and_hooks_are_kept():
    class Own(GATConv):
        pass

    seen = []
    conv = GATConv(DATA.num_features, 4)
    conv.register_forward_hook(lambda *_: seen.append(1))
    net = accelerate(nn.ModuleList([Own(3, 4), conv]))
    assert type(net[0]) is Own
    net[1](DATA.x, DATA.edge_index)
    assert seen == [1]


def test_refuses_unknown_attention():
    with pytest.raises(ValueError, match=r"'attention' must be one of .*got 'quick'"):
        accelerate(GATConv(3, 4), attention="quick")


@pytest.mark.parametrize(
    ("model", "got"), [(Data(), "Data"), (GATConv, "the class GATConv")]
)
def test_refuses_what_is_not_a_module(model, got):
    with pytest.raises(TypeError, match=rf"'model' must be a module.*got {got}\)"):
        accelerate(model)

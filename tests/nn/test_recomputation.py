"""Recomputation in checkpoints uses the same weights."""

import pytest
import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn import GATConv, GCNConv, SAGEConv

from gsparse.data import complete
from gsparse.nn import FastGAT, FastGCNConv, KEdge, PTDNet, edge_weights

LAYERS = (GCNConv, FastGCNConv, SAGEConv, GATConv)


class Net(Module):
    """Two layers, each in a checkpoint of its own, or both in one as well.

    ``reentrant=None`` is without checkpoints.
    """

    def __init__(self, conv: type[Module], reentrant: bool | None, whole: bool) -> None:
        super().__init__()
        torch.manual_seed(73)
        dropout = {"dropout": 0.5} if conv is GATConv else {}
        self.first = conv(6, 5, **dropout)
        self.second = conv(5, 5, **dropout)
        self.reentrant, self.whole = reentrant, whole

    def _run(self, part, *given: Tensor) -> Tensor:
        if self.reentrant is None:
            return part(*given)
        return checkpoint(part, *given, use_reentrant=self.reentrant)

    def _both(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self._run(self.second, self._run(self.first, x, edge_index), edge_index)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        if self.whole:
            return self._run(self._both, x, edge_index)
        return self._both(x, edge_index)


@pytest.fixture
def graph() -> tuple[Tensor, Tensor]:
    torch.manual_seed(74)
    return torch.randn(6, 6, requires_grad=True), complete(6).edge_index


def derivatives(out: Tensor, x: Tensor, parameters) -> list[Tensor]:
    found = torch.autograd.grad(out.square().sum(), [x, *parameters], allow_unused=True)
    return [it for it in found if it is not None]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("conv", LAYERS)
def test_checkpoints_keep_the_weights(graph, conv, whole):
    x, edge_index = graph
    weight = Parameter(torch.rand(30))
    found = []
    for how in (None, False):
        net = Net(conv, how, whole)
        torch.manual_seed(75)
        with edge_weights(net, edge_index, weight):
            out = net(x, edge_index)
        found.append(derivatives(out, x, [weight, *net.parameters()]))
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("conv", LAYERS)
def test_reentrant_checkpoints_keep_the_weights(graph, conv):
    x, edge_index = graph
    found = []
    for how in (None, True):
        net = Net(conv, how, whole=False)
        weight = torch.rand(30, generator=torch.Generator().manual_seed(76))
        torch.manual_seed(75)
        with edge_weights(net, edge_index, weight):
            out = net(x, edge_index)
        x.grad = None
        out.square().sum().backward()
        found.append([x.grad, *(it.grad for it in net.parameters())])
    torch.testing.assert_close(found[1], found[0])


def test_layers_in_a_checkpoint_run_as_they_are_after_the_context(graph):
    """A checkpoint round the context enters it again, and only where it was."""
    x, edge_index = graph
    net = Net(GCNConv, None, whole=False)

    def twice(x: Tensor) -> Tensor:
        with edge_weights(net, edge_index, torch.zeros(30)):
            out = net(x, edge_index)
        return out + net(x, edge_index)

    want = derivatives(twice(x), x, net.parameters())
    again = checkpoint(twice, x, use_reentrant=False)
    torch.testing.assert_close(derivatives(again, x, net.parameters()), want)
    assert "forward" not in vars(net.first)


@pytest.mark.parametrize("wrapper", [KEdge, FastGAT, PTDNet])
def test_wrapped_models_may_have_checkpoints(graph, wrapper):
    x, edge_index = graph
    found = []
    for how in (None, False):
        net = Net(GATConv, how, whole=False)
        more = {"in_channels": 6} if wrapper is not FastGAT else {}
        more |= {"scope": "shared"} if wrapper is PTDNet else {}
        model = wrapper(net, sparsity=0.4, seed=77, **more)
        torch.manual_seed(78)
        found.append(derivatives(model(x, edge_index), x, model.parameters()))
    torch.testing.assert_close(found[1], found[0])


def test_masks_of_single_layers_refuse_checkpoints(graph):
    x, edge_index = graph
    model = PTDNet(Net(GATConv, False, whole=False), 6, sparsity=0.4, seed=79)
    with pytest.raises(ValueError, match=r"again by torch\.utils\.checkpoint"):
        model(x, edge_index).sum().backward()

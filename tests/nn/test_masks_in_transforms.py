"""Masks under transforms of torch.func work on graphs that they have not seen yet."""

import pytest
import torch
from torch_geometric.nn import GCNConv, GINConv, GraphConv, SAGEConv

from gsparse.kernels.tensor_cache import TensorCache
from gsparse.nn import edge_weights

LAYERS = {
    "GCN": lambda: GCNConv(2, 2),
    "SAGE": lambda: SAGEConv(2, 2),
    "SAGE add": lambda: SAGEConv(2, 2, aggr="add"),
    "Graph": lambda: GraphConv(2, 2),
    "GIN": lambda: GINConv(torch.nn.Linear(2, 2)),
}
TRANSFORMS = {
    "jvp": lambda f, x: torch.func.jvp(f, (x,), (torch.ones_like(x),))[1],
    "grad": lambda f, x: torch.func.grad(lambda z: f(z).square().sum())(x),
    "jacrev": lambda f, x: torch.func.jacrev(f)(x),
}


def graph():
    """Fresh tensors, for which nothing is cached."""
    return torch.tensor([[0, 1, 2, 3, 1], [1, 2, 3, 0, 3]])


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_new_graph_and_a_known_one_give_the_same(name, transform):
    torch.manual_seed(7)
    x, weight = torch.randn(4, 2), torch.tensor([1.0, 0.5, 0.0, 1.0, 0.3])
    layer, run = LAYERS[name](), TRANSFORMS[transform]

    def masked(edges):
        def call(z):
            with edge_weights(layer, edges, weight):
                return layer(z, edges)

        return call

    known, new = graph(), graph()
    masked(known)(x)
    try:
        expected = run(masked(known), x)
    except RuntimeError as refusal:  # the same refusal on a new graph
        with pytest.raises(RuntimeError, match=str(refusal).split("(")[0][:40]):
            run(masked(new), x)
        return
    torch.testing.assert_close(run(masked(new), x), expected)
    # What was cached within the transform serves a plain step afterwards.
    given = x.clone().requires_grad_()
    masked(new)(given).square().sum().backward()
    again = x.clone().requires_grad_()
    masked(known)(again).square().sum().backward()
    torch.testing.assert_close(given.grad, again.grad)


def test_values_built_within_a_transform_are_plain_tensors():
    cache, edges = TensorCache(), graph()

    def call(z):
        found = cache.get((edges,), None, lambda: edges[0].float() * 2)
        assert not torch._C._functorch.is_functorch_wrapped_tensor(found)
        return (z * found.sum()).sum()

    assert torch.func.grad(call)(torch.ones(())) == 14
    found = cache.get((edges,), None, lambda: None)
    assert found.tolist() == [0, 2, 4, 6, 2]
    found.numpy()


def test_tensors_of_a_transform_are_left_to_it():
    cache = TensorCache()

    def call(z):
        return cache.get((z,), None, lambda: z * 3).sum()

    many = torch.arange(6.0).view(3, 2)
    assert torch.vmap(call)(many).tolist() == [3, 15, 27]

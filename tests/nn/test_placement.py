"""Values are copied to their positions, and their gradients are the sums of copies."""

import pytest
import torch

from gsparse.nn.placement import placement

CASES = {
    "two copies": ([0, 1, 2, 1, 3, 0, 2, 3], 3),
    "one copy": ([2, 0, 3, 1], 3),
    "unequal numbers": ([0, 0, 1, 3, 2, 0], 3),
    "three copies": ([0, 1, 0, 1, 1, 0], 2),
    "one is missing": ([0, 0, 3, 2, 2], 3),
    "constants only": ([0, 0], 0),
    "nothing": ([], 2),
}


@pytest.mark.parametrize("name", CASES)
def test_values_gradients_and_tangents(name):
    where, size = CASES[name]
    where = torch.tensor(where, dtype=torch.long)
    values = torch.arange(1.0, size + 1).double().requires_grad_()
    found = placement(where, size)
    assert (found.copies is not None) == (name in ("two copies", "one copy"))
    put = found.put(values, constant=0.25)
    assert put.tolist() == [0.25 if i == size else i + 1 for i in where.tolist()]
    given = torch.arange(2.0, where.numel() + 2).double()
    (grad,) = torch.autograd.grad(put, values, given)
    for i in range(size):
        assert grad[i] == given[where == i].sum()
    if size:
        call = lambda it: found.put(it, 0.25)  # noqa: E731
        assert torch.autograd.gradcheck(call, values, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(call, values)


@pytest.mark.parametrize("where", [[0, 1, 2, 1, 0], [0, 1, 2]])
def test_tools_that_take_no_function_of_their_own(where):
    found = placement(torch.tensor(where), 2)
    values = torch.tensor([1.0, 2.0])
    put = torch.func.functionalize(lambda it: found.put(it, 9.0))(values)
    compiled = torch.compile(lambda it: found.put(it, 9.0), backend="eager")
    expected = [(1.0, 2.0, 9.0)[i] for i in where]
    assert put.tolist() == compiled(values).tolist() == expected


def test_many_lists_at_once():
    found = placement(torch.tensor([0, 1, 2, 1, 0]), 2)
    many = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    put = torch.vmap(lambda it: found.put(it, 9.0))(many)
    assert put.tolist() == [[1, 2, 9, 2, 1], [3, 4, 9, 4, 3]]

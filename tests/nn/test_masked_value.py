"""Masked values outside of a layer: writes raise an error."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional, init

from gsparse.nn.masked_value import MaskedValue
from gsparse.prune import Pruner, RandomWeight


@pytest.fixture
def layer():
    torch.manual_seed(61403)
    layer = nn.Linear(4, 6)
    Pruner(layer, RandomWeight(), sparsity=0.5, seed=20921)
    return layer


def assign(layer, name, value):
    setattr(layer.weight, name, value)


WRITES = {
    "init.constant_": lambda it: init.constant_(it.weight, 7.0),
    "init.kaiming": lambda it: init.kaiming_uniform_(it.weight),
    "init.orthogonal_": lambda it: init.orthogonal_(it.weight),
    "init.eye_": lambda it: init.eye_(it.weight),
    "data.clamp_": lambda it: it.weight.data.clamp_(-0.01, 0.01),
    "data =": lambda it: assign(it, "data", torch.ones(6, 4)),
    "grad =": lambda it: assign(it, "grad", None),
    "requires_grad =": lambda it: assign(it, "requires_grad", False),
    "requires_grad_": lambda it: it.weight.requires_grad_(False),
    "copy_": lambda it: it.weight.copy_(torch.ones(6, 4)),
    "mul_": lambda it: it.weight.mul_(2),
    "zero_": lambda it: it.weight.zero_(),
    "set_": lambda it: it.weight.set_(torch.ones(6, 4)),
    "item": lambda it: it.weight.__setitem__(0, 0.0),
    "mask": lambda it: it.weight.__setitem__(it.weight < 0, 0.0),
    "+=": lambda it: it.weight.__iadd__(1),
    "row": lambda it: it.weight[0].zero_(),
    "rows": lambda it: [row.zero_() for row in it.weight],
    "chunk": lambda it: it.weight.chunk(2)[1].zero_(),
    "transposed": lambda it: it.weight.t().fill_(1.0),
    "flat": lambda it: it.weight.view(-1)[2:].mul_(3),
    "detached": lambda it: it.weight.detach().add_(1),
    "function": lambda it: torch.clamp_(it.weight, 0.0),
    "out": lambda it: torch.zeros(6, 4, out=it.weight.detach()),
    "foreach": lambda it: torch._foreach_mul_([it.weight], 2.0),
    "operator": lambda it: torch.ops.aten.mul_.Tensor(it.weight, torch.ones(1)),
    "inplace": lambda it: functional.relu(it.weight, inplace=True),
    "vector": lambda it: nn.utils.vector_to_parameters(torch.ones(24), [it.weight]),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
def test_a_write_raises_and_changes_nothing(layer, write, grad):
    before = copy.deepcopy(layer.state_dict())
    with (
        torch.set_grad_enabled(grad),
        pytest.raises(
            RuntimeError, match=r"Linear\.weight is pruned: it reads as a masked copy"
        ),
    ):
        write(layer)
    assert all(value.equal(before[name]) for name, value in layer.state_dict().items())
    assert layer._parameters["weight"].requires_grad


def test_what_the_error_advises_takes_effect(layer):
    with torch.no_grad():
        init.constant_(layer._parameters["weight"], 7.0)
    assert layer.weight.unique().tolist() == [0.0, 7.0]


def test_other_tensors_may_be_written_from_it(layer):
    other = nn.Linear(4, 6)
    values = layer.weight.detach().clone()
    assert type(values) is torch.Tensor
    for write in (
        lambda: other.weight.copy_(layer.weight),
        lambda: assign(other, "data", layer.weight.data),
        lambda: setattr(other, "weight", nn.Parameter(layer.weight)),
        lambda: setattr(other, "weight", nn.Parameter(layer.weight.data)),
    ):
        init.zeros_(other.weight)
        with torch.no_grad():
            write()
        assert type(other.weight) is nn.Parameter
        assert other.weight.equal(values)
        assert other.weight.requires_grad


def test_operations_copies_and_files_are_plain_tensors(layer):
    value = layer.weight.detach()
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    for twin in (
        value + 0,
        value.clone(),
        copy.deepcopy(value),
        pickle.loads(pickle.dumps(value)),
        torch.load(file, weights_only=True),
    ):
        assert type(twin) is torch.Tensor
        assert twin.equal(value)
        twin.zero_()
    assert value.any()
    assert repr(value) == repr(value.clone())


def test_sizes_and_formatted_numbers_are_those_of_plain_tensors(layer):
    value = layer.weight
    assert isinstance(value.shape, torch.Size)
    assert isinstance(value.size(), torch.Size)
    assert value.shape.numel() == 24
    assert f"{value[0, 0]:.3f}" == f"{value[0, 0].item():.3f}"
    assert f"{value.detach()}" == f"{value.clone().detach()}"


def test_compiled_code_may_read_it(layer):
    value, x = layer.weight, torch.ones(4)
    compiled = torch.compile(
        lambda it: functional.linear(it, value), backend="aot_eager"
    )
    out = compiled(x)
    torch.testing.assert_close(out, value.sum(1) + 0)
    out.sum().backward()
    keep = layer.weight_masks["weight"].keep
    torch.testing.assert_close(layer._parameters["weight"].grad, keep.float())


def test_gradients_flow_to_the_parameter(layer):
    layer.weight.square().sum().backward()
    weight, keep = layer._parameters["weight"], layer.weight_masks["weight"].keep
    torch.testing.assert_close(weight.grad, torch.where(keep, 2 * weight, 0.0))
    x = torch.ones(4)
    gradient = torch.func.grad(lambda it: functional.linear(it, layer.weight).sum())(x)
    torch.testing.assert_close(gradient, layer.weight.sum(0).detach())


def test_only_reads_from_outside_are_guarded(layer, monkeypatch):
    seen = []

    def linear(x, weight, bias):
        seen.append(type(weight))
        return x @ weight.t() + bias

    monkeypatch.setattr(functional, "linear", linear)
    layer(torch.ones(2, 4))
    hook = layer.register_forward_pre_hook(lambda it, _: it.weight.data.clamp_(0, 1))
    with pytest.raises(RuntimeError, match="got 'clamp_'"):
        layer(torch.ones(2, 4))
    hook.remove()
    assert seen == [torch.Tensor]
    assert type(layer.weight) is MaskedValue
    assert type(copy.deepcopy(layer).weight) is MaskedValue

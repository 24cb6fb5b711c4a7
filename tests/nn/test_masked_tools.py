"""Masked layers with torch's tools: correct results or one clear error."""

import copy
import importlib

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.parametrize import register_parametrization
from torch.optim.swa_utils import (
    AveragedModel,
    get_ema_avg_fn,
    get_ema_multi_avg_fn,
)

from gsparse.prune import CubicSchedule, Magnitude, Pruner, RandomWeight

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(60317))


def network(seed=41771, **options):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    return model, Pruner(model, Magnitude(), sparsity=0.5, **options)


TOOLS = {
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "parametrize": lambda it: register_parametrization(it, "weight", nn.Identity()),
    "old weight_norm": nn.utils.weight_norm,
    "old spectral_norm": nn.utils.spectral_norm,
    "l1_unstructured": lambda it: prune.l1_unstructured(it, "weight", 0.5),
    "prune.identity": lambda it: prune.identity(it, "weight"),
    "del": lambda it: delattr(it, "weight"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_what_would_replace_a_masked_parameter_is_refused(tool):
    model, pruner = network()
    out, names = model(X), model.state_dict().keys()
    with pytest.raises(RuntimeError, match=r"Linear\.weight is .* undo\(\) or make_pe"):
        tool(model[0])
    assert model(X).equal(out)
    assert model.state_dict().keys() == names
    pruner.make_permanent()
    tool(model[0])


def test_other_parameters_of_a_masked_layer_may_go():
    model, _ = network()
    without = (X @ model[0].weight.t()).relu() @ model[2].weight.t() + model[2].bias
    del model[0].bias
    model[0].register_parameter("bias", None)
    torch.testing.assert_close(model(X), without)


@pytest.mark.parametrize("average", [None, get_ema_multi_avg_fn(0.5)])
def test_averages_have_the_masks_of_the_model(average):
    model, pruner = network(schedule=CubicSchedule(0, 4))
    averaged = AveragedModel(model, multi_avg_fn=average)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    mean = torch.zeros(6, 4)
    for step in range(5):
        model(X).square().sum().backward()
        optimizer.step()
        pruner.step()
        averaged.update_parameters(model)
        full = pruner.masks.parameters()["0.weight"].detach()
        share = 1 / (step + 1) if average is None else 0.5 if step else 1.0
        mean.lerp_(full, share)
    expected = torch.where(pruner.masks["0.weight"], mean, 0.0)
    torch.testing.assert_close(averaged.module[0].weight.detach(), expected)
    assert pruner.report().sparsity == 0.5


def test_masks_are_not_averaged():
    model, pruner = network(schedule=CubicSchedule(0, 4))
    for options in ({}, {"avg_fn": get_ema_avg_fn()}):
        with pytest.raises(ValueError, match=r"'use_buffers' .* False .* \(got True\)"):
            AveragedModel(model, use_buffers=True, **options)
    pruner.finalize()
    with pytest.raises(ValueError, match="'use_buffers'"):
        AveragedModel(model, use_buffers=True)
    fixed = AveragedModel(model, avg_fn=get_ema_avg_fn(), use_buffers=True)
    fixed.update_parameters(model)
    fixed.update_parameters(model)
    torch.testing.assert_close(fixed(X), model(X))


def test_replicas_read_through_masks(monkeypatch):
    model, pruner = network()

    def copies(tensors, devices, detach=False):
        return [[it.clone() for it in tensors] for _ in devices]

    parallel = importlib.import_module("torch.nn.parallel.replicate")
    monkeypatch.setattr(parallel, "_get_device_index", lambda it, _: it)
    monkeypatch.setattr(parallel, "_broadcast_coalesced_reshape", copies)
    for replica in parallel.replicate(model, [0, 1]):
        assert replica(X).equal(model(X))
        replica(X).sum().backward()
    weight = pruner.masks.parameters()["0.weight"]
    assert weight.grad.any()
    assert not weight.grad[~pruner.masks["0.weight"]].any()


def test_an_ensemble_has_a_mask_for_each_model():
    models = [network(seed)[0] for seed in (41771, 52361)]
    state = torch.func.stack_module_state(models)
    base = copy.deepcopy(models[0]).to("meta")

    def call(parameters, buffers):
        return torch.func.functional_call(base, (parameters, buffers), (X,))

    out = torch.vmap(call)(*state)
    torch.testing.assert_close(out, torch.stack([model(X) for model in models]))


def test_vectors_checkpoints_and_empty_copies():
    model, pruner = network()
    out = model(X)
    vector = nn.utils.parameters_to_vector(model.parameters())
    nn.utils.vector_to_parameters(torch.zeros_like(vector), model.parameters())
    assert not model(X).any()
    nn.utils.vector_to_parameters(vector, model.parameters())
    assert model(X).equal(out)
    other = copy.deepcopy(model).to("meta").to_empty(device="cpu")
    other.load_state_dict(model.state_dict(), assign=True)
    assert other(X).equal(out)
    assert copy.copy(model[0])(X).equal(model[0](X))
    model(X).sum().backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    assert (
        not pruner.masks.parameters()["0.weight"].grad[~pruner.masks["0.weight"]].any()
    )


def test_weights_without_values_are_refused():
    with torch.device("meta"):
        model = nn.Linear(4, 6)
    with pytest.raises(ValueError, match=r"'weight' must have values .* the meta dev"):
        Pruner(model, RandomWeight(), sparsity=0.5)
    assert type(model) is nn.Linear


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_conversion(dtype):
    model, pruner = network()
    full = model(X)
    with torch.autocast("cpu", dtype):
        low = model(X)
    torch.testing.assert_close(low.float(), full, rtol=0.05, atol=0.05)
    low.float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    model.to(dtype)
    assert model(X.to(dtype)).dtype == dtype
    assert int((model[0].weight != 0).sum()) == pruner.report().num_kept

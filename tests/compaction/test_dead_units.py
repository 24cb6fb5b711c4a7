"""Removal of dead units: equal outputs from smaller layers, and refusals."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import BatchNorm, GCNConv, models

from gsparse.compaction.dead_units import remove_dead_units, silence_dead_units
from gsparse.prune.implicit import implicit_sparsity_report
from tests.compaction.normalised import (
    graph,
    norms,
    ours,
    pyg,
    set_units,
    trained,
)


class Odd(nn.Module):
    """A normalised layer that something other than a ReLU reads as well."""

    def __init__(self, mode):
        super().__init__()
        self.first, self.last = GCNConv(8, 10), GCNConv(10, 2)
        self.norm = BatchNorm(10, affine=mode != "bare")
        self.mode = mode

    def forward(self, x, edge_index):
        h = self.norm(self.first(x, edge_index))
        if self.mode == "twice":
            return self.last(h.relu() + 0.1 * h, edge_index)
        return self.last(h.relu(), edge_index)


@pytest.mark.parametrize("build", [ours, pyg, lambda d: pyg(d, models.GraphSAGE)])
def test_units_silenced_by_activation_change_nothing(build):
    data = graph()
    model = build(data)
    set_units(norms(model)[0][1], dead=[1, 4], dim=[7])
    set_units(norms(model)[1][1], dead=[0], steady=[3])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    out = silence_dead_units(model, data)
    assert all(before[name].equal(value) for name, value in model.state_dict().items())
    assert out.num_constant == 0
    assert out.error == 0.0
    torch.testing.assert_close(
        out.model(data.x, data.edge_index), model(data.x, data.edge_index)
    )
    for unit in (1, 4, 7):
        assert norms(out.model)[0][1].weight[unit].item() == 0
        assert norms(out.model)[0][1].bias[unit].item() == 0


def test_by_scale_a_unit_with_a_shift_stays_as_a_constant():
    """What it says is the same at every node: relu(beta), which is not 0."""
    data = graph()
    model = ours(data)
    norm = norms(model)[0][1]
    set_units(norm, dim=[7], steady=[3])
    out = silence_dead_units(model, data, by="scale")
    assert out.num_constant == 1
    silent = norms(out.model)[0][1]
    assert (silent.weight[3].item(), silent.bias[3].item()) == (
        0.0,
        norm.bias[3].item(),
    )
    assert (silent.weight[7].item(), silent.bias[7].item()) == (0.0, 0.0)
    first = implicit_sparsity_report(out.model, data).layers[0]
    torch.testing.assert_close(first.activation[3], norm.bias[3].detach())
    gap = out.model(data.x, data.edge_index) - model(data.x, data.edge_index)
    assert out.error == gap.abs().max().item()
    assert 0 < out.error < 1e-2


@pytest.mark.parametrize("build", [ours, pyg, lambda d: pyg(d, models.GraphSAGE)])
def test_removed_by_activation_the_model_is_smaller_and_says_the_same(build):
    data = graph()
    model = build(data)
    set_units(norms(model)[0][1], dead=[1, 4], dim=[7])
    set_units(norms(model)[1][1], dead=[0])
    report = implicit_sparsity_report(model, data)
    out = remove_dead_units(model, data)
    widths = [norm.num_features for _, norm in norms(out.model)]
    assert widths == [10 - int(it.dead("activation").sum()) for it in report.layers]
    assert widths[0] == 7
    assert (out.num_before, out.num_after) == (20, sum(widths))
    assert out.num_constant == 0
    assert out.error < 1e-5
    found, wanted = (m(data.x, data.edge_index) for m in (out.model, model))
    torch.testing.assert_close(found, wanted)
    assert sum(p.numel() for p in out.model.parameters()) < sum(
        p.numel() for p in model.parameters()
    )
    assert implicit_sparsity_report(out.model, data).num_dead("activation") == 0


def test_removed_by_scale_what_says_something_stays():
    """A constant that is propagated is no longer one: it stays, and is reported."""
    data = graph()
    model = ours(data)
    set_units(norms(model)[0][1], dim=[7], steady=[3])
    out = remove_dead_units(model, data, by="scale")
    assert norms(out.model)[0][1].num_features == 9
    assert (out.num_before, out.num_after, out.num_constant) == (20, 19, 1)
    gap = out.model(data.x, data.edge_index) - model(data.x, data.edge_index)
    assert out.error == gap.abs().max().item()
    assert 0 < out.error < 1e-2


def test_removal_that_would_change_the_output_is_refused():
    data = graph()
    model = trained(Odd("twice"), data)
    set_units(model.norm.module, dead=[2])
    with pytest.raises(
        ValueError, match=r"read through their ReLU only \(got an outpu"
    ):
        silence_dead_units(model, data)
    bare = trained(Odd("bare"), data)
    with torch.no_grad():
        bare.norm.module.running_mean[1] += 1e4
    with pytest.raises(
        ValueError, match=r"'norm.module' must have a scale .*affine=Tr"
    ):
        silence_dead_units(bare, data)
    with pytest.raises(ValueError, match=r"'by' must be 'activation' or 'scale' \(got"):
        silence_dead_units(model, data, by="gamma")

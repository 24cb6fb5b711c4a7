"""Hidden units of a traced model, and what is left of dead ones."""

import pytest
import torch

from gsparse.compaction import HiddenUnits, compact, mask_dead_units
from gsparse.data import planted_partition, random_graph
from gsparse.prune import Heads, Magnitude, Pruner, WeightMasks
from gsparse.train.models import GCN, build_model


def test_a_model_of_two_hidden_layers_is_refused():
    graph = planted_partition(60, 3, seed=31847)
    model = GCN(graph.num_features, 8, 10, num_layers=3)
    with pytest.raises(ValueError, match=r"one hidden layer \(got 2\)"):
        HiddenUnits.of(model, (graph.x, graph.edge_index))


def test_units_without_weights_lose_all_else():
    torch.manual_seed(61819)
    data = random_graph(num_nodes=20, p=0.2, seed=7)
    data.x = torch.randn(20, 6)
    model = build_model("gat", 6, 3, hidden_channels=4, heads=4)
    for layer in model.layers:
        torch.nn.init.normal_(layer.bias)
    pruner = Pruner(model, Magnitude(), sparsity=0.5, structure=Heads(4))
    names = mask_dead_units(pruner.masks, (data.x, data.edge_index))
    assert set(names) == {"layers.0.att_src", "layers.0.att_dst", "layers.0.bias"}
    alive = pruner.masks["layers.0.lin.weight"].any(1)
    assert alive.sum() == 8
    assert model.layers[0].bias.ne(0).equal(alive)
    assert model.layers[0].att_src.ne(0).flatten().equal(alive)
    assert compact(model, (data.x, data.edge_index)).layers[0].heads == 2


def test_units_of_two_maps_live_while_one_is_left():
    torch.manual_seed(61819)
    data = random_graph(num_nodes=20, p=0.2, seed=7)
    data.x = torch.randn(20, 6)
    model = build_model("sage", 6, 3, hidden_channels=4)
    torch.nn.init.normal_(model.layers[0].lin_l.bias)
    masks, first = WeightMasks(model), torch.arange(4)[:, None].expand(4, 6)
    masks["layers.0.lin_l.weight"] = first < 2
    example = data.x, data.edge_index
    assert mask_dead_units(masks, example) == []  # lin_r makes all units
    masks["layers.0.lin_r.weight"] = first % 2 == 0
    assert mask_dead_units(masks, example) == ["layers.0.lin_l.bias"]
    assert model.layers[0].lin_l.bias.ne(0).tolist() == [True, True, True, False]

"""Models with batch normalisation whose units can be switched off, for two files."""

import torch
from torch import nn
from torch_geometric.nn import models

from gsparse.data import random_graph
from gsparse.train import GCN
from gsparse.train.fit import seeded


def graph(num_nodes=60, seed=27529):
    data = random_graph(num_nodes=num_nodes, p=0.1, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    data.x = torch.randn(num_nodes, 8, generator=generator)
    data.y = (data.x[:, 0] > 0).long()
    data.train_mask = torch.arange(num_nodes) % 2 == 0
    data.val_mask = ~data.train_mask
    return data


def trained(model, data):
    """With running statistics of the data, as after training."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = None  # their mean, from the first pass on
    model.train()(data.x, data.edge_index)
    return model.eval()


def ours(data, hidden=10, num_layers=3):
    with seeded(85223):
        model = GCN(8, hidden, 2, num_layers, dropout=0.0, batch_norm=True)
    return trained(model, data)


def pyg(data, kind=models.GCN, **options):
    with seeded(85223):
        model = kind(8, 10, num_layers=3, out_channels=2, norm="BatchNorm", **options)
    return trained(model, data)


def norms(model):
    """The batch normalisations before a ReLU, with their names."""
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm1d)
    ]


@torch.no_grad()
def set_units(norm, dead=(), dim=(), steady=()):
    """Units that are silent, that are next to silent, and that emit a constant."""
    for unit in dead:
        norm.weight[unit], norm.bias[unit] = 0.7, -50.0
    for unit in dim:
        norm.weight[unit], norm.bias[unit] = 5e-4, -0.5
    for unit in steady:
        norm.weight[unit], norm.bias[unit] = -2e-4, 0.3

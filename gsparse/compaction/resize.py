"""Update the size attributes of layers to the shapes of their parameters."""

from typing import Any

from torch import nn
from torch.nn import Module
from torch_geometric.nn import (
    MLP,
    BatchNorm,
    GCN2Conv,
    GCNConv,
    GraphConv,
    Linear,
    SAGEConv,
    SGConv,
)
from torch_geometric.nn.models.basic_gnn import BasicGNN

from gsparse.compaction.attention import ATTENTION

# ruff: noqa: ANN401 (attributes of layers of any kind)


def set_sizes(model: Module) -> None:
    """Set ``in_channels``, ``out_channels`` and similar attributes of all layers.

    ``hidden_channels`` of PyG's models is set to the largest width.
    """
    for module in [*model.modules()][::-1]:  # layers first, then modules around them
        if isinstance(module, nn.Linear):
            module.out_features, module.in_features = module.weight.shape
        elif isinstance(module, nn.PReLU):
            module.num_parameters = module.weight.numel()
        elif isinstance(module, Linear):
            module.out_channels, module.in_channels = module.weight.shape
        elif isinstance(module, BatchNorm):
            module.in_channels = module.module.num_features
        elif isinstance(module, ATTENTION):
            _set_attention(module)
        elif isinstance(module, GCNConv | SGConv):
            if not hasattr(module.lin, "weight"):  # of GCNII, only a propagation
                continue
            module.out_channels, module.in_channels = module.lin.weight.shape
        elif isinstance(module, GCN2Conv):
            module.channels = module.weight1.size(0)
        elif isinstance(module, SAGEConv):
            _set_sage(module)
        elif isinstance(module, GraphConv):
            module.out_channels = module.lin_rel.weight.size(0)
            _set_inputs(module, module.lin_rel, module.lin_root)
        elif isinstance(module, MLP):
            sizes = [lin.weight.size(0) for lin in module.lins]
            module.channel_list = [module.lins[0].weight.size(1), *sizes]
        elif isinstance(module, BasicGNN):
            _set_model(module)


def _set_inputs(conv: Any, source: Any, target: Any) -> None:
    """Set ``in_channels`` to a number or a pair, as it was before."""
    first = source.weight.size(1)
    if isinstance(conv.in_channels, int):
        conv.in_channels = first
    else:
        second = conv.in_channels[1] if target is None else target.weight.size(1)
        conv.in_channels = type(conv.in_channels)((first, second))


def _set_sage(conv: Any) -> None:
    conv.out_channels = conv.lin_l.weight.size(0)
    source = conv.lin if conv.project else conv.lin_l
    _set_inputs(conv, source, conv.lin_r if conv.root_weight else None)


def _set_attention(conv: Any) -> None:
    pairs = [("lin", "lin"), ("lin_src", "lin_dst"), ("lin_l", "lin_r")]
    for source, target in [*pairs, ("lin_key", "lin_query")]:
        first = getattr(conv, source, None)
        if first is not None:
            _set_inputs(conv, first, getattr(conv, target))
            return


def _set_model(model: Any) -> None:
    convs = list(model.convs)
    first = convs[0]
    if hasattr(first, "in_channels"):
        model.in_channels = first.in_channels
    elif hasattr(first, "nn"):
        model.in_channels = first.nn.in_channels
    hidden = convs if model.jk_mode is not None else convs[:-1]
    widths = [_width(conv) for conv in hidden]
    if widths:
        model.hidden_channels = max(widths)
    if not hasattr(model, "lin"):
        model.out_channels = _width(convs[-1])


def _width(conv: Any) -> int:
    if hasattr(conv, "nn"):
        return conv.nn.out_channels
    heads = getattr(conv, "heads", 1) if getattr(conv, "concat", False) else 1
    return conv.out_channels * heads

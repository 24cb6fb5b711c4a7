"""Removes paths that nothing flows through, and channels that are nearly empty."""

from typing import Any

import torch
from torch import Tensor

from gsparse.compaction.dead import needed_units
from gsparse.compaction.groups import Member, groups_with_units
from gsparse.compaction.operations import Needs
from gsparse.compaction.trace import trace
from gsparse.nn.final_masks import check_final, unmasked_copy
from gsparse.prune.masks import WeightMasks
from gsparse.prune.structured.structure_checks import check_positive
from gsparse.prune.weight_pruner import WeightPruner


@torch.no_grad()
def remove_unused_paths(
    masks: WeightMasks | WeightPruner, example: tuple[Any, ...]
) -> int:
    r"""Masks the weights that cannot change an output: Unused Path Removal of the
    `"Tiny but Accurate: A Pruned, Quantized and Optimized Memristor Crossbar Framework
    for Ultra Efficient DNN Implementation" <https://arxiv.org/abs/1908.10017>`_ paper.

    A unit that is 0 for every node is read by columns that do nothing: they go. A unit
    that no column reads, in none of its consumers, is made by rows that do nothing:
    they go too, and with them what only they read. A run has no cycles, so one pass
    back from its outputs finds all, and a second call finds nothing. Outputs stay the
    same to rounding, for any features and edges.

    The model is run on an example to see which weights belong to the same units, as by
    :func:`~gsparse.compaction.channel_groups`. A unit without weights but with a
    bias is a constant and not 0: it is left alone, since :math:`\hat{A} c` differs from
    node to node. Attention reads a unit too, through its scores. Weights without a mask
    (the last layer, by default) are not changed, but count as readers.

    Costs a copy of the model and a forward pass. Use it before
    :func:`~gsparse.prune.quantise_weights` or :func:`crossbar_count`;
    :func:`~gsparse.compaction.compact` finds these paths itself.

    Differences from the paper: it follows the graph of a traced model, so that sums,
    several readers and attention are told apart; it moves no constant into a bias.

    Args:
        masks: Masks of a model, or a pruner that is done; changed in place.
        example: The tuple of arguments that the model is called with.

    Returns:
        How many weights went.

    Raises:
        ValueError: If the pruner is not done, or the model does something to its
            channels that is not known.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import WeightMasks
        >>> from gsparse.compaction import remove_unused_paths
        >>> model = GCN(4, 3, num_layers=2, out_channels=2, bias=False)
        >>> masks = WeightMasks(model, targets=r"lin\.weight")
        >>> masks["convs.0.lin.weight"] = torch.arange(12).view(3, 4) > 3
        >>> example = torch.ones(2, 4), torch.tensor([[0, 1], [1, 0]])
        >>> remove_unused_paths(masks, example)
        2
        >>> masks["convs.1.lin.weight"]
        tensor([[False,  True,  True],
                [False,  True,  True]])
    """
    held = _final_masks(masks)
    before = held.report().num_kept
    recording = trace(unmasked_copy(held.model), example)
    classes = recording.units.classes()
    # No constant may be moved to a bias: masks cannot say that.
    needs = Needs(classes, torch.ones(classes.numel(), dtype=torch.bool))
    kept = needed_units(recording, needs, torch.zeros_like(needs.unfoldable))
    for axis in recording.axes.values():
        _mask_out(held, [Member(axis.name, axis.dim, 0)], ~kept[classes[axis.units]])
    return before - held.report().num_kept


@torch.no_grad()
def purify(
    masks: WeightMasks | WeightPruner,
    example: tuple[Any, ...],
    emptiness: float = 0.9,
    weakness: float = 0.5,
) -> int:
    r"""Masks channels that pruning left nearly empty, then :func:`remove_unused_paths`:
    Network Purification of the `"Tiny but Accurate: A Pruned, Quantized and Optimized
    Memristor Crossbar Framework for Ultra Efficient DNN Implementation"
    <https://arxiv.org/abs/1908.10017>`_ paper.

    For a hidden unit c, with all columns that read it, :math:`\eta_c` is the fraction
    of their entries that are zero and :math:`\sigma_c` the L2 norm of the others, in
    parts of its mean over the units of the group that are read at all. The columns go
    if :math:`\eta_c \ge \eta^*` and :math:`\sigma_c \le \sigma^*`. The strongest unit
    of a group stays.

    This changes outputs: train on for some epochs afterwards. Weights without a mask
    count as entries but do not change, so give the last layer a mask if the units
    before it are to be purified. Do not use it where rows or columns were pruned whole:
    there is nothing nearly empty.

    Costs twice what :func:`remove_unused_paths` does.

    Differences from the paper: its thresholds, and how it measures importance, are not
    known to us. This definition and its defaults are ours.

    Args:
        masks: Masks of a model, or a pruner that is done; changed in place.
        example: The tuple of arguments that the model is called with.
        emptiness: The least fraction of zeros :math:`\eta^*`, in [0, 1].
        weakness: The largest relative norm :math:`\sigma^*`, at least 0.

    Returns:
        How many weights went, those of unused paths too.

    Raises:
        ValueError: If a threshold is out of range, the pruner is not done, or the model
            does something to its channels that is not known.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import WeightMasks
        >>> from gsparse.compaction import purify
        >>> model = GCN(4, 3, num_layers=2, out_channels=2, bias=False)
        >>> for conv in model.convs:
        ...     _ = torch.nn.init.ones_(conv.lin.weight)
        >>> masks = WeightMasks(model, targets=r"lin\.weight")
        >>> model.convs[1].lin._parameters["weight"].data[0, 0] = 0.1
        >>> masks["convs.1.lin.weight"] = torch.arange(6).view(2, 3) != 3
        >>> example = torch.ones(2, 4), torch.tensor([[0, 1], [1, 0]])
        >>> purify(masks, example, emptiness=0.5)
        5
        >>> masks["convs.0.lin.weight"].any(dim=1)
        tensor([False,  True,  True])
    """
    _check_thresholds(emptiness, weakness)
    held = _final_masks(masks)
    before = held.report().num_kept
    model = unmasked_copy(held.model)
    values = dict(model.named_parameters())
    for group, _ in groups_with_units(trace(model, example), model):
        if group.kind != "hidden" or not group.consumers:
            continue
        columns = torch.cat(
            [it.rows(values[it.parameter], group.size) for it in group.consumers], dim=1
        )
        weak = weak_channels(columns, emptiness, weakness)
        _mask_out(held, group.consumers, weak)
    remove_unused_paths(held, example)
    return before - held.report().num_kept


def weak_channels(columns: Tensor, emptiness: float, weakness: float) -> Tensor:
    r"""Which channels are nearly empty and weak; never the strongest.

    Args:
        columns: The weights that read each channel.
        emptiness: The least fraction of zeros.
        weakness: The largest norm, in parts of the mean of those that are not zero.

    Shapes:
        - **columns:** :math:`(C, n)`
        - **output:** :math:`(C)`

    Example:
        >>> import torch
        >>> from gsparse.compaction.purify import weak_channels
        >>> columns = torch.tensor([[0.0, 0.1], [0.0, 2.0], [0.1, 0.1], [3.0, 0.0]])
        >>> weak_channels(columns, emptiness=0.5, weakness=0.5)
        tensor([ True, False, False, False])
    """
    zeros = (columns == 0).double().mean(dim=1)
    norms = columns.double().norm(dim=1)
    read = norms > 0
    if not read.any():
        return torch.zeros_like(read)
    weak = read & (zeros >= emptiness) & (norms <= weakness * norms[read].mean())
    weak[norms.argmax()] = False
    return weak


def crossbar_count(weight: Tensor, rows: int, columns: int) -> int:
    r"""How many arrays of a size a matrix takes: its tiles that are not all zero.

    Args:
        weight: A weight, or its mask.
        rows: Of an array.
        columns: Of an array.

    Shapes:
        - **weight:** :math:`(F_{out}, F_{in})`

    Raises:
        ValueError: If it is no matrix, or an array has no size.

    Example:
        >>> import torch
        >>> from gsparse.compaction import crossbar_count
        >>> crossbar_count(torch.eye(5), rows=2, columns=2)
        3
    """
    check_positive("rows", rows)
    check_positive("columns", columns)
    if weight.dim() != 2:
        raise ValueError(f"'weight' must be a matrix (got shape {list(weight.shape)})")
    places = (weight != 0).nonzero()
    return len((places // places.new_tensor([rows, columns])).unique(dim=0))


def _mask_out(
    masks: WeightMasks, members: list[Member] | tuple[Member, ...], units: Tensor
) -> None:
    """Mask the parts of parameters that belong to these units, where they have one."""
    for member in members:
        if member.parameter in masks.targets:
            keep = masks[member.parameter].clone()
            member.rows(keep, len(units))[units.to(keep.device)] = False
            masks[member.parameter] = keep


def _final_masks(masks: WeightMasks | WeightPruner) -> WeightMasks:
    if isinstance(masks, WeightPruner):
        if not masks.done:
            raise ValueError(
                f"'masks' must be final (got {masks} on its way); call its finalize() "
                "first"
            )
        masks = masks.masks
    if not isinstance(masks, WeightMasks):
        raise TypeError(
            f"'masks' must be WeightMasks or a pruner (got {type(masks).__name__})"
        )
    check_final(masks.model)
    return masks


def _check_thresholds(emptiness: float, weakness: float) -> None:
    if not 0 <= emptiness <= 1:
        raise ValueError(f"'emptiness' must be in [0, 1] (got {emptiness})")
    if not 0 <= weakness < float("inf"):
        raise ValueError(f"'weakness' must be at least 0 and finite (got {weakness})")

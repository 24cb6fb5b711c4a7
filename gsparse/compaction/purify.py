"""Remove unused paths and nearly empty channels."""

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
    r"""Mask the weights that cannot change an output: Unused Path Removal of the `"Tiny
    but Accurate: A Pruned, Quantized and Optimized Memristor Crossbar Framework for
    Ultra Efficient DNN Implementation" <https://arxiv.org/abs/1908.10017>`_ paper.

    Columns that read a unit that is 0 for every node have no effect and are masked.
    Rows that produce a unit that no consumer reads have no effect and are masked too,
    together with everything that only they read. A run has no cycles, so one backward
    pass from the outputs finds all of them, and a second call finds nothing. Outputs
    stay the same up to rounding, for any features and edges.

    The model is run on an example to find which weights belong to the same units, as in
    :func:`~gsparse.compaction.channel_groups`. A unit without weights but with a bias
    is a constant other than 0: it is not changed, since :math:`\hat{A} c` differs
    between nodes. Attention scores also read units. Weights without a mask (by default
    the last layer) are not changed, but count as readers.

    It costs a copy of the model and a forward pass. Use it before
    :func:`~gsparse.prune.quantise_weights` or :func:`crossbar_count`. It is not needed
    before :func:`~gsparse.compaction.compact`, which finds these paths itself.

    Differences from the paper: it uses the graph of a traced model, so that it
    distinguishes sums, several readers and attention; it moves no constant into a bias.

    Args:
        masks: Masks of a model, or a finished pruner; changed in place.
        example: The tuple of arguments that the model is called with.

    Returns:
        The number of removed weights.

    Raises:
        ValueError: If the pruner has not finished, or the model uses an unknown
            operation on its channels.

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
    # Masks cannot move a constant to a bias, so none may be folded.
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
    r"""Mask channels that pruning left nearly empty, then call
    :func:`remove_unused_paths`: Network Purification of the `"Tiny but Accurate: A
    Pruned, Quantized and Optimized Memristor Crossbar Framework for Ultra Efficient DNN
    Implementation" <https://arxiv.org/abs/1908.10017>`_ paper.

    For a hidden unit c, :math:`\eta_c` is the fraction of zeros in all columns that
    read it, and :math:`\sigma_c` is the L2 norm of these columns divided by the mean
    norm over the units of the group that are read at all. The columns are masked if
    :math:`\eta_c \ge \eta^*` and :math:`\sigma_c \le \sigma^*`. The strongest unit of a
    group is kept.

    This changes outputs: train for some epochs afterwards. Weights without a mask count
    as entries but are not changed, so mask the last layer too if the units before it
    are to be purified. Do not use it after pruning whole rows or columns, where no
    channel is nearly empty.

    It costs twice as much as :func:`remove_unused_paths`.

    Differences from the paper: it publishes neither its thresholds nor its measure of
    importance. This definition and its defaults are ours.

    Args:
        masks: Masks of a model, or a finished pruner; changed in place.
        example: The tuple of arguments that the model is called with.
        emptiness: Smallest fraction of zeros :math:`\eta^*`, in [0, 1].
        weakness: Largest relative norm :math:`\sigma^*`, at least 0.

    Returns:
        The number of removed weights, including those of unused paths.

    Raises:
        ValueError: If a threshold is out of range, the pruner has not finished, or the
            model uses an unknown operation on its channels.

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
    r"""Return which channels are nearly empty and weak; the strongest one never is.

    Args:
        columns: The weights that read each channel.
        emptiness: Smallest fraction of zeros.
        weakness: Largest norm, relative to the mean of the non-zero norms.

    Shapes:
        - **columns:** :math:`(C, n)`
        - **output:** :math:`(C,)`

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
    r"""Return the number of arrays of a given size that a matrix needs: its non-zero
    tiles.

    Args:
        weight: A weight, or its mask.
        rows: Number of rows of an array.
        columns: Number of columns of an array.

    Shapes:
        - **weight:** :math:`(F_{out}, F_{in})`

    Raises:
        ValueError: If ``weight`` is not a matrix, or a size is not positive.

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
    """Mask the parts of masked parameters that belong to these units."""
    for member in members:
        if member.parameter in masks.targets:
            keep = masks[member.parameter].clone()
            member.rows(keep, len(units))[units.to(keep.device)] = False
            masks[member.parameter] = keep


def _final_masks(masks: WeightMasks | WeightPruner) -> WeightMasks:
    if isinstance(masks, WeightPruner):
        if not masks.done:
            raise ValueError(
                f"'masks' must be final (got {masks}, which has not finished); call "
                "its finalize() first"
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

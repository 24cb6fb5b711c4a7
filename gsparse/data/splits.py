"""Split nodes into training, validation and test nodes."""

import copy
import re

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import index_to_mask

from gsparse.data.random_stream import RandomStream

GIVEN = ("public", "geom-gcn", "given")
_ALIASES = {"random": "random-20-30", "60/20/20": "60-20-20"}
_PER_CLASS = re.compile(r"random-(\d+)-(\d+)")
_MASKS = ("train_mask", "val_mask", "test_mask")
_SIXTY = 2**32  # stream number, larger than all class numbers


def split_name(kind: str) -> str:
    """Return the canonical name of a split, as used in cards and rows.

    Example:
        >>> split_name("60/20/20"), split_name("random")
        ('60-20-20', 'random-20-30')

    Raises:
        ValueError: If there is no such split.
    """
    name = _ALIASES.get(kind.lower(), kind.lower())
    if name == "inductive":
        raise ValueError(
            "'split' must give masks, and 'inductive' gives two graphs; "
            "choose a split, then call gsparse.data.inductive(data)"
        )
    if name not in (*GIVEN, "60-20-20") and not _PER_CLASS.fullmatch(name):
        raise ValueError(
            f"'split' must be one of {', '.join(GIVEN)}, random, 60-20-20 "
            f"or random-<train>-<val> (got {kind!r})"
        )
    return name


def split(data: Data, kind: str, seed: int = 0) -> Data:
    """Return a copy of a graph with the masks of a split.

    - ``"public"``: the masks of the data set.
    - ``"geom-gcn"``, ``"given"``: column ``seed`` of the masks of the data set (ten
      splits by its authors; larger seeds start again from the first).
    - ``"random-T-V"``: T training and V validation nodes per class, all others are test
      nodes; ``"random"`` is ``"random-20-30"``.
    - ``"60-20-20"`` (or ``"60/20/20"``): percentages of all labelled nodes regardless
      of their class, rounded to the nearest node.

    Random splits depend on ``seed`` and the labels only, so they are the same on every
    machine and with every version of PyTorch and NumPy. Nodes without a label (``y`` is
    -1) are in no mask.

    Args:
        data: Graph with labels ``y``.
        kind: Name of the split.
        seed: Number of the split of this kind.

    Returns:
        A shallow copy with ``train_mask``, ``val_mask`` and ``test_mask``.

    Shapes:
        - **data.y:** :math:`(N,)`, or :math:`(N, C)` with several labels per node
        - **masks:** :math:`(N,)`

    Raises:
        ValueError: If the kind is unknown, the data has no such masks, or a class has
            too few nodes.
    """
    kind = split_name(kind)
    labelled = _labelled(data)
    per_class = _PER_CLASS.fullmatch(kind)
    if per_class:
        num_train, num_val = (int(number) for number in per_class.groups())
        masks = _per_class_masks(data.y, labelled, num_train, num_val, seed)
    elif kind == "60-20-20":
        masks = _share_masks(labelled, seed)
    else:
        masks = _given_masks(data, kind, seed)
    out = copy.copy(data)
    for name, mask in zip(_MASKS, masks, strict=True):
        out[name] = mask.to(labelled.device) & labelled
    return out


def _labelled(data: Data) -> Tensor:
    y = data.y
    if not isinstance(y, Tensor):
        raise ValueError("a split needs labels 'y' (got none)")
    return y != -1 if y.dim() == 1 else y.new_ones(len(y), dtype=torch.bool)


def _given_masks(data: Data, kind: str, seed: int) -> list[Tensor]:
    columns = 1 if kind == "public" else 2
    masks: list[Tensor] = [data[name] for name in _MASKS if name in data]
    if len(masks) != 3 or any(mask.dim() != columns for mask in masks):
        have = f"{masks[0].dim()}-d masks" if masks else "no masks"
        raise ValueError(f"split {kind!r} needs {columns}-d masks (got {have})")
    return masks if columns == 1 else [mask[:, seed % mask.size(1)] for mask in masks]


def _share_masks(labelled: Tensor, seed: int) -> list[Tensor]:
    nodes = labelled.cpu().nonzero().flatten()
    order = RandomStream(seed, _SIXTY).permutation(len(nodes))
    nodes = nodes[torch.from_numpy(order)]
    first, second = round(0.6 * len(nodes)), round(0.8 * len(nodes))
    parts = nodes[:first], nodes[first:second], nodes[second:]
    return [index_to_mask(part, len(labelled)) for part in parts]


def _per_class_masks(
    y: Tensor, labelled: Tensor, num_train: int, num_val: int, seed: int
) -> list[Tensor]:
    if y.dim() != 1:
        raise ValueError(
            f"a split by class needs one label per node (got a {y.dim()}-d 'y'); use "
            "'60-20-20'"
        )
    y, labelled = y.cpu(), labelled.cpu()
    parts = []
    for label in y[labelled].unique().tolist():
        nodes = (y == label).nonzero().flatten()
        if len(nodes) <= num_train + num_val:
            raise ValueError(
                f"every class must have more than {num_train + num_val} labelled "
                f"nodes (got {len(nodes)} in class {label}); use '60-20-20'"
            )
        order = RandomStream(seed, int(label)).permutation(len(nodes))
        nodes = nodes[torch.from_numpy(order)]
        parts.append(nodes.tensor_split([num_train, num_train + num_val]))
    return [index_to_mask(torch.cat(part), len(y)) for part in zip(*parts, strict=True)]

"""Sequences of tasks: the classes of one graph in parts, or one graph after another.

A task is a :class:`torch_geometric.data.Data` with labels from 0 and its own masks. The
model knows to which task a node belongs.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.train.scores import check_class_numbers

MASKS = ("train_mask", "val_mask", "test_mask")


def class_tasks(data: Data, num_tasks: int, seed: int = 0) -> list[Data]:
    """Split the classes of a graph into tasks; every class is in one task.

    Each task has the whole graph with all features. Nodes of other classes have the
    label -1 and are in none of its masks. The seed determines the order of the classes;
    the numbers of classes differ by at most one, and the larger tasks come first.

    Args:
        data: A graph with ``y`` and the three masks of one split.
        num_tasks: Number of tasks, of at least two classes each.
        seed: Random seed of the order of the classes.

    Returns:
        Graphs that share everything but ``y`` and the masks; ``classes`` holds the old
        labels.

    Shapes:
        - **y, train_mask, val_mask, test_mask:** :math:`(N,)`

    Raises:
        ValueError: If there are fewer than two classes for a task, or a class has no
            node in a mask.

    Example:
        >>> from gsparse.data import planted_partition, split
        >>> from gsparse.train import class_tasks
        >>> data = planted_partition(300, num_classes=5, seed=3)
        >>> tasks = class_tasks(split(data, "random", seed=3), num_tasks=2, seed=3)
        >>> [len(task.classes) for task in tasks]
        [3, 2]
        >>> tasks[0].y.unique().tolist()
        [-1, 0, 1, 2]
    """
    classes = _checked_classes(data)
    if not 1 <= num_tasks <= len(classes) // 2:
        raise ValueError(
            f"'num_tasks' must leave two classes for each task, {len(classes) // 2} "
            f"tasks of {len(classes)} classes at most (got {num_tasks}); "
            "binary_tasks() takes one class against the rest for each"
        )
    order = _shuffled(classes, seed)
    return [_task(data, part) for part in order.tensor_split(num_tasks)]


def binary_tasks(data: Data, num_tasks: int, seed: int = 0) -> list[Data]:
    """Create tasks of one class against the others, with equally many nodes of both.

    Use it for graphs with too few classes for :func:`class_tasks`. Each task has a new
    class; the nodes of other classes are sampled again for every task and mask. The
    class of one task may thus be among the others of another task, and guessing is
    right for half of the nodes.

    Args:
        data: A graph with ``y`` and the three masks of one split.
        num_tasks: Number of tasks, at most one per class.
        seed: Random seed of the order of the classes and of the sampled nodes.

    Returns:
        Graphs that share everything but ``y`` (1 for the class) and the masks;
        ``classes`` holds the old label of the class.

    Raises:
        ValueError: If there are fewer classes than tasks, or a class has no node in a
            mask.

    Example:
        >>> from gsparse.data import planted_partition, split
        >>> from gsparse.train import binary_tasks
        >>> data = planted_partition(300, num_classes=3, seed=3)
        >>> task = binary_tasks(split(data, "random", seed=3), num_tasks=3, seed=3)[0]
        >>> task.y[task.train_mask].bincount()
        tensor([20, 20])
    """
    classes = _checked_classes(data)
    if len(classes) < 2 or not 1 <= num_tasks <= len(classes):
        raise ValueError(
            f"'num_tasks' must be from 1 to the number of classes, {len(classes)} "
            f"(got {num_tasks})"
        )
    generator = torch.Generator().manual_seed(seed)
    found = []
    for label in _shuffled(classes, seed)[:num_tasks]:
        task = _shallow(data, label[None])
        task.y = torch.where(data.y < 0, data.y, (data.y == label).long())
        for name in MASKS:
            task[name] = _balanced(task.y, data[name], generator)
        found.append(task)
    return found


def graph_tasks(graphs: Sequence[Data]) -> list[Data]:
    """Create one task per graph, in this order; the graphs must have the same features.

    Args:
        graphs: Graphs with ``x``, ``y`` and three masks.

    Raises:
        ValueError: If there is no graph, one lacks an attribute, or the numbers of
            features differ.

    Example:
        >>> from gsparse.data import planted_partition, split
        >>> from gsparse.train import graph_tasks
        >>> graphs = [planted_partition(n, num_classes=2, seed=n) for n in (150, 200)]
        >>> tasks = graph_tasks([split(it, "random", seed=3) for it in graphs])
        >>> [task.num_nodes for task in tasks]
        [150, 200]
    """
    if not graphs:
        raise ValueError("'graphs' must not be empty (got no graph)")
    for graph in graphs:
        _checked_classes(graph)
    widths = [graph.x.size(1) for graph in graphs]
    if len(set(widths)) > 1:
        raise ValueError(
            f"'graphs' must share their features (got {widths} of them); "
            "bring them to one vocabulary first"
        )
    return [_shallow(graph, _checked_classes(graph)) for graph in graphs]


def _checked_classes(data: Data) -> Tensor:
    """Return the labels of a graph that has everything that a task needs."""
    for key in ("x", "y", *MASKS):
        if not isinstance(data.get(key), Tensor):
            raise ValueError(f"'data' must have {key!r} (got {sorted(data.keys())})")
    check_class_numbers(data.y)
    classes = data.y[data.y >= 0].unique()
    for name in MASKS:
        there = data.y[data[name]].unique()
        missing = classes[~torch.isin(classes, there)].tolist()
        if missing:
            raise ValueError(
                f"{name!r} must have nodes of every class (got none of {missing}); "
                "choose another split"
            )
    return classes


def _shuffled(classes: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return classes[torch.randperm(len(classes), generator=generator).to(classes.device)]


def _shallow(data: Data, classes: Tensor) -> Data:
    out = copy.copy(data)
    out.classes = classes
    return out


def _task(data: Data, classes: Tensor) -> Data:
    """Return the graph with the labels of some classes, numbered from 0 in
    their order.
    """
    out, classes = _shallow(data, classes), classes.sort().values
    out.classes = classes
    place = torch.searchsorted(classes, data.y.clamp(min=0))
    place = place.clamp(max=len(classes) - 1)
    out.y = torch.where(classes[place] == data.y, place, -1)
    for name in MASKS:
        out[name] = data[name] & (out.y >= 0)
    return out


def _balanced(y: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """Return a mask with equally many nodes of label 1 and label 0."""
    sides = [(mask & (y == label)).nonzero().flatten() for label in (0, 1)]
    count, out = min(map(len, sides)), torch.zeros_like(mask)
    for nodes in sides:
        order = torch.randperm(len(nodes), generator=generator).to(nodes.device)
        out[nodes[order[:count]]] = True
    return out

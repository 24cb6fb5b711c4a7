"""Baselines of rank updates: shared models with task heads, and separate models."""

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, ModuleList
from torch.nn.functional import pad

from gsparse.nn.calling import Arguments
from gsparse.nn.replace_modules import replace_modules
from gsparse.nn.seeded import seeded
from gsparse.nn.stale_caches import forget
from gsparse.train.incremental.output_layer import find_output_layer, output_layer_like
from gsparse.train.incremental.shared_weights import count_numbers
from gsparse.train.incremental.task_learner import TaskLearner

# ruff: noqa: ANN401 (the wrapped model takes and returns anything)


class TaskHeads(TaskLearner):
    """A model that all tasks share except for its output layer.

    Trained task after task it forgets, since later tasks change weights that earlier
    ones read. With ``freeze=True`` only the first task trains the shared part and the
    statistics of its norms: nothing is forgotten, but later tasks can use only the
    hidden features of the first one.

    Args:
        model: Defines the architecture and the initial weights; copied.
        freeze: Whether later tasks train only their output layers.
        head: Name of the output layer; detected by default.
        seed: Random seed of the output layers.

    Example:
        >>> import torch
        >>> from gsparse.train import GCN
        >>> from gsparse.train.incremental.task_heads import TaskHeads
        >>> model = TaskHeads(GCN(8, 16, 2), seed=3)
        >>> for num_classes in (4, 3):
        ...     _ = model.add_task(num_classes)
        >>> x, edge_index = torch.ones(5, 8), torch.tensor([[0, 1], [1, 0]])
        >>> model.select(0)(x, edge_index).shape
        torch.Size([5, 4])
    """

    def __init__(
        self,
        model: Module,
        *,
        freeze: bool = False,
        head: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.head = find_output_layer(model) if head is None else head
        self.model = copy.deepcopy(model)
        self.tasks = ModuleList()
        self.freeze, self.seed = freeze, seed

    def add_task(self, num_classes: int) -> int:
        """Add an output layer for a new task, and select it.

        Args:
            num_classes: Number of classes of the new task.

        Returns:
            The number of the task, counted from 0.
        """
        with seeded(self.seed + self.num_tasks):
            head = output_layer_like(self.model.get_submodule(self.head), num_classes)
        if self.num_tasks and self.freeze:
            self.model.requires_grad_(False)
        self.tasks.requires_grad_(False)
        self.tasks.append(head.requires_grad_(True))
        self.select(self.num_tasks - 1).train(self.training)
        return self.num_tasks - 1

    def select(self, task: int) -> "TaskHeads":
        """Select the task of later calls.

        Raises:
            ValueError: If the task does not exist.
        """
        super().select(task)
        before = self.model.get_submodule(self.head)
        replace_modules(self.model, {before: self.tasks[task]})
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the logits for the selected task."""
        return self.model(*args, **kwargs)

    def train(self, mode: bool = True) -> "TaskHeads":
        """Set the training mode; a frozen body keeps its statistics."""
        super().train(mode)
        if self.freeze and self.num_tasks > 1:
            for module in self.model.modules():
                if getattr(module, "track_running_stats", False):
                    module.eval()
        return self

    def storage(self) -> int:
        """Return the number of values in the shared part and all output layers."""
        shared = count_numbers(self.model)
        shared -= count_numbers(self.model.get_submodule(self.head))
        return shared + count_numbers(self.tasks)


class SeparateModels(TaskLearner):
    """One model per task, with the interface of ``TaskHeads``.

    Args:
        model: Defines the architecture and the initial weights.
        seed: Random seed of the output layers.
    """

    def __init__(self, model: Module, seed: int = 0) -> None:
        super().__init__()
        self.seed, self.tasks, self._first = seed, ModuleList(), (model,)

    def add_task(self, num_classes: int) -> int:
        """Add a model for a new task, and select it; earlier models do not change."""
        self.tasks.requires_grad_(False)
        model = TaskHeads(self._first[0], seed=self.seed + len(self.tasks))
        model.add_task(num_classes)
        self.tasks.append(model.model)
        self.select(self.num_tasks - 1)
        return self.num_tasks - 1

    @property
    def model(self) -> Module:
        """The model of the selected task."""
        return self.tasks[self._check(self.current)]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the logits for the selected task."""
        return self.model(*args, **kwargs)

    def storage(self) -> int:
        """Return the number of values in all models."""
        return count_numbers(self.tasks)


class AllTasks(Module):
    """Logits of all nodes of all tasks, concatenated, for joint training.

    Logits of classes that a task does not have are the lowest number of the dtype.

    Args:
        model: A model with all tasks added.
        arguments: Arguments of the model for each task.
    """

    def __init__(self, model: TaskHeads, arguments: list[Arguments]) -> None:
        super().__init__()
        self.model, self.arguments = model, arguments

    def forward(self, x: Any = None, edge_index: Any = None) -> Tensor:
        """Return the logits for the stored arguments; the given graph is ignored."""
        scores = []
        for number, arguments in enumerate(self.arguments):
            forget(self.model)  # clear the graph of another task
            scores.append(arguments.call(self.model.select(number)))
        width = max(it.size(1) for it in scores)
        lowest = torch.finfo(scores[0].dtype).min
        return torch.cat([pad(s, (0, width - s.size(1)), value=lowest) for s in scores])

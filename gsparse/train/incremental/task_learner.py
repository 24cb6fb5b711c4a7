"""Base class of learners that answer for one of several tasks."""

from typing import TypeVar

from torch.nn import Module, ModuleList

L = TypeVar("L", bound="TaskLearner")


class TaskLearner(Module):
    """Base class of models with one part per task and a selected task."""

    tasks: ModuleList
    current: int | None = None

    @property
    def num_tasks(self) -> int:
        """Number of tasks added so far."""
        return len(self.tasks)

    def select(self: L, task: int) -> L:
        """Select the task of later calls.

        Raises:
            ValueError: If the task does not exist.
        """
        self.current = self._check(task)
        return self

    def _check(self, task: int | None) -> int:
        if task is None or not 0 <= task < self.num_tasks:
            raise ValueError(
                f"'task' must be one of the {self.num_tasks} tasks added so far, from "
                f"0 (got {task}); call add_task() first"
            )
        return task

"""Learn tasks one after another, by rank updates or a baseline."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from time import perf_counter
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.nn.calling import call_arguments
from gsparse.train.fit import evaluate, fit, predict_logits, prepare
from gsparse.train.fit_config import FitConfig
from gsparse.train.incremental.rank_update import RankUpdate
from gsparse.train.incremental.task_heads import AllTasks, SeparateModels, TaskHeads
from gsparse.train.incremental.tasks import MASKS
from gsparse.train.recipes import num_classes

Method = Literal["RankUpdate", "Separate", "FineTune", "FrozenBody", "Joint"]
METHODS: tuple[Method, ...] = get_args(Method)
Learner = RankUpdate | TaskHeads | SeparateModels


@dataclass(frozen=True)
class TaskScores:
    """Scores of a sequence of tasks, and the storage that the result needs.

    Args:
        scores: Row ``t`` holds the scores of tasks 0 to ``t`` after task ``t`` was
            learned; joint training has the last row only.
        val_scores: The same on validation nodes.
        storage: Number of stored values.
        best_epochs: Best epoch of each training.
        seconds: Total training time.
        output_change: Largest change of a task's logits since it was learned.
    """

    scores: list[list[float]]
    val_scores: list[list[float]]
    storage: int
    best_epochs: list[int]
    seconds: float
    output_change: float

    @property
    def final(self) -> list[float]:
        """Score of each task after all were learned."""
        return self.scores[-1]

    @property
    def mean(self) -> float:
        """Mean of the final scores."""
        return fmean(self.final)

    @property
    def forgetting(self) -> float:
        """Score of a task when it was learned minus its final score, on average.

        The average is over all tasks but the last; it is 0 for one task and for joint
        training.

        Example:
            >>> from gsparse.train import TaskScores
            >>> found = TaskScores([[0.9], [0.7, 0.8]], [], 0, [], 0.0, 0.0)
            >>> round(found.forgetting, 3)
            0.2
        """
        learned = [row[-1] for row in self.scores[:-1]]
        pairs = zip(learned, self.final, strict=False)
        return fmean(first - last for first, last in pairs) if learned else 0.0


def fit_tasks(
    method: Method,
    model: Module,
    tasks: Sequence[Data],
    *,
    config: FitConfig | None = None,
    seed: int = 0,
    mask: str = "test_mask",
    callback: Callable[[int, Module], None] | None = None,
    **options: Any,  # noqa: ANN401 (of RankUpdate)
) -> TaskScores:
    """Learn tasks one after another with :func:`~gsparse.train.fit`, and score them
    all.

    - ``"RankUpdate"``: :class:`~gsparse.train.RankUpdate`.
    - ``"Separate"``: one model per task, the upper bound of storage.
    - ``"FineTune"``: one model that is trained task after task, with one output layer
      per task.
    - ``"FrozenBody"``: the first task's model, with an output layer per later task.
    - ``"Joint"``: one model with one output layer per task, trained on all tasks at
      once; every training node has the same weight.

    Args:
        method: Name of the method.
        model: Defines the architecture and the initial weights; not changed.
        tasks: Tasks, for example of :func:`~gsparse.train.class_tasks`.
        config: Settings of the fit of each task.
        seed: Random seed of output layers, factors and fits.
        mask: Name of the mask of the scored nodes; use ``"val_mask"`` for tuning.
        callback: Called after each task with the number of learned tasks and the
            learner; not called in joint training.
        **options: Options of ``RankUpdate``, such as ``rank``.

    Raises:
        ValueError: If the method is unknown, there is no task, or options are given to
            a method other than ``RankUpdate``.

    Example:
        >>> from gsparse.data import planted_partition, split
        >>> from gsparse.train import GCN, FitConfig
        >>> from gsparse.train import fit_tasks
        >>> from gsparse.train import class_tasks
        >>> data = planted_partition(240, num_classes=4, seed=91127)
        >>> tasks = class_tasks(split(data, "random", seed=91127), 2, seed=91127)
        >>> model = GCN(data.num_features, 16, 4)
        >>> settings = FitConfig(epochs=30)
        >>> ours = fit_tasks("RankUpdate", model, tasks, config=settings, rank=4)
        >>> alone = fit_tasks("Separate", model, tasks, config=settings)
        >>> ours.forgetting, ours.storage < alone.storage
        (0.0, True)
    """
    if method not in METHODS:
        raise ValueError(f"'method' must be one of {METHODS} (got {method!r})")
    if not tasks:
        raise ValueError("'tasks' must not be empty (got no task)")
    if options and method != "RankUpdate":
        raise ValueError(f"only RankUpdate takes options (got {sorted(options)})")
    config, learner = config or FitConfig(), _learner(method, model, seed, options)
    start, epochs, outputs, rows = perf_counter(), [], [], []
    seconds = 0.0
    if method == "Joint":
        epochs.append(_fit_jointly(learner, tasks, config, seed))
        seconds = perf_counter() - start
        rows.append(_scores(learner, tasks, mask, config.metric))
    else:
        for number, task in enumerate(tasks):
            start = perf_counter()
            learner.add_task(num_classes(task.y))
            epochs.append(fit(learner, task, config=config, seed=seed).best_epoch)
            seconds += perf_counter() - start
            outputs.append(predict_logits(learner, task))
            rows.append(_scores(learner, tasks[: number + 1], mask, config.metric))
            if callback is not None:
                callback(number + 1, learner)
    change = _change(learner, tasks, outputs)
    storage = learner.storage()
    total = storage if isinstance(storage, int) else storage.total
    scores, val_scores = ([row[i] for row in rows] for i in range(2))
    return TaskScores(scores, val_scores, total, epochs, seconds, change)


def _learner(
    method: Method, model: Module, seed: int, options: dict[str, Any]
) -> RankUpdate | TaskHeads | SeparateModels:
    if method == "RankUpdate":
        return RankUpdate(model, **{"seed": seed} | options)
    if method == "Separate":
        return SeparateModels(model, seed)
    return TaskHeads(model, freeze=method == "FrozenBody", seed=seed)


def _fit_jointly(
    learner: Learner, tasks: Sequence[Data], config: FitConfig, seed: int
) -> int:
    """Train on the nodes of all tasks at once, and return the best epoch."""
    assert isinstance(learner, TaskHeads)
    for task in tasks:
        learner.add_task(num_classes(task.y))
    learner.tasks.requires_grad_(True)
    ready = [prepare(task, "train_mask") for task in tasks]
    arguments = [call_arguments(learner, it) for it in ready]
    y = torch.cat([task.y for task in tasks])
    nothing = {"x": torch.ones(len(y), 1), "edge_index": y.new_empty(2, 0)}
    together = Data(y=y, **nothing)
    for name in MASKS:
        together[name] = torch.cat([task[name] for task in tasks])
    return fit(
        AllTasks(learner, arguments), together, config=config, seed=seed
    ).best_epoch


def _scores(
    learner: Learner, tasks: Sequence[Data], mask: str, metric: str
) -> tuple[list[float], list[float]]:
    """Return the scores of every task on the nodes of a mask and on validation
    nodes.
    """
    found: tuple[list[float], list[float]] = [], []
    for number, task in enumerate(tasks):
        model = learner.select(number)
        for scores, name in zip(found, (mask, "val_mask"), strict=True):
            scores.append(evaluate(model, task, name, metric))
    return found


def _change(
    learner: Learner, tasks: Sequence[Data], outputs: Sequence[Tensor]
) -> float:
    """Return the largest change of the logits since each task was learned; 0 without
    tasks.
    """
    found = [0.0]
    for number, before in enumerate(outputs):
        after = predict_logits(learner.select(number), tasks[number])
        found.append((after - before).abs().max().item())
    return max(found)

"""One network for a sequence of tasks, with weights as factors that grow with the
tasks.
"""

import copy
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal, get_args

import torch
from torch.nn import Module, ModuleList, Parameter

from gsparse.edges import draw_seed
from gsparse.nn.replace_modules import replace_modules
from gsparse.nn.seeded import seeded
from gsparse.train.incremental.low_rank import Factors
from gsparse.train.incremental.output_layer import (
    find_output_layer,
    num_outputs,
    output_layer_like,
)
from gsparse.train.incremental.shared_weights import (
    Storage,
    count,
    hidden_linears,
    low_rank_layer,
    without_weights,
)
from gsparse.train.incremental.task_learner import TaskLearner

# ruff: noqa: ANN401 (the wrapped model takes and returns anything)

Start = Literal["zeros", "previous"]


class RankUpdate(TaskLearner):
    r"""Learns tasks one after another by adding a few columns to every weight, from the
    `"Incremental Task Learning with Incremental Rank Updates"
    <https://arxiv.org/abs/2207.09074>`_ paper.

    The linear map of each hidden layer is, for task :math:`t`,

    .. math::
        W_t = U_{1:t} \operatorname{diag}(s_t) V_{1:t}^T, \qquad
        R_t = r_1 + (t - 1) r_2 \text{ columns}

    The first task learns :math:`r_1` columns. Each later task freezes all existing
    columns, adds :math:`r_2` columns, and learns these and a selector :math:`s_t` over
    old and new ones. Each task has its own biases, attention vectors, norms with their
    statistics, and output layer. Nothing that an earlier task reads ever changes: its
    outputs stay bit-identical. The task of a node must be known.

    For :math:`T` tasks a weight of :math:`m \times n` takes
    :math:`(n + m)(r_1 + (T - 1) r_2) + \sum_t R_t` numbers; separate models take
    :math:`T n m`. If tasks have little in common, or ranks are close to the width of
    the layers, use separate models, which are as small and as accurate. If the data of
    all tasks is available at once, train jointly.

    Every convolution whose linear maps are ``torch.nn.Linear`` or PyG's ``Linear`` is
    supported; all other weights are copied per task. The model is copied, without the
    caches of ``cached=True``, and is not changed. The newest task can be trained, by
    :func:`~gsparse.train.fit` or any loop, with an optimiser created after
    :meth:`add_task`; the others stay in evaluation mode.

    As in the paper, the selector of a new task is zero for old columns and one for its
    own; as in the authors' code, factors are initialised orthogonal.
    ``start="previous"`` continues from the previous task instead, with zeros for the
    new columns.

    Args:
        model: Defines the architecture and the initial biases, attention vectors and
            norms.
        rank: Number of columns of the first task, :math:`r_1`; at most the smaller side
            of each layer.
        rank_per_task: Number of columns of each later task, :math:`r_2`; by default
            half of ``rank``, rounded up.
        start: ``"zeros"`` as in the paper, or ``"previous"``.
        head: Name of the output layer in ``named_modules()``; detected by default.
        seed: Random seed of factors and output layers.

    Raises:
        ValueError: If a rank is out of range, the model has no hidden linear layer, or
            one is lazy, has a mask, or shares its weight.

    Example:
        >>> from gsparse.data import planted_partition, split
        >>> from gsparse.train import GCN, FitConfig, evaluate, fit
        >>> from gsparse.train import RankUpdate
        >>> data = planted_partition(200, num_classes=2, seed=60413)
        >>> data = split(data, "random", seed=60413)
        >>> learner = RankUpdate(GCN(data.num_features, 16, 2), rank=4, seed=60413)
        >>> for _ in range(2):
        ...     task = learner.add_task(num_classes=2)
        ...     history = fit(learner, data, config=FitConfig(epochs=20))
        >>> learner.storage().total < 0.5 * learner.separate_storage().total
        True
        >>> evaluate(learner.select(0), data, "test_mask") > 0.9
        True
    """

    def __init__(
        self,
        model: Module,
        rank: int,
        rank_per_task: int | None = None,
        *,
        start: Start = "zeros",
        head: str | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if start not in get_args(Start):
            raise ValueError(f"'start' must be 'zeros' or 'previous' (got {start!r})")
        self.head = find_output_layer(model) if head is None else head
        if self.head not in dict(model.named_modules()):
            raise ValueError(
                f"'head' must name a module of {type(model).__name__} (got {head!r})"
            )
        found = hidden_linears(model, self.head)
        self.rank, self.start = rank, start
        self.rank_per_task = (rank + 1) // 2 if rank_per_task is None else rank_per_task
        most = max(min(it.weight.shape) for it in found.values())
        for name in ("rank", "rank_per_task"):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(
                    f"'{name}' must be from 1 to the smaller side of the widest hidden "
                    f"layer, {most} (got {getattr(self, name)})"
                )
        self.names = list(found)
        self.seed = draw_seed(None) if seed is None else seed
        self.num_classes: list[int] = []
        # Named `layers` because FitConfig.decay_first_layer_only looks for this name.
        self.layers = ModuleList(
            Factors(it.weight.size(1), it.weight.size(0)) for it in found.values()
        )
        self.tasks = ModuleList()
        self._template = (without_weights(model, found, self._factors()),)

    @classmethod
    def from_dense(cls, model: Module, rank: int, **options: Any) -> "RankUpdate":
        """Return a learner whose first task is a low-rank approximation of a trained
        model.

        Weights are approximated by
        :func:`~gsparse.train.incremental.low_rank.truncated_svd`; the output layer is
        copied. Train the learner afterwards, since a low rank loses accuracy at first.

        Args:
            model: A trained model; not changed.
            rank: See :class:`RankUpdate`.
            **options: See :class:`RankUpdate`.
        """
        learner = cls(model, rank, **options)
        output = model.get_submodule(learner.head)
        learner.add_task(num_outputs(output))
        first = learner.tasks[0]
        first.get_submodule(learner.head).load_state_dict(output.state_dict())
        for name, layer in hidden_linears(model, learner.head).items():
            low_rank_layer(first, name).approximate(layer.weight)
        return learner

    @classmethod
    def load(cls, path: str | Path, model: Module) -> "RankUpdate":
        """Load a learner with all its tasks from a file; the last task can be trained
        further.

        The file is read with ``weights_only=True``, which creates tensors, numbers and
        containers and runs no code.

        Args:
            path: A file of :meth:`save`.
            model: A model with the architecture of the saved learner.

        Raises:
            ValueError: If the file has another content, or the model does not fit.
        """
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
            settings, classes = found["settings"], found["num_classes"]
            learner = cls(model, **settings)
            for num_classes in classes:
                learner.add_task(num_classes)
        except (UnpicklingError, EOFError, KeyError, TypeError, RuntimeError) as error:
            raise ValueError(
                f"'path' must be a file of RankUpdate.save() (got {path}: {error})"
            ) from None
        try:
            learner.load_state_dict(found["state"])
        except RuntimeError as error:
            raise ValueError(
                f"'model' must have the architecture that was saved in {path} (got "
                f"{type(model).__name__}: {' '.join(str(error).split())})"
            ) from None
        return learner

    def save(self, path: str | Path) -> None:
        """Write all tasks to one file: tensors and a few numbers, see :meth:`load`."""
        keys = ("rank", "rank_per_task", "start", "head", "seed")
        settings = {key: getattr(self, key) for key in keys}
        content = {"settings": settings, "num_classes": self.num_classes}
        torch.save(content | {"state": dict(self.state_dict())}, path)

    @property
    def model(self) -> Module:
        """The model of the selected task."""
        return self.tasks[self._check(self.current)]

    def add_task(self, num_classes: int) -> int:
        """Freeze all existing tasks, add columns and an output layer, and select the
        new task.

        Args:
            num_classes: Number of classes of the new task.

        Returns:
            The number of the task, counted from 0.
        """
        task, generator = self.num_tasks, torch.Generator()
        generator.manual_seed(self.seed)
        own_seed = int(torch.randint(2**31, (task + 1,), generator=generator)[-1])
        template = self._template[0]
        with seeded(own_seed):
            head = output_layer_like(template.get_submodule(self.head), num_classes)
        for parameter in self.parameters():
            parameter.requires_grad_(False)
            parameter.grad = None
        generator.manual_seed(own_seed)
        like = next(head.parameters()).detach()
        width = self.rank_per_task if task else self.rank
        for factors in self._factors():
            factors.append(width, like, generator)
        again = bool(task) and self.start == "previous"
        shared = {id(it): it for it in self.layers}
        model = copy.deepcopy(self.tasks[-1] if again else template, shared)
        replace_modules(model, {model.get_submodule(self.head): head})
        for name in self.names:
            low_rank_layer(model, name).begin(task, as_before=again)
        own = dict(model.named_parameters())
        for name, parameter in template.named_parameters():
            own[name].requires_grad_(parameter.requires_grad)
        model.train(self.training)
        self.tasks.append(model)
        self.num_classes.append(num_classes)
        self.select(task).train(self.training)
        return task

    def forward(self, *args: Any, task: int | None = None, **kwargs: Any) -> Any:
        """Return the logits for a task, by default the selected one.

        Args:
            *args: Arguments of the model, such as ``x, edge_index``.
            task: Number of the task.
            **kwargs: Keyword arguments of the model.
        """
        chosen = self.current if task is None else task
        return self.tasks[self._check(chosen)](*args, **kwargs)

    def train(self, mode: bool = True) -> "RankUpdate":
        """Set the training mode of the newest task; the others stay in
        evaluation mode.
        """
        super().train(mode)
        for model in list(self.tasks)[:-1]:
            model.eval()
        return self

    def parameters_of(self, task: int) -> list[Parameter]:
        """Return the parameters added by a task: columns, selectors, output layer and
        others.
        """
        self._check(task)
        blocks = [p for it in self._factors() for p in (it.u[task], it.v[task])]
        return blocks + list(self.tasks[task].parameters())

    def storage(self) -> Storage:
        """Return the number of values in all tasks, which is what :meth:`save`
        writes.
        """
        factors = sum(p.numel() for p in self.layers.parameters())
        return count(factors, self.tasks, self.names, self.head)

    def separate_storage(self) -> Storage:
        """Return the number of values that separate models would have."""
        whole = sum(it.in_features * it.out_features for it in self._factors())
        return self.storage()._replace(factors=self.num_tasks * whole, selectors=0)

    def _factors(self) -> list[Factors]:
        return list(self.layers)  # type: ignore[arg-type]

    def _apply(self, fn: Any, recurse: bool = True) -> "RankUpdate":
        super()._apply(fn, recurse)
        self._template[0]._apply(fn, recurse)
        return self

    def extra_repr(self) -> str:
        """Return the ranks and the number of tasks."""
        ranks = f"rank={self.rank}, rank_per_task={self.rank_per_task}"
        return f"{ranks}, num_tasks={self.num_tasks}"

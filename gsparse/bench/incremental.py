"""Tasks learned one after another: one row a sequence, method and seed.

``gsparse reproduce incremental`` runs the whole table. For a few rows, or to tune on
validation nodes, run ``python -m gsparse.bench.incremental``.

What the sequences are:

- ``Cora``: five tasks of one class against the rest. Cora has seven classes, so five
  tasks of disjoint classes would leave three with one class, where every answer is
  right. Instead each task brings a class that was none before, and as many nodes of the
  others (:func:`~gsparse.train.binary_tasks`).
- ``Cora-disjoint``: what Cora can give otherwise, three tasks of three, two and two
  classes.
- ``CS``: five tasks of three of the fifteen classes.
- ``Twitch``: the same question asked of three graphs that share their features.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from torch_geometric.data import Data

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.facts import fingerprint
from gsparse.bench.experiment.grid import Task, grid_rows, run_grid
from gsparse.bench.experiment.masks import within
from gsparse.bench.experiment.parse import parse_seeds
from gsparse.bench.experiment.protocol import probe_seconds
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.tables.measurement import measurement
from gsparse.bench.tables.rows import Row, content_hash
from gsparse.data import load
from gsparse.train import Recipe, recipe, sparse_features
from gsparse.train.incremental.fit_tasks import METHODS, Method, fit_tasks
from gsparse.train.incremental.tasks import binary_tasks, class_tasks, graph_tasks
from gsparse.train.split_graphs import resolve_split

TABLE, REVISION = "incremental", 1


@dataclass(frozen=True)
class TaskSequence:
    """What the tasks of a row are.

    Args:
        graphs: Names of data sets; several are one task each.
        kind: ``"binary"``, ``"classes"`` or ``"graphs"``.
        num_tasks: How many.
    """

    graphs: tuple[str, ...]
    kind: str
    num_tasks: int

    def tasks(self, root: Path | None, seed: int) -> list[Data]:
        """The tasks of a seed, with the usual split of each graph."""
        found = [load(it, root, seed=seed, sparse_features=True) for it in self.graphs]
        for data in found:
            data.x = sparse_features(data.x)
        if self.kind == "graphs":
            return graph_tasks(found)
        make = binary_tasks if self.kind == "binary" else class_tasks
        return make(found[0], self.num_tasks, seed)


SEQUENCES = {
    "Cora": TaskSequence(("Cora",), "binary", 5),
    "Cora-disjoint": TaskSequence(("Cora",), "classes", 3),
    "CS": TaskSequence(("CS",), "classes", 5),
    "Twitch": TaskSequence(("Twitch-DE", "Twitch-EN", "Twitch-FR"), "graphs", 3),
}


@dataclass(frozen=True)
class TaskConfig:
    """One row but for its seed.

    Args:
        dataset: A name of :data:`SEQUENCES`.
        method: A name of :data:`~gsparse.train.incremental.fit_tasks.METHODS`.
        rank: Columns of the first task; None for half of the hidden channels, and for
            other methods than RankUpdate.
        rank_per_task: Columns of each later one; None for half of ``rank``.
        start: How selectors begin.
        lr: Learning rate; None for the recipe's.
        epochs: Upper bound on the epochs of a task; None for the recipe's.
        final: Whether test nodes are scored, rather than validation nodes.
        model: Kind of model.
    """

    dataset: str
    method: Method
    rank: int | None = None
    rank_per_task: int | None = None
    start: str = "zeros"
    lr: float | None = None
    epochs: int | None = None
    final: bool = True
    model: str = "gcn"

    def __post_init__(self) -> None:
        for key, known in (("dataset", SEQUENCES), ("method", METHODS)):
            if (value := getattr(self, key)) not in known:
                names = ", ".join(known)
                raise ValueError(f"'{key}' must be one of {names} (got {value})")

    @property
    def sequence(self) -> TaskSequence:
        """The tasks."""
        return SEQUENCES[self.dataset]

    @property
    def split(self) -> str:
        """Of each graph."""
        return resolve_split(self.sequence.graphs[0], None)

    @property
    def architecture(self) -> str:
        """The model in words."""
        return self.model

    @property
    def pruner(self) -> None:
        """No weights are pruned."""
        return

    def recipe(self) -> Recipe:
        """The model and how each task is fitted: as the first graph alone."""
        found = recipe(self.sequence.graphs[0], self.model)
        settings = within(found.fit, self.epochs)
        lr = settings.lr if self.lr is None else self.lr
        return replace(found, fit=replace(settings, lr=lr))

    def options(self) -> dict[str, Any]:
        """Of RankUpdate: ranks by the width of the model, where they are not given."""
        if self.method != "RankUpdate":
            return {}
        rank = self.rank or int(self.recipe().options["hidden_channels"]) // 2
        later = self.rank_per_task or (rank + 1) // 2
        return {"rank": rank, "rank_per_task": later, "start": self.start}

    def config_hash(self) -> str:
        """Hash of all that may change the outcome."""
        content = asdict(self)
        for key in ("rank", "rank_per_task", "start"):  # as they are used
            del content[key]
        content |= self.options() | asdict(self.sequence)
        content |= {"recipe": repr(self.recipe()), "revision": REVISION}
        return content_hash(content | {"split": self.split})

    def run(self, seed: int, workspace: Workspace) -> Row:
        """Learn the tasks and score them; the seed decides tasks, weights and split."""
        start, chosen = perf_counter(), self.recipe()
        sequence = self.sequence.tasks(workspace.root, seed)
        found = fit_tasks(
            self.method,
            chosen.build(sequence[0], seed),
            sequence,
            config=chosen.fit,
            seed=seed,
            mask="test_mask" if self.final else "val_mask",
            **self.options(),
        )
        facts: Row = {f"score_{i + 1}": it for i, it in enumerate(found.final)}
        if len(found.scores) > 1:
            learned = [row[-1] for row in found.scores]
            facts |= {f"score_{i + 1}_learned": it for i, it in enumerate(learned)}
        settings = {
            "model": self.model,
            "split": self.split,
            "tasks": self.sequence.kind,
        }
        row = measurement(
            TABLE,
            self.dataset,
            self.method,
            settings,
            num_tasks=self.sequence.num_tasks,
            num_layers=2,
            hidden=chosen.options["hidden_channels"],
            features_fingerprint=fingerprint(_plain(sequence[0])),
            metric=chosen.fit.metric,
            test_score=found.mean if self.final else None,
            val_mean=sum(found.val_scores[-1]) / len(found.final),
            forgetting=found.forgetting,
            output_change=found.output_change,
            storage=found.storage,
            best_epochs=" ".join(map(str, found.best_epochs)),
            train_seconds=found.seconds,
            run_seconds=perf_counter() - start,
            lr=chosen.fit.lr,
            **facts,
            **self.options(),
        )
        return row | {"seed": seed, "config_hash": self.config_hash()}

    def probe_seconds(self, workspace: Workspace) -> float:
        """Most seconds of a run: of a training of the first graph, for each task."""
        first = self.sequence.graphs[0]
        dense = Config(first, self.split, self.model, "Dense", 0.0, epochs=self.epochs)
        return self.sequence.num_tasks * probe_seconds(dense, workspace)


def task_runs(configs: Sequence[TaskConfig], seeds: Sequence[int]) -> list[Task]:
    """Every configuration with every seed, for the common grid."""
    return [Task(config, seed) for config in configs for seed in seeds]  # type: ignore[arg-type]


def _plain(data: Data) -> Any:  # noqa: ANN401 (dense or CSR)
    return data.x.to_csr() if hasattr(data.x, "to_csr") else data.x


def format_rows(rows: Sequence[Row]) -> str:
    """One line a row: scores of all tasks, their mean, forgetting, storage."""
    titles = ("data", "method", "seed", "mean", "forgot", "numbers", "by task")
    lines = ["{:14}{:11}{:>5}{:>7}{:>8}{:>10}  {}".format(*titles)]
    for row in rows:
        scores = [row[f"score_{i + 1}"] for i in range(row["num_tasks"])]
        mean = 100 * sum(scores) / len(scores)
        lines.append(
            f"{row['dataset']:14}{row['method']:11}{row['seed']:>5}{mean:>7.1f}"
            f"{100 * row['forgetting']:>8.1f}{row['storage']:>10,}  "
            + " ".join(f"{100 * score:.1f}" for score in scores)
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run some rows, append them to a file, and print them."""
    parser = argparse.ArgumentParser(prog="python -m gsparse.bench.incremental")
    parser.add_argument("--data", default="Cora", help=f"of {', '.join(SEQUENCES)}")
    parser.add_argument("--methods", default=",".join(METHODS), help="with commas")
    parser.add_argument("--seeds", default="1", help="how many, or 100-109")
    parser.add_argument("--rank", type=int, help="of the first task")
    parser.add_argument("--rank-per-task", type=int, help="of each later one")
    parser.add_argument("--start", default="zeros", help="zeros or previous")
    parser.add_argument("--lr", type=float, help="learning rate")
    parser.add_argument("--epochs", type=int, help="most of a task")
    parser.add_argument("--tune", action="store_true", help="score validation nodes")
    parser.add_argument("--root", type=Path, help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of rows")
    chosen = parser.parse_args(arguments)
    grid = task_runs(
        [
            TaskConfig(
                data,
                method,
                chosen.rank,
                chosen.rank_per_task,
                chosen.start,
                chosen.lr,
                chosen.epochs,
                not chosen.tune,
            )
            for data in chosen.data.split(",")
            for method in chosen.methods.split(",")
        ],
        parse_seeds(chosen.seeds),
    )
    path = chosen.out / f"{TABLE}.jsonl"
    for outcome in run_grid(grid, path, root=chosen.root):
        if outcome.row is None:
            raise RuntimeError(f"{outcome.task} failed: {outcome.error}")
    sys.stdout.write(format_rows(grid_rows(grid, path)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

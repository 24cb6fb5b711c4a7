"""Learn tasks one after another: one row per sequence, method and seed.

``gsparse reproduce incremental`` runs the whole table. For a few rows, or to tune on
validation nodes, run ``python -m gsparse.bench.incremental``.

The sequences are:

- ``Cora``: five tasks of one class against the rest. Cora has seven classes, so five
  tasks of disjoint classes would leave three tasks with one class, for which every
  answer is right. Instead each task takes a new class, and as many nodes of the other
  classes (:func:`~gsparse.train.binary_tasks`).
- ``Cora-disjoint``: three tasks of three, two and two classes.
- ``CS``: five tasks of three of the fifteen classes.
- ``Twitch``: the same classes on three graphs that share their features.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from torch_geometric.data import Data

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.facts import fingerprint
from gsparse.bench.experiment.grid import grid_rows, run_grid, tasks
from gsparse.bench.experiment.masks import within
from gsparse.bench.experiment.own_table import OwnTable, check_name
from gsparse.bench.experiment.parse import parse_seeds
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.tables.rows import Row
from gsparse.data import load
from gsparse.train import Recipe, recipe, sparse_features
from gsparse.train.incremental.fit_tasks import METHODS, Method, fit_tasks
from gsparse.train.incremental.tasks import binary_tasks, class_tasks, graph_tasks
from gsparse.train.split_graphs import resolve_split


@dataclass(frozen=True)
class TaskSequence:
    """The tasks of a row.

    Args:
        graphs: Names of datasets; if there are several, each is one task.
        kind: ``"binary"``, ``"classes"`` or ``"graphs"``.
        num_tasks: Number of tasks.
    """

    graphs: tuple[str, ...]
    kind: str
    num_tasks: int

    def tasks(self, root: Path | None, seed: int) -> list[Data]:
        """Return the tasks of a seed, with the default split of each graph."""
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
class TaskConfig(OwnTable):
    """Settings of one sequence of tasks, learned by one method.

    Args:
        dataset: A name of :data:`SEQUENCES`.
        method: A name of :data:`~gsparse.train.incremental.fit_tasks.METHODS`.
        rank: Columns of the first task; None for half of the hidden channels, and for
            methods other than RankUpdate.
        rank_per_task: Columns of each later task; None for half of ``rank``.
        start: Initial values of the selectors.
        lr: Learning rate; None for the recipe's.
        epochs: Maximum number of epochs of a task; None for the recipe's.
        final: Whether test nodes are scored, rather than validation nodes.
        model: Kind of model.
    """

    table: ClassVar[str] = "incremental"
    revision: ClassVar[int] = 1

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
        check_name("dataset", self.dataset, SEQUENCES)
        check_name("method", self.method, METHODS)

    @property
    def sequence(self) -> TaskSequence:
        """The tasks."""
        return SEQUENCES[self.dataset]

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets with a card that a run reads."""
        return self.sequence.graphs

    @property
    def num_trainings(self) -> int:  # type: ignore[override]
        """One training of the first graph for each task."""
        return self.sequence.num_tasks

    @property
    def dense(self) -> Config:
        """The experiment of the common grid on the first graph."""
        first = self.sequence.graphs[0]
        split = resolve_split(first, None)
        return Config(first, split, self.model, "Dense", 0.0, epochs=self.epochs)

    def recipe(self) -> Recipe:
        """Return the model and the settings of each task: those of the first graph."""
        found = recipe(self.sequence.graphs[0], self.model)
        settings = within(found.fit, self.epochs)
        lr = settings.lr if self.lr is None else self.lr
        return replace(found, fit=replace(settings, lr=lr))

    def options(self) -> dict[str, Any]:
        """Return the options of RankUpdate, with the default ranks filled in."""
        if self.method != "RankUpdate":
            return {}
        rank = self.rank or int(self.recipe().options["hidden_channels"]) // 2
        later = self.rank_per_task or (rank + 1) // 2
        return {"rank": rank, "rank_per_task": later, "start": self.start}

    def content(self) -> Row:
        """Return the settings that the hash covers, besides recipe and split."""
        given = asdict(self)
        for key in ("rank", "rank_per_task", "start"):  # replaced by what is used
            del given[key]
        return given | self.options() | asdict(self.sequence)

    def columns(self, workspace: Workspace, seed: int) -> Row:
        """Learn the tasks and score each of them after the last one."""
        chosen = self.recipe()
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
        return (
            facts
            | self.options()
            | {
                "tasks": self.sequence.kind,
                "num_tasks": self.sequence.num_tasks,
                "num_layers": 2,
                "features_fingerprint": fingerprint(_plain(sequence[0])),
                "test_score": found.mean if self.final else None,
                "val_mean": sum(found.val_scores[-1]) / len(found.final),
                "forgetting": found.forgetting,
                "output_change": found.output_change,
                "storage": found.storage,
                "best_epochs": " ".join(map(str, found.best_epochs)),
                "train_seconds": found.seconds,
                "lr": chosen.fit.lr,
            }
        )

    @classmethod
    def from_row(cls, row: Row) -> "TaskConfig":
        """Return the experiment that would be run today in place of a row."""
        given = {key: row[key] for key in ("dataset", "method", "model")}
        given |= {k: row[k] for k in ("rank", "rank_per_task", "start") if k in row}
        final = row["test_score"] is not None
        found = cls(**given, epochs=row.get("max_epochs"), final=final)
        usual = found.recipe().fit.lr
        return found if row["lr"] == usual else replace(found, lr=row["lr"])


def _plain(data: Data) -> Any:  # noqa: ANN401 (dense or CSR)
    return data.x.to_csr() if hasattr(data.x, "to_csr") else data.x


def format_rows(rows: Sequence[Row]) -> str:
    """Return one line per row: mean score, forgetting, storage, score of each task."""
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
    """Run the chosen experiments, append their rows to a file, and print them."""
    parser = argparse.ArgumentParser(prog="python -m gsparse.bench.incremental")
    parser.add_argument("--data", default="Cora", help=f"of {', '.join(SEQUENCES)}")
    parser.add_argument("--methods", default=",".join(METHODS), help="with commas")
    parser.add_argument("--seeds", default="1", help="number of seeds, or 100-109")
    parser.add_argument("--rank", type=int, help="columns of the first task")
    parser.add_argument("--rank-per-task", type=int, help="columns of each later task")
    parser.add_argument("--start", default="zeros", help="zeros or previous")
    parser.add_argument("--lr", type=float, help="learning rate")
    parser.add_argument("--epochs", type=int, help="maximum number per task")
    parser.add_argument("--tune", action="store_true", help="score validation nodes")
    parser.add_argument("--root", type=Path, help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of rows")
    chosen = parser.parse_args(arguments)
    grid = tasks(
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
    path = chosen.out / f"{TaskConfig.table}.jsonl"
    for outcome in run_grid(grid, path, root=chosen.root):
        if outcome.row is None:
            raise RuntimeError(f"{outcome.task} failed: {outcome.error}")
    sys.stdout.write(format_rows(grid_rows(grid, path)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

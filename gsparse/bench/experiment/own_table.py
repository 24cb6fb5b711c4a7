"""Base class of the experiments whose rows have a table and columns of their own."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import asdict
from time import perf_counter
from typing import ClassVar

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.experiment import Experiment, Key
from gsparse.bench.experiment.protocol import probe_seconds
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.tables.measurement import measurement
from gsparse.bench.tables.rows import Row, content_hash
from gsparse.train import Recipe


class OwnTable(Experiment):
    """An experiment whose rows have a table and columns of their own.

    Subclasses are frozen dataclasses with the fields annotated below.
    """

    table: ClassVar[str]
    revision: ClassVar[int]
    num_trainings: ClassVar[int] = 1
    """Maximum number of trainings of a run, each as long as that of the dense model."""

    dataset: str
    method: str
    epochs: int | None

    @property
    @abstractmethod
    def dense(self) -> Config:
        """The experiment of the common grid with the same data and dense model."""

    @abstractmethod
    def recipe(self) -> Recipe:
        """Return the model and the settings of its training."""

    @abstractmethod
    def columns(self, workspace: Workspace, seed: int) -> Row:
        """Train and measure; return the columns of the row that are not common."""

    @property
    def name(self) -> str:
        """The method as rows name it."""
        return self.method

    @property
    def key(self) -> Key:
        """The names for plans and progress bars."""
        return self.dense.key._replace(dataset=self.dataset, method=self.method)

    @property
    def hash(self) -> str:
        """Hash of everything that may change the outcome; equal hashes need one run."""
        content = self.content() | {"recipe": repr(self.recipe())}
        content |= {"revision": self.revision, "split": self.dense.split}
        return content_hash(content)

    def content(self) -> Row:
        """Return the settings that the hash covers, besides recipe and split."""
        return asdict(self)  # type: ignore[call-overload]  # subclasses are dataclasses

    def estimate(self, workspace: Workspace) -> float:
        """Return an upper bound on the seconds of a run, from a few training epochs."""
        return self.num_trainings * probe_seconds(self.dense, workspace)

    def run(self, workspace: Workspace, seed: int) -> Row:
        """Run the experiment with one random seed and return its row."""
        start, chosen, dense = perf_counter(), self.recipe(), self.dense
        found = self.columns(workspace, seed)
        row = measurement(
            self.table,
            self.dataset,
            self.name,
            {"model": dense.model, "split": dense.split},
            hidden=chosen.options["hidden_channels"],
            metric=chosen.fit.metric,
            max_epochs=self.epochs,
            run_seconds=perf_counter() - start,
            **found,
        )
        return row | {"seed": seed, "config_hash": self.hash}


def check_name(key: str, value: str, known: Iterable[str]) -> None:
    """Raise a ValueError that lists the known names if there is no such name."""
    if value not in known:
        names = ", ".join(known)
        raise ValueError(f"'{key}' must be one of {names} (got {value})")

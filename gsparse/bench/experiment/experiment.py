"""The protocol that all experiments satisfy."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from gsparse.bench.tables.rows import Row

if TYPE_CHECKING:
    from gsparse.bench.experiment.workspace import Workspace


class Key(NamedTuple):
    """Names that tell experiments apart in plans and progress bars.

    Experiments of one dataset, split and method share the graph and its importances,
    and run one after the other.
    """

    dataset: str
    split: str
    model: str
    method: str
    pruner: str | None = None
    training: str = "scratch"

    @property
    def name(self) -> str:
        """The method, with the pruner of the weights and another way of training."""
        name = self.method if self.pruner is None else f"{self.method} + {self.pruner}"
        return name if self.training == "scratch" else f"{name}, {self.training}"


class Experiment(ABC):
    """Settings of one experiment: with a random seed it is one run and one row.

    Subclasses are frozen dataclasses of names and numbers, so that an experiment can be
    sent to another process and rebuilt from its rows.
    """

    @property
    @abstractmethod
    def key(self) -> Key:
        """The names for plans and progress bars."""

    @property
    @abstractmethod
    def hash(self) -> str:
        """Hash of everything that may change the outcome; equal hashes need one run."""

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets with a card that a run reads."""
        return (self.key.dataset,)

    @property
    def hashes(self) -> tuple[str, ...]:
        """All hashes under which rows of this experiment are accepted."""
        return (self.hash,)

    @abstractmethod
    def estimate(self, workspace: "Workspace") -> float:
        """Return an upper bound on the seconds of a run, from a few training epochs."""

    @abstractmethod
    def run(self, workspace: "Workspace", seed: int) -> Row:
        """Run the experiment with one random seed and return its row."""

    @classmethod
    @abstractmethod
    def from_row(cls, row: Row) -> "Experiment":
        """Return the experiment that would be run today in place of a row."""

"""Remove hidden units and measure the smaller model: one row per method and seed.

The dense model of a seed is trained once for all rows of a process. Its hidden layer is
cut to the widest shape with the given reduction of multiply-adds; all structured rows
and the small dense model have this shape. Rows hold measurements of the compacted
model.
"""

from dataclasses import dataclass, replace
from itertools import chain
from typing import ClassVar
from weakref import WeakKeyDictionary

from torch.nn import Module

from gsparse.bench.experiment.config import REACH, Config
from gsparse.bench.experiment.masks import within
from gsparse.bench.experiment.own_table import OwnTable, check_name
from gsparse.bench.experiment.protocol import NUM_LAYERS
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.structured_costs import (
    CONVERSIONS,
    ROUNDS,
    file_bytes,
    infer_peak_bytes,
    timings,
)
from gsparse.bench.structured_models import (
    DENSE,
    METHODS,
    SMALL,
    STRUCTURED,
    UNSTRUCTURED,
    Trained,
    prune_units,
    prune_weights,
    scores_of,
)
from gsparse.bench.structured_shapes import Shape, shape_for
from gsparse.bench.tables.rows import Row
from gsparse.compaction import compact, multiply_adds
from gsparse.deploy.model_state import permanent_state
from gsparse.nn.calling import model_arguments
from gsparse.train import Recipe, fit
from gsparse.train.fit import prepare
from gsparse.train.split_graphs import resolve_split

FEWER = 4.0


@dataclass(frozen=True)
class StructuredConfig(OwnTable):
    """Settings of one way to a smaller model.

    Args:
        dataset: A name of :func:`gsparse.data.names`.
        model: ``"gcn"``, ``"gat"`` or ``"sage"``.
        method: One of :data:`~gsparse.bench.structured_models.METHODS`.
        hidden: Width of the dense model's hidden layer, or of a head of ``"gat"``; None
            for the recipe's own.
        fewer: Minimum factor by which multiply-adds are reduced.
        output_heads: Heads left in the output layer of ``"gat"``; None for all.
        bits: Bits of a weight after compaction; None for floats. No training follows.
        epochs: Maximum number of epochs; None for the recipe's own.
        final: Whether test nodes are scored.
        measure: Whether peak memory is measured, in a process of its own.
        rounds: Maximum number of turns of a timing.

    Raises:
        ValueError: If there is no such method, or it is not quantised.
    """

    table: ClassVar[str] = "structured"
    revision: ClassVar[int] = 2
    num_trainings: ClassVar[int] = 2

    dataset: str
    model: str
    method: str
    hidden: int | None = None
    fewer: float = FEWER
    output_heads: int | None = None
    bits: int | None = None
    epochs: int | None = None
    final: bool = True
    measure: bool = True
    rounds: int = ROUNDS

    def __post_init__(self) -> None:
        check_name("method", self.method, METHODS)
        if self.bits not in (None, 8) or (self.bits and self.method not in STRUCTURED):
            names = ", ".join(STRUCTURED)
            raise ValueError(
                f"'bits' must be None, or 8 after {names} (got {self.bits} after "
                f"{self.method})"
            )

    @property
    def name(self) -> str:
        """The method as rows name it."""
        return self.method if self.bits is None else f"{self.method}+{self.bits} bit"

    @property
    def dense(self) -> Config:
        """The experiment of the common grid with the same data and dense model."""
        split = resolve_split(self.dataset, None)
        found = Config(self.dataset, split, self.model, DENSE, 0.0, epochs=self.epochs)
        if split == "public":  # few labels, which see little of the graph
            found = replace(found, hops=REACH[self.model])
        if self.hidden is not None:
            found = replace(found, hidden_channels=self.hidden)
        return found

    def recipe(self) -> Recipe:
        """Return the dense model and the settings of all trainings."""
        found = self.dense.recipe()
        return replace(found, fit=within(found.fit, self.epochs))

    def columns(self, workspace: Workspace, seed: int) -> Row:
        """Train, prune, compact, and measure the smaller model."""
        chosen = self.recipe()
        graphs = workspace.graphs(self.dense, seed)
        data = prepare(graphs.fit)
        example = model_arguments(data)
        dense = workspace.dense(self.dense, seed).eval()
        shape = shape_for(dense, chosen, data, example, self.fewer, self.output_heads)
        trained = self._trained(seed, workspace, shape)
        model, full = trained.model, _num_parameters(dense)
        if self.method not in (DENSE, SMALL, UNSTRUCTURED):
            model = compact(model, example)
            _check_shape(model, shape.of(chosen).build(data, 0))
        left = _num_parameters(model)
        if self.method == UNSTRUCTURED:
            left = sum(
                int(it.count_nonzero()) for it in permanent_state(model).values()
            )
        conversion = "sparse" if self.method == UNSTRUCTURED else "plain"
        conversion = conversion if self.bits is None else f"{self.bits} bit"
        stored = CONVERSIONS[conversion](model).eval()
        # Features stored sparse are multiplied by zeros too; files leave them out.
        counted = model if conversion == "sparse" else stored
        whole = self.method in (DENSE, UNSTRUCTURED)
        options = chosen.options if whole else shape.of(chosen).options
        facts: Row = dict(trained.facts)
        names = ("val_best", "test_score")
        facts |= scores_of(stored, data, chosen.fit.metric, self.final, names)
        facts |= timings(dense, stored, example, self.rounds)
        if self.measure:
            facts["infer_peak_bytes"] = infer_peak_bytes(
                self.dense,
                options,
                conversion,
                1 - left / full,
                seed,
                workspace.root,
            )
        history = trained.history
        if history is not None:
            facts["best_epoch"] = history.best_epoch
            facts["num_epochs"] = history.num_epochs
        return facts | {
            "fewer": self.fewer,
            "num_layers": NUM_LAYERS,
            "features_fingerprint": graphs.features_fingerprint,
            "sparsity": 0.0,
            "bits": self.bits,
            "rounds": self.rounds,
            "heads_after": shape.heads,
            "width_after": shape.width,
            "output_heads_after": shape.output_heads,
            "parameters": left,
            "parameters_before": full,
            "multiply_adds": multiply_adds(counted, example),
            "multiply_adds_before": multiply_adds(dense, example),
            "file_bytes": file_bytes(counted),
            "file_bytes_before": file_bytes(dense),
        }

    @classmethod
    def from_row(cls, row: Row) -> "StructuredConfig":
        """Return the experiment that would be run today in place of a row."""
        bits = row["bits"]
        found = cls(
            row["dataset"],
            row["model"],
            row["method"].removesuffix(f"+{bits} bit"),
            fewer=row["fewer"],
            output_heads=row.get("output_heads_after"),
            bits=bits,
            epochs=row.get("max_epochs"),
            final=row["test_score"] is not None,
            measure="infer_peak_bytes" in row,
            rounds=row.get("rounds", ROUNDS),
        )
        usual = found.recipe().options["hidden_channels"]
        return found if row["hidden"] == usual else replace(found, hidden=row["hidden"])

    def _trained(self, seed: int, workspace: Workspace, shape: Shape) -> Trained:
        """Return the model before compaction; the last one of a workspace is kept."""
        key = replace(self, bits=None), seed
        held = _LAST.get(workspace)
        if held is None or held[0] != key:
            held = _LAST[workspace] = key, self._train(seed, workspace, shape)
        return held[1]

    def _train(self, seed: int, workspace: Workspace, shape: Shape) -> Trained:
        chosen, dense = self.recipe(), workspace.dense(self.dense, seed)
        data = prepare(workspace.graphs(self.dense, seed).fit)
        if self.method == DENSE:
            return Trained(dense, None, {})
        small = shape.of(chosen).build(data, seed)
        if self.method == SMALL:
            return Trained(small, fit(small, data, config=chosen.fit, seed=seed), {})
        if self.method == UNSTRUCTURED:
            left = _num_parameters(small)
            return prune_weights(dense, data, left, chosen.fit, seed)
        return prune_units(
            self.method,
            dense,
            data,
            model_arguments(data),
            shape,
            chosen.fit,
            seed,
            self.final,
        )


_LAST: WeakKeyDictionary[Workspace, tuple[tuple, Trained]] = WeakKeyDictionary()


def _num_parameters(model: Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _check_shape(small: Module, built: Module) -> None:
    """Raise if a compacted model is larger anywhere than one built with its shape.

    It is smaller where training left a feature that nothing reads.
    """
    sizes, most = ([list(p.shape) for p in it.parameters()] for it in (small, built))
    pairs = zip(chain(*sizes), chain(*most), strict=True)
    if any(size > limit for size, limit in pairs):
        raise RuntimeError(f"the compacted model must have {most} (got {sizes})")

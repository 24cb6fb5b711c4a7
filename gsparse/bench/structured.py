"""Models that lose hidden units and are really smaller: one row a way and a seed.

The dense model of a seed is trained once for all rows of a process. A hidden layer is
cut to the widest shape that has so many times fewer multiply-adds; all structured rows
have it, and so has the small dense model. What stands in the rows is measured on the
compacted model.
"""

from dataclasses import asdict, dataclass, replace
from itertools import chain
from time import perf_counter
from weakref import WeakKeyDictionary

from torch.nn import Module

from gsparse.bench.experiment.config import REACH, Config, resolve_split
from gsparse.bench.experiment.masks import within
from gsparse.bench.experiment.protocol import NUM_LAYERS, probe_seconds
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
from gsparse.bench.tables.measurement import measurement
from gsparse.bench.tables.rows import Row, content_hash
from gsparse.compaction import compact, multiply_adds
from gsparse.deploy.model_file import permanent_state
from gsparse.nn.calling import model_arguments
from gsparse.train import Recipe, fit
from gsparse.train.fit import prepare

TABLE, REVISION = "structured", 2
FEWER = 4.0


@dataclass(frozen=True)
class StructuredConfig:
    """One row but for its seed.

    Args:
        dataset: A name of :func:`gsparse.data.names`.
        model: ``"gcn"``, ``"gat"`` or ``"sage"``.
        method: One of :data:`~gsparse.bench.structured_models.METHODS`.
        hidden: Width of the dense model's hidden layer, of a head for ``"gat"``; None
            for the recipe's own.
        fewer: How many times fewer multiply-adds are left, at least.
        output_heads: Heads left in the output layer of ``"gat"``; None for all.
        bits: Of the weights after compaction; None for floats. No training follows.
        epochs: Most epochs of a training; None for the recipe's own.
        final: Whether test nodes are scored.
        measure: Whether peak memory is measured, in a process of its own.
        rounds: Most turns of a timing.

    Raises:
        ValueError: If there is no such method, or it is not quantised.
    """

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
        if self.method not in METHODS:
            names = ", ".join(METHODS)
            raise ValueError(f"'method' must be one of {names} (got {self.method})")
        if self.bits not in (None, 8) or (self.bits and self.method not in STRUCTURED):
            names = ", ".join(STRUCTURED)
            raise ValueError(
                f"'bits' must be None, or 8 after {names} (got {self.bits} after "
                f"{self.method})"
            )

    @property
    def name(self) -> str:
        """The method as rows have it."""
        return self.method if self.bits is None else f"{self.method}+{self.bits} bit"

    @property
    def split(self) -> str:
        """The usual one of the graph."""
        return resolve_split(self.dataset, None)

    @property
    def dense(self) -> Config:
        """Data and dense model as the common grid has them."""
        found = Config(
            self.dataset, self.split, self.model, DENSE, 0.0, epochs=self.epochs
        )
        if self.split == "public":  # few labels, see little of the graph
            found = replace(found, hops=REACH[self.model])
        if self.hidden is not None:
            found = replace(found, hidden_channels=self.hidden)
        return found

    @property
    def architecture(self) -> str:
        """The model in words."""
        return self.model

    @property
    def pruner(self) -> None:
        """The method's name says it all."""
        return

    def recipe(self) -> Recipe:
        """The dense model, and how it and all others are trained."""
        found = self.dense.recipe()
        return replace(found, fit=within(found.fit, self.epochs))

    def config_hash(self) -> str:
        """Hash of all that may change the outcome."""
        content = asdict(self) | {"recipe": repr(self.recipe()), "revision": REVISION}
        return content_hash(content | {"split": self.split})

    def run(self, seed: int, workspace: Workspace) -> Row:
        """Train, prune, compact, measure; the seed decides split, weights, dropout."""
        start, chosen = perf_counter(), self.recipe()
        graphs = workspace.graphs(self.dense, seed)
        data = prepare(graphs.fit)
        arguments = model_arguments(data)
        dense = workspace.dense(self.dense, seed).eval()
        shape = shape_for(dense, chosen, data, arguments, self.fewer, self.output_heads)
        trained = self._trained(seed, workspace, shape)
        model, full = trained.model, _num_parameters(dense)
        if self.method not in (DENSE, SMALL, UNSTRUCTURED):
            model = compact(model, arguments)
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
        facts |= timings(dense, stored, arguments, self.rounds)
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
            facts |= {
                "best_epoch": history.best_epoch,
                "num_epochs": history.num_epochs,
            }
        row = measurement(
            TABLE,
            self.dataset,
            self.name,
            {"model": self.model, "split": self.split, "fewer": self.fewer},
            num_layers=NUM_LAYERS,
            hidden=chosen.options["hidden_channels"],
            features_fingerprint=graphs.features_fingerprint,
            sparsity=0.0,
            metric=chosen.fit.metric,
            bits=self.bits,
            heads_after=shape.heads,
            width_after=shape.width,
            output_heads_after=shape.output_heads,
            parameters=left,
            parameters_before=full,
            multiply_adds=multiply_adds(counted, arguments),
            multiply_adds_before=multiply_adds(dense, arguments),
            file_bytes=file_bytes(counted),
            file_bytes_before=file_bytes(dense),
            run_seconds=perf_counter() - start,
            **facts,
        )
        return row | {"seed": seed, "config_hash": self.config_hash()}

    def _trained(self, seed: int, workspace: Workspace, shape: Shape) -> Trained:
        """The model before it is compacted; the last one of a workspace is kept."""
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

    def probe_seconds(self, workspace: Workspace) -> float:
        """Most seconds of a run: of a dense training and one after it."""
        return 2 * probe_seconds(self.dense, workspace)


_LAST: WeakKeyDictionary[Workspace, tuple[tuple, Trained]] = WeakKeyDictionary()


def _num_parameters(model: Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _check_shape(small: Module, built: Module) -> None:
    """A compacted model is no larger anywhere than one that was built so small.

    It is smaller where training left a feature that nothing reads.
    """
    sizes, most = ([list(p.shape) for p in it.parameters()] for it in (small, built))
    pairs = zip(chain(*sizes), chain(*most), strict=True)
    if any(size > limit for size, limit in pairs):
        raise RuntimeError(f"the compacted model must have {most} (got {sizes})")

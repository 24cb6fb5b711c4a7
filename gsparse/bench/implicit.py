"""One training to the end with one optimiser, and the units that it leaves."""

from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any, get_args

from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.protocol import probe_seconds
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.tables.measurement import measurement
from gsparse.bench.tables.rows import Row, content_hash
from gsparse.compaction.dead_units import remove_dead_units
from gsparse.prune.implicit import (
    DeadBy,
    ImplicitReport,
    implicit_sparsity_report,
)
from gsparse.train import FitConfig, History, Recipe, deep_recipe, evaluate, fit
from gsparse.train.fit import prepare
from gsparse.train.split_graphs import resolve_split

TABLE, REVISION = "implicit", 1
NUM_LAYERS, BACKBONE, EPOCHS = 3, "batch-norm", 600
VALIDATE_EVERY = 20

METHODS: dict[str, dict[str, Any]] = {
    "Adam": {"optimizer": "adam", "lr": 0.01},
    "AdamW": {"optimizer": "adamw", "lr": 0.01},
    "SGD": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9},
}
"""How each of them steps. With Adam and 0.01 a scale that nothing else pulls at is
gone after 272 steps; there are 600."""


@dataclass(frozen=True)
class DecayConfig:
    r"""One row but for its seed.

    Args:
        dataset: A name of :func:`gsparse.data.names`.
        method: A name of :data:`METHODS`.
        decay: :math:`\lambda`. With AdamW each step ends in
            :math:`\theta \leftarrow (1 - \lambda) \theta`, with the others
            :math:`\lambda \theta` is added to the gradient; nothing is left out.
        epochs: Number of epochs, all of which are trained.
        final: Whether test nodes are scored.
    """

    dataset: str
    method: str
    decay: float
    epochs: int = EPOCHS
    final: bool = True

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            names = ", ".join(METHODS)
            raise ValueError(f"'method' must be one of {names} (got {self.method})")

    @property
    def dense(self) -> Config:
        """The same data and model as the common grid has them."""
        split = resolve_split(self.dataset, None)
        deep = {"backbone": BACKBONE, "num_layers": NUM_LAYERS}
        found = Config(self.dataset, split, "gcn", "Dense", 0.0, epochs=self.epochs)
        return replace(found, **deep)  # type: ignore[arg-type]

    @property
    def split(self) -> str:
        """The usual one of the graph."""
        return self.dense.split

    @property
    def architecture(self) -> str:
        """The model in words."""
        return self.dense.architecture

    @property
    def pruner(self) -> None:
        """No weights are pruned, but by themselves."""
        return

    def recipe(self) -> Recipe:
        """The model, and a training that never stops early."""
        found, how = (
            deep_recipe(self.dataset, NUM_LAYERS, BACKBONE),
            METHODS[self.method],
        )
        # torch's AdamW takes lr * weight_decay of a weight.
        decay = self.decay / how["lr"] if self.method == "AdamW" else self.decay
        settings = replace(
            found.fit,
            weight_decay=decay,
            decay_first_layer_only=False,
            epochs=self.epochs,
            patience=self.epochs,
            validate_every=min(VALIDATE_EVERY, self.epochs),
            **how,
        )
        return replace(found, fit=settings)

    def config_hash(self) -> str:
        """Hash of all that may change the outcome."""
        content = asdict(self) | {"recipe": repr(self.recipe()), "revision": REVISION}
        return content_hash(content | {"split": self.split})

    def run(self, seed: int, workspace: Workspace) -> Row:
        """Train, count, remove, score; the seed decides split, weights and dropout."""
        start, chosen = perf_counter(), self.recipe()
        graphs = workspace.graphs(self.dense, seed)
        model = chosen.build(graphs.fit, seed)
        history = fit_to_the_end(model, graphs.fit, chosen.fit, seed)
        metric = chosen.fit.metric
        facts = count_units(model, prepare(graphs.fit))
        for by in get_args(DeadBy):
            facts |= removal(model, prepare(graphs.fit), by, metric, self.final)
        settings = {
            "model": "gcn",
            "split": self.split,
            "decay": self.decay,
            "backbone": BACKBONE,
        }
        test = evaluate(model, graphs.test, "test_mask", metric) if self.final else None
        row = measurement(
            TABLE,
            self.dataset,
            self.method,
            settings,
            num_layers=NUM_LAYERS,
            hidden=chosen.options["hidden_channels"],
            features_fingerprint=graphs.features_fingerprint,
            metric=metric,
            val_last=evaluate(model, graphs.fit, "val_mask", metric),
            val_best=history.val_score,
            best_epoch=history.best_epoch,
            test_score=test,
            num_epochs=history.num_epochs,
            lr=chosen.fit.lr,
            train_epoch_seconds=history.epoch_seconds,
            run_seconds=perf_counter() - start,
            **facts,
        )
        return row | {"seed": seed, "config_hash": self.config_hash()}

    def probe_seconds(self, workspace: Workspace) -> float:
        """Most seconds of a run: of its training."""
        return probe_seconds(self.dense, workspace)


def fit_to_the_end(model: Module, data: Data, config: FitConfig, seed: int) -> History:
    """Fit, and leave the model with its last weights in place of its best ones.

    Units die late, long after the epoch of the best validation score.
    """
    last: dict[str, Tensor] = {}

    def keep(epoch: int, loss: float, score: float) -> None:
        if epoch == config.epochs:
            last.update({k: v.clone() for k, v in model.state_dict().items()})

    history = fit(model, data, config=config, seed=seed, callback=keep)
    model.load_state_dict(last)
    return history


def count_units(model: Module, data: Data) -> Row:
    """Shares of dead units by both criteria, of all layers, the first and the last."""
    report = implicit_sparsity_report(model, data)
    ends = ImplicitReport(report.layers[:1]), ImplicitReport(report.layers[-1:])
    facts: Row = {"num_units": report.num_units}
    for by in get_args(DeadBy):
        facts |= {f"num_dead_{by}": report.num_dead(by)}
        for name, part in zip(("first", "last"), ends, strict=True):
            facts[f"dead_{by}_{name}"] = part.sparsity(by)
    for name, part in zip(("first", "last"), ends, strict=True):
        (layer,) = part.layers
        alive = not bool(layer.dead("activation").all())
        facts[f"universality_{name}"] = layer.universality if alive else None
    return facts


def removal(
    model: Module, data: Data, by: DeadBy, metric: str, final: bool = True
) -> Row:
    """What is left without the dead units, and what it scores."""
    out = remove_dead_units(model, data, by)
    facts = {
        f"num_units_after_{by}": out.num_after,
        f"num_parameters_after_{by}": sum(p.numel() for p in out.model.parameters()),
        f"removal_error_{by}": out.error,
        f"val_removed_{by}": evaluate(out.model, data, "val_mask", metric),
    }
    if final:
        score = evaluate(out.model, data, "test_mask", metric)
        facts[f"test_removed_{by}"] = score
    return facts

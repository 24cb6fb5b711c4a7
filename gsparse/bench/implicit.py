"""Train to the last epoch with one optimiser, and count the units that it leaves."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, get_args

from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.own_table import OwnTable, check_name
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.tables.rows import Row
from gsparse.compaction.dead_units import remove_dead_units
from gsparse.prune.implicit import (
    DeadBy,
    ImplicitReport,
    implicit_sparsity_report,
)
from gsparse.train import FitConfig, History, Recipe, deep_recipe, evaluate, fit
from gsparse.train.fit import prepare
from gsparse.train.split_graphs import resolve_split

NUM_LAYERS, BACKBONE, EPOCHS = 3, "batch-norm", 600
VALIDATE_EVERY = 20

METHODS: dict[str, dict[str, Any]] = {
    "Adam": {"optimizer": "adam", "lr": 0.01},
    "AdamW": {"optimizer": "adamw", "lr": 0.01},
    "SGD": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9},
}
"""Settings of each optimiser. With Adam at 0.01, 272 of the 600 steps are enough to
shrink a scale to nothing if only the penalty acts on it."""


@dataclass(frozen=True)
class DecayConfig(OwnTable):
    r"""Settings of one training with one optimiser and one penalty.

    Args:
        dataset: A name of :func:`gsparse.data.names`.
        method: A name of :data:`METHODS`.
        decay: The penalty :math:`\lambda`. With AdamW each step ends with
            :math:`\theta \leftarrow (1 - \lambda) \theta`; the other optimisers add
            :math:`\lambda \theta` to the gradient. It applies to all parameters.
        epochs: Number of epochs, all of which are trained.
        final: Whether test nodes are scored.
    """

    table: ClassVar[str] = "implicit"
    revision: ClassVar[int] = 1

    dataset: str
    method: str
    decay: float
    epochs: int = EPOCHS
    final: bool = True

    def __post_init__(self) -> None:
        check_name("method", self.method, METHODS)

    @property
    def dense(self) -> Config:
        """The experiment of the common grid with the same data and model."""
        split = resolve_split(self.dataset, None)
        deep = {"backbone": BACKBONE, "num_layers": NUM_LAYERS}
        found = Config(self.dataset, split, "gcn", "Dense", 0.0, epochs=self.epochs)
        return replace(found, **deep)  # type: ignore[arg-type]

    def recipe(self) -> Recipe:
        """Return the model, and a training that never stops early."""
        found = deep_recipe(self.dataset, NUM_LAYERS, BACKBONE)
        how = METHODS[self.method]
        # torch's AdamW subtracts lr * weight_decay times the weight.
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

    def columns(self, workspace: Workspace, seed: int) -> Row:
        """Train, count the dead units, remove them, and score both models."""
        chosen, graphs = self.recipe(), workspace.graphs(self.dense, seed)
        model, data = chosen.build(graphs.fit, seed), prepare(graphs.fit)
        history = fit_to_the_end(model, graphs.fit, chosen.fit, seed)
        metric = chosen.fit.metric
        facts = count_units(model, data)
        for by in get_args(DeadBy):
            facts |= removal(model, data, by, metric, self.final)
        test = evaluate(model, graphs.test, "test_mask", metric) if self.final else None
        return facts | {
            "decay": self.decay,
            "backbone": BACKBONE,
            "num_layers": NUM_LAYERS,
            "features_fingerprint": graphs.features_fingerprint,
            "val_last": evaluate(model, graphs.fit, "val_mask", metric),
            "val_best": history.val_score,
            "best_epoch": history.best_epoch,
            "test_score": test,
            "num_epochs": history.num_epochs,
            "lr": chosen.fit.lr,
            "train_epoch_seconds": history.epoch_seconds,
        }

    @classmethod
    def from_row(cls, row: Row) -> "DecayConfig":
        """Return the experiment that would be run today in place of a row."""
        names = row["dataset"], row["method"]
        final = row["test_score"] is not None
        return cls(*names, row["decay"], row["num_epochs"], final)


def fit_to_the_end(model: Module, data: Data, config: FitConfig, seed: int) -> History:
    """Fit a model and keep its last weights instead of its best ones.

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
    """Count dead units by both criteria; return shares of the first and last layer."""
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
    """Remove the dead units; return the sizes and scores of the model that is left."""
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

"""Run one experiment: load, sparsify, train, select by validation, test once."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from gsparse.bench.experiment.at_rest import at_rest
from gsparse.bench.experiment.config import LATER, Config
from gsparse.bench.experiment.facts import run_facts
from gsparse.bench.experiment.masks import within
from gsparse.bench.experiment.methods import cuts, method_class
from gsparse.bench.experiment.own_model import is_own_model
from gsparse.bench.experiment.pruning import run_pruner
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.tables.rows import Row
from gsparse.edges import undirected_pairs
from gsparse.nn import DropEdge
from gsparse.train import (
    Distillation,
    FitConfig,
    History,
    Recipe,
    evaluate,
    fit,
    predict_logits,
)

PROBE_EPOCHS = 8
NUM_LAYERS = 2  # of the standard models, where the recipe does not say


@dataclass(frozen=True)
class Trial:
    """A prepared run: graphs without the removed edges, and the model to train."""

    model: nn.Module
    fit_data: Data
    test_data: Data
    recipe: Recipe
    fit_config: FitConfig
    facts: Row
    """Keys of the row that are known before training."""
    distill: Distillation | None = None
    trained: History | None = None
    """History of a model that is finished: trained together with its mask, pruned, or
    left as it is."""

    @property
    def preprocess_seconds(self) -> float:
        """Seconds of scoring and cutting; 0 if nothing is removed."""
        return self.facts.get("preprocess_seconds", 0.0)

    def arguments(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the arguments with which the model is tested."""
        data = self.test_data
        return data.x, data.edge_index, data.get("edge_weight")


def prepare(config: Config, seed: int, workspace: Workspace) -> Trial:
    """Load the data, remove the edges, and build the model with its first weights."""
    if config.training == "rest" and config.pruner is not None:
        raise ValueError(
            f"'training' rest leaves weights as they are (got pruner {config.pruner})"
        )
    graphs = workspace.graphs(config, seed)
    fit_data, test_data, seconds, how, mask, kept = workspace.sparsify(config, seed)
    chosen = config.recipe()
    settings, trained = within(chosen.fit, config.epochs), None
    pruned = None
    if config.pruner is not None:
        pruned = run_pruner(
            config, seed, fit_data, lambda: workspace.dense(config, seed)
        )
        model, trained = pruned.model, pruned.history
    elif config.training == "joint" and mask is not None:
        model, trained = mask.module.model, mask.history
    elif config.training in ("finetune", "rest"):
        model = copy.deepcopy(workspace.dense(config, seed))
    else:
        model = chosen.build(fit_data, seed)
    method = method_class(config.method)
    if method is not None and not method.cuts:
        model = method(model, config.sparsity)
    elif config.drop_edge is not None and config.training != "rest":
        model = DropEdge(model, config.drop_edge)
    if config.training == "rest":
        trained = at_rest(model, fit_data, settings.metric)
    distill = None
    if config.teacher == "weights":
        settings = replace(settings, hops=None)  # it teaches all nodes
        teacher = workspace.dense(config, seed)
        distill = Distillation(predict_logits(teacher, graphs.fit))
    pairs = undirected_pairs(test_data.edge_index, test_data.num_nodes)
    left = 0 if config.method == "MLP" else pairs.row.numel()
    facts: Row = {
        "features_fingerprint": graphs.features_fingerprint,
        "num_layers": chosen.options.get("num_layers", _usual_layers(config)),
        "hidden": chosen.options.get("hidden_channels"),
        "sparsity": 1 - left / max(graphs.num_pairs, 1),
        "sparsity_target": config.sparsity,
        "metric": settings.metric,
        "num_val": int(graphs.fit.val_mask.sum()),
        "num_pairs_before": graphs.num_pairs,
        "num_pairs_after": left,
        "num_pairs_spanning": graphs.num_pairs_spanning,
    }
    if cuts(config.method):
        facts["preprocess_seconds"] = seconds
    if how is not None:
        facts["score_method"] = how
    if config.reweight is not None:
        facts["reweight"] = config.reweight
    if mask is not None:
        facts["mask_epoch_seconds"] = mask.history.epoch_seconds
    if kept is not None:
        facts["predictions_kept"] = kept
    if pruned is not None:
        facts |= pruned.facts
    facts |= {k: v for k in LATER if (v := getattr(config, k)) != LATER[k]}
    return Trial(model, fit_data, test_data, chosen, settings, facts, distill, trained)


def run_one(config: Config, seed: int, workspace: Workspace | None = None) -> Row:
    """Run one configuration with one seed.

    The model is fitted on the training nodes, the epoch is selected on the validation
    nodes, and the test nodes are scored once, with the weights of that epoch. In the
    inductive setting both graphs are sparsified, each on its own. The seed determines
    the split (if it is random), the edges kept, the first weights and the dropout.

    Args:
        config: What to run.
        seed: Number of the run.
        workspace: Keeps data and importances between runs; None starts empty.

    Returns:
        One row with all of :data:`~gsparse.bench.tables.rows.KEYS`.
    """
    start, workspace = perf_counter(), workspace or Workspace()
    trial = prepare(config, seed, workspace)
    history = trial.trained or fit(
        trial.model,
        trial.fit_data,
        config=trial.fit_config,
        seed=seed,
        distill=trial.distill,
    )
    metric = trial.fit_config.metric
    test_score = None
    if config.final:
        test_score = evaluate(trial.model, trial.test_data, "test_mask", metric)
    workspace.keep_dense(config, seed, trial.model)
    return {
        "table": config.table,
        "dataset": config.dataset,
        "split": config.split,
        "model": config.model,
        "method": config.method,
        "seed": seed,
        "config_hash": config.hash,
        "teacher": config.teacher,
        "val_score": history.val_score,
        "test_score": test_score,
        "best_epoch": history.best_epoch,
        "device": config.device,
        "threads": torch.get_num_threads(),
        "training": config.training,
        "hops": trial.fit_config.hops,
        **run_facts(),
        "num_epochs": history.num_epochs,
        "max_epochs": config.epochs,
        **_seconds(history, trial.fit_config),
        "run_seconds": perf_counter() - start,
        **trial.facts,
    }


def _usual_layers(config: Config) -> int | None:
    """Return the layers of a model where its recipe does not say; None if unknown."""
    return None if is_own_model(config.model) else NUM_LAYERS


def _seconds(history: History, settings: FitConfig) -> Row:
    """Return the seconds of an epoch and of a forward pass.

    Runs on receptive fields have a key of their own, as no table may compare them;
    weights at rest have no epoch.
    """
    if not history.train_seconds:
        return {
            "train_epoch_seconds": None,
            "infer_seconds": history.infer_seconds,
        }
    if settings.hops is not None:
        part = {"field_epoch_seconds": history.epoch_seconds}
        return {"train_epoch_seconds": None, "infer_seconds": None, **part}
    return {
        "train_epoch_seconds": history.epoch_seconds,
        "infer_seconds": history.infer_seconds,
    }


def probe_seconds(config: Config, workspace: Workspace) -> float:
    """Return an upper bound on the seconds of a training, from its first few epochs."""

    def measure() -> float:
        trial = prepare(config, 0, workspace)
        most = trial.fit_config.epochs
        few = replace(trial.fit_config, epochs=min(PROBE_EPOCHS, most))
        history = fit(trial.model, trial.fit_data, config=few)
        return most * (history.epoch_seconds + history.infer_seconds)

    return _once(workspace, config, measure)


def preparation_seconds(config: Config, workspace: Workspace) -> float:
    """Return the seconds of scoring and cutting, measured once for all models."""
    key = config.dataset, config.split, config.method
    return _once(
        workspace, key, lambda: prepare(config, 0, workspace).preprocess_seconds
    )


_MEASURED: WeakKeyDictionary[Workspace, dict[object, float]] = WeakKeyDictionary()


def _once(workspace: Workspace, key: object, measure: Callable[[], float]) -> float:
    found = _MEASURED.setdefault(workspace, {})
    if key not in found:
        found[key] = measure()
    return found[key]

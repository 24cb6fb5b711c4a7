"""Build the grid of experiments from names and numbers."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import get_args

from gsparse.bench.experiment.config import (
    REACH,
    Config,
    Teacher,
    Training,
)
from gsparse.bench.experiment.methods import (
    cuts,
    default_reweight,
    has_edge_terms,
    is_learned,
    method_class,
)
from gsparse.bench.experiment.named import check_model, find_graphs
from gsparse.bench.experiment.own_graph import OwnGraph
from gsparse.bench.experiment.own_model import OwnModel, inspect_model, is_own_model
from gsparse.train.by_name import weight_method


def configs(
    datasets: Sequence[str | OwnGraph],
    models: Sequence[str],
    methods: Sequence[str],
    sparsities: Sequence[float],
    *,
    split: str | None = None,
    reweight: bool | None = None,
    epochs: int | None = None,
    final: bool = True,
    device: str = "cpu",
    table: str = "bench",
    teacher: Teacher | None = None,
    trainings: Sequence[Training] = ("scratch",),
    pruners: Sequence[str] = (),
    weight_sparsities: Sequence[float] = (),
    hidden_channels: int | None = None,
    local: bool = False,
    edge_terms: bool | None = None,
    labels: str | None = None,
) -> list[Config]:
    """Return the grid of experiments, which always includes Dense and MLP.

    Sparsity 0 is the Dense experiment for every method, so it appears once.

    Args:
        datasets: Names of data sets, or paths of graph files.
        models: Names of models, or ``module:function``, see
            :data:`gsparse.bench.experiment.own_model.Builder`.
        methods: Class names of :mod:`gsparse.transforms`, or of learned masks in
            :mod:`gsparse.nn`.
        sparsities: Fractions of undirected edges to remove, each in [0, 1).
        split: Kind of split; None for the default of each card. A graph file has
            ``"own"`` if it holds masks, else 60-20-20.
        reweight: Whether models get new edge weights; None for the default of
            :func:`default_reweight`.
        epochs: Maximum number of epochs; None for the recipe's own.
        final: Whether test scores are taken.
        device: Where models are trained.
        table: Name of the table.
        teacher: Use of the dense model; None for as little as each method needs.
            ``"none"`` learns masks end to end from the labels alone.
        trainings: Where the weights come from.
        pruners: Names of pruners. Each prunes the dense model, and the model of every
            method trained from scratch.
        weight_sparsities: Fractions of the weights that they remove, each in [0, 1).
        hidden_channels: Width of the hidden layers; None for the recipes' own.
        local: Train on the receptive fields of the labelled nodes, see :data:`REACH`.
        edge_terms: Whether learned masks have terms of single edges; None for the usual
            of each.
        labels: File with the labels of the graph file.

    Raises:
        ValueError: If a name is unknown, a sparsity is outside [0, 1), or a method
            cannot be trained in a given way.
    """
    for model in models:
        check_model(model, local=local, hidden_channels=hidden_channels)
    _check_sparsities("sparsity", sparsities)
    _check_sparsities("weight_sparsity", weight_sparsities)
    for pruner in pruners:
        weight_method(pruner)
    cut = [float(sparsity) for sparsity in sparsities if sparsity > 0]
    widths = {"hidden_channels": hidden_channels}
    found = []
    for graph in find_graphs(datasets, split, labels):
        name, kind = graph.name, graph.split
        mlp = Config(name, kind, "mlp", "MLP", 1.0, None, epochs, final, device, table)
        mlp = replace(mlp, **widths, **graph.keys())  # type: ignore[arg-type]
        for model in models:
            own = inspect_model(model, graph.example()) if is_own_model(model) else None
            hops = REACH[model] if local else None
            mark = None if own is None else own.fingerprint
            dense = replace(mlp, model=model, method="Dense", sparsity=0.0, hops=hops)
            dense = replace(dense, model_fingerprint=mark)
            found.append(dense)
            if teacher == "weights":
                found += [
                    replace(dense, teacher=teacher),
                    replace(
                        mlp,
                        teacher=teacher,
                        teacher_model=model,
                        model_fingerprint=mark,
                    ),
                ]
            for method, training in product(methods, trainings):
                base = replace(
                    dense,
                    method=method,
                    reweight=_weights(method, model, own, reweight),
                    teacher=_teacher(method, teacher),
                    training=training,
                )
                base = replace(base, edge_terms=_edge_terms(base, edge_terms))
                _check_training(base)
                found += [replace(base, sparsity=s) for s in cut]
        for base in [it for it in found if it.dataset == name and it.pruner is None]:
            if base.method == "MLP" or base.training != "scratch":
                continue
            found += [
                replace(base, pruner=pruner, weight_sparsity_target=float(sparsity))
                for pruner, sparsity in product(pruners, weight_sparsities)
                if base.teacher != "weights"
            ]
        found.append(mlp)
    return list(dict.fromkeys(found))


def _check_sparsities(name: str, values: Sequence[float]) -> None:
    for value in values:
        if not 0 <= value < 1:
            raise ValueError(f"{name!r} must be in [0, 1) (got {value})")


def _weights(
    method: str, model: str, own: OwnModel | None, wanted: bool | None
) -> bool | None:
    default = default_reweight(method, model)
    if default is None:
        return None
    if own is None:
        return default if wanted is None else wanted
    if wanted and not own.takes_weights:
        raise ValueError(
            f"'weights' must be auto or ignore for {model}, whose forward has no "
            "parameter 'edge_weight' (got use)"
        )
    return own.takes_weights if wanted is None else wanted


def _teacher(method: str, wanted: Teacher | None) -> Teacher:
    """Return what the dense model is used for: no more than the method can use."""
    if wanted == "weights":
        return "weights"
    found = method_class(method)
    needs = found is not None and found.when == "trained"
    if needs and wanted == "none":
        raise ValueError(f"{method} needs a trained model: teacher edges or weights")
    learned = is_learned(method) and wanted != "none"
    return "edges" if needs or learned else "none"


def _edge_terms(config: Config, wanted: bool | None) -> bool | None:
    """Return None where a mask has what is usual for it, so that hashes agree."""
    if wanted is None or not is_learned(config.method):
        return None
    given = has_edge_terms(config.method, config.teacher, wanted)
    return None if given == has_edge_terms(config.method, config.teacher) else given


def _check_training(config: Config) -> None:
    if config.training not in get_args(Training):
        known = ", ".join(get_args(Training))
        raise ValueError(f"'training' must be one of {known} (got {config.training})")
    from_labels = is_learned(config.method) and config.teacher == "none"
    if config.training == "joint" and not from_labels:
        raise ValueError(
            f"'training' joint is for learned masks with teacher none "
            f"(got {config.method}, teacher {config.teacher})"
        )
    if config.training in ("finetune", "rest") and from_labels:
        raise ValueError(
            f"'training' must be scratch or joint with teacher none (got "
            f"{config.training} for {config.method})"
        )
    if config.training == "rest" and config.teacher == "weights":
        raise ValueError(
            f"'training' must be finetune or scratch with teacher weights, which "
            f"enters the loss (got rest for {config.method})"
        )
    if config.training == "rest" and not cuts(config.method):
        raise ValueError(
            f"'training' rest is for methods that remove edges (got {config.method})"
        )

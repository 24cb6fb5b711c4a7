"""Train a standard model of a data set, prune it, and save it with a model card."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.compaction import (
    channel_groups,
    compact,
    mask_dead_units,
    multiply_adds,
)
from gsparse.data import card
from gsparse.deploy.model_file import check_target, save_model
from gsparse.deploy.model_state import permanent_state
from gsparse.deploy.pruned_card import pruned_card
from gsparse.deploy.pruned_models import FILE, specify, stored, whole
from gsparse.edges import check_sparsity
from gsparse.nn.calling import model_arguments
from gsparse.nn.masked_parameters import mask_names
from gsparse.prune import (
    Columns,
    Criterion,
    Heads,
    Rows,
    Structure,
    Units,
    WeightPruner,
)
from gsparse.prune.quantise import check_bits
from gsparse.prune.quantise_weights import quantise_weights
from gsparse.train import (
    Recipe,
    evaluate,
    fit,
    prune_and_train,
    recipe,
)
from gsparse.train.by_name import weight_method, weight_methods
from gsparse.train.fit import prepare
from gsparse.train.make_pruner import make_pruner
from gsparse.train.recipes import GRAPH_MODELS
from gsparse.train.split_graphs import load_split_graphs, resolve_split

Shape = Literal["rows", "columns", "heads", "units"]


class _Small(NamedTuple):
    """A model after compaction, or as it was."""

    model: Module
    kept_features: Tensor


def prune_model(
    dataset: str,
    model: str,
    pruner: str,
    sparsity: float,
    *,
    structure: str | None = None,
    bits: int | None = None,
    compacted: bool = False,
    seed: int = 0,
    epochs: int | None = None,
    split: str | None = None,
    out: Path | None = None,
    root: Path | None = None,
) -> dict[str, Any]:
    """Train a standard model, prune it, train it further, compact it, and save it.

    Args:
        dataset: A name of :func:`gsparse.data.names`.
        model: ``"gcn"``, ``"gat"`` or ``"sage"``.
        pruner: A name of :func:`gsparse.train.by_name.weight_methods`.
        sparsity: Fraction of the weights of all layers but the last to remove.
        structure: Groups that are removed together: ``"rows"``, ``"columns"``,
            ``"heads"`` or ``"units"``; ``None`` for single weights. Biases and
            attention vectors of units without weights are removed as well.
        bits: Bits of the codes that the weights are rounded to at the end, from 2 to 8.
        compacted: Whether dead units and features are removed from the layers.
        seed: Random seed of the split, the first weights and the pruner.
        epochs: Maximum number of epochs of each training; ``None`` for the recipe's.
        split: Kind of split; ``None`` for that of the data set.
        out: Folder for ``model.safetensors`` and its model card; ``None`` writes
            nothing.
        root: Folder of the data sets.

    Returns:
        The settings and the results as one flat record. ``num_parameters`` of the
        pruned model counts those that are not zero; multiply-adds are fewer only where
        layers are smaller.

    Raises:
        ValueError: If a name is unknown or settings do not go together. Nothing has
            been trained then.
        ImportError: If there is a folder but safetensors is not installed.
    """
    check_sparsity(sparsity)
    if model not in GRAPH_MODELS:
        known = ", ".join(GRAPH_MODELS)
        raise ValueError(f"'model' must be one of {known} (got {model})")
    method = weight_method(pruner)
    dataset, split = card(dataset).name, resolve_split(dataset, split)
    if structure is not None:
        check_structure(structure, pruner, model)
    if bits is not None:
        check_bits(bits)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        check_target(out / FILE)
    chosen = recipe(dataset, model)
    config = chosen.fit if epochs is None else replace(chosen.fit, epochs=epochs)
    chosen = replace(chosen, fit=config)
    graphs = load_split_graphs(dataset, split, seed, root=root)
    dense = chosen.build(graphs.fit, seed)
    fit(dense, graphs.fit, config=config, seed=seed)
    pruned = _pruned(method, chosen, graphs.fit, dense, sparsity, structure, seed)
    example = model_arguments(prepare(graphs.test))
    small = _compacted(pruned, chosen, example) if compacted else None
    plain = small or _Small(_unmasked(chosen, graphs.fit, pruned), _all(example))
    num_features = example[0].size(1)
    specification = specify(
        model, plain.model, num_features, chosen.options
    ).as_record()
    left = sum(int(it.count_nonzero()) for it in plain.model.parameters())
    final = plain.model.eval()
    if bits is not None:
        final = quantise_weights(final, bits)
        specification["bits"] = bits
    final = stored(final, plain.kept_features, num_features)
    metric = config.metric
    record: dict[str, Any] = {
        "dataset": dataset,
        "split": split,
        "model": model,
        "pruner": pruner,
        "sparsity": sparsity,
        "structure": structure,
        "bits": bits,
        "compacted": small is not None,
        "seed": seed,
        "metric": metric,
        "weight_sparsity": _sparsity(pruned),
        "num_parameters_before": sum(it.numel() for it in dense.parameters()),
        "num_parameters_after": left,
        "multiply_adds_before": multiply_adds(dense, example),
        "multiply_adds_after": multiply_adds(whole(final), example),
        "val_score_before": evaluate(dense, graphs.fit, "val_mask", metric),
        "val_score_after": evaluate(whole(final), graphs.fit, "val_mask", metric),
        "test_score_before": evaluate(dense, graphs.test, "test_mask", metric),
        "test_score_after": evaluate(whole(final), graphs.test, "test_mask", metric),
        "num_bytes_before": _num_bytes(dense),
        "num_bytes_after": None,
        "output": None,
    }
    if out is not None:
        page = pruned_card(record, specification)
        record["num_bytes_after"] = save_model(final, out / FILE, page)
        record["output"] = str(out / FILE)
    return record


def check_structure(structure: str, pruner: str, model: str) -> None:
    """Refuse an unknown structure, or one for other pruners or models."""
    if structure not in get_args(Shape):
        known = ", ".join(get_args(Shape))
        raise ValueError(f"'structure' must be one of {known} (got {structure!r})")
    if structure == "heads" and model != "gat":
        raise ValueError(f"'structure' heads is for model gat (got {model})")
    takes = [name for name, it in weight_methods().items() if _takes_structure(it)]
    if pruner not in takes:
        raise ValueError(
            f"'structure' is for pruners of groups, {', '.join(takes)} (got {pruner})"
        )


def _takes_structure(method: type) -> bool:
    return issubclass(method, Criterion) or getattr(method, "takes_structure", False)


def _pruned(
    method: Any,  # noqa: ANN401 (a criterion, pruner or lottery)
    chosen: Recipe,
    data: Data,
    dense: Module,
    sparsity: float,
    structure: str | None,
    seed: int,
) -> Module:
    """Return the model with its masks after its last training."""
    fresh = method.when != "trained"
    model = chosen.build(data, seed) if fresh else copy.deepcopy(dense)
    if not issubclass(method, Criterion | WeightPruner):  # a lottery
        method(sparsity, config=chosen.fit)(model, data, seed)
        return model
    options: dict[str, Any] = {}
    example = model_arguments(prepare(data))
    if structure is not None:
        options["structure"] = _structure(structure, model, chosen, example)

    def mask_units(pruner: WeightPruner) -> None:
        if structure is not None:
            mask_dead_units(pruner.masks, example)

    prune_and_train(
        model,
        data,
        lambda model: make_pruner(
            method,
            model,
            data,
            sparsity=sparsity,
            num_steps=chosen.fit.epochs,
            seed=seed,
            **options,
        ),
        config=chosen.fit,
        seed=seed,
        pruned=mask_units,
    )
    return model


def _structure(
    name: str, model: Module, chosen: Recipe, example: tuple[Any, ...]
) -> Structure:
    if name == "units":
        return Units(channel_groups(model, example))
    if name == "heads":
        return Heads(int(chosen.options["heads"]))
    return Rows() if name == "rows" else Columns()


def _compacted(
    pruned: Module, chosen: Recipe, example: tuple[Any, ...]
) -> _Small | None:
    """Return the compacted model, unless it is no standard model any more."""
    small = compact(pruned, example, inputs="sliced")
    kept: Tensor = small.kept_features  # type: ignore[assignment]
    try:
        specify(chosen.model, small, example[0].size(1), chosen.options)
    except ValueError:
        return None
    return _Small(small, kept)


def _unmasked(chosen: Recipe, data: Data, pruned: Module) -> Module:
    plain = chosen.build(data, 0)
    plain.load_state_dict(permanent_state(pruned))
    return plain


def _all(example: tuple[Any, ...]) -> Tensor:
    return torch.arange(example[0].size(1))


def _sparsity(pruned: Module) -> float:
    """Return the sparsity of the matrices that have masks."""
    state = pruned.state_dict()
    keep = [state[name] for name in mask_names(state) if state[name].dim() == 2]
    total = sum(it.numel() for it in keep)
    return 1 - sum(int(it.sum()) for it in keep) / max(total, 1)


def _num_bytes(model: Module) -> int:
    return sum(it.numel() * it.element_size() for it in model.state_dict().values())

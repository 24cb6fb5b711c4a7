"""Train, prune and save a standard model with its model card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.pruning import prune_and_train
from gsparse.bench.experiment.structured import (
    arguments,
    check_structure,
    prune_structured,
)
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.tables.table import columns
from gsparse.compaction import compact, multiply_adds
from gsparse.deploy.model_card import ModelCard
from gsparse.deploy.model_file import check_target, permanent_state, save_model
from gsparse.deploy.pruned_models import FILE, SPECIFICATION, specify, stored, whole
from gsparse.edges import check_sparsity
from gsparse.prune.quantise import check_bits
from gsparse.prune.quantise_weights import quantise_weights
from gsparse.train import evaluate

_LOAD = """```python
from gsparse.deploy.pruned_models import load_pruned

model, header = load_pruned("...")  # the folder of $file
scores = model(data.x, data.edge_index)
```"""


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
    """Train a standard model, prune it, train it on, make it small, and save it.

    Args:
        dataset: A name of :func:`gsparse.data.names`.
        model: ``"gcn"``, ``"gat"`` or ``"sage"``.
        pruner: A name of :func:`~gsparse.bench.experiment.methods.pruners`.
        sparsity: Fraction of the weights of all layers but the last to remove.
        structure: What goes together; ``None`` for single weights. Biases and
            attention vectors of units that have lost all their weights go as well.
        bits: Of the codes that the weights are rounded to in the end, from 2 to 8.
        compacted: Whether dead units and features are taken out of the layers.
        seed: Of the split, the first weights and the pruner.
        epochs: Most epochs of each training; ``None`` for the recipe's own.
        split: Kind of split; ``None`` for the data set's own.
        out: Folder for ``model.safetensors`` and its model card; ``None`` writes
            nothing.
        root: Folder of the data sets.

    Returns:
        What was done and what came of it, as one flat record. Of the pruned model
        ``num_parameters`` are those that are not zero; multiply-adds are fewer only
        where layers are smaller.

    Raises:
        ValueError: An unknown name, or settings that do not go together. Nothing has
            been trained then.
        ImportError: If there is a folder but no safetensors.
    """
    config = _config(dataset, model, pruner, sparsity, epochs, split)
    if structure is not None:
        check_structure(structure, pruner, model)
    if bits is not None:
        check_bits(bits)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        check_target(out / FILE)
    space = Workspace(root)
    graphs = space.graphs(config, seed)
    dense = space.dense(config, seed)
    pruned = _pruned(config, seed, graphs.fit, dense, structure)
    example = arguments(graphs.test)
    small = _compacted(pruned, config, example) if compacted else None
    plain = small or _Small(_unmasked(config, seed, graphs.fit, pruned), _all(example))
    options, num_features = config.recipe().options, example[0].size(1)
    specification = specify(model, plain.model, num_features, options).as_record()
    left = sum(int(it.count_nonzero()) for it in plain.model.parameters())
    final = plain.model.eval()
    if bits is not None:
        final = quantise_weights(final, bits)
        specification["bits"] = bits
    final = stored(final, plain.kept_features, num_features)
    metric = config.recipe().fit.metric
    record: dict[str, Any] = {
        "dataset": config.dataset,
        "split": config.split,
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
        card = _card(record, specification)
        record["num_bytes_after"] = save_model(final, out / FILE, card)
        record["output"] = str(out / FILE)
    return record


def format_record(record: Mapping[str, Any]) -> str:
    """Format a record of :func:`prune_model` in 80 columns."""
    lines = []
    for name, key in (
        ("parameters, not 0", "num_parameters"),
        ("multiply-adds", "multiply_adds"),
        ("bytes", "num_bytes"),
    ):
        before, after = record[f"{key}_before"], record[f"{key}_after"]
        if after is not None:
            share = f"{after / max(before, 1):.1%}"
            lines.append((name, f"{before:,}", f"{after:,}", share))
    for name, key in (("validation", "val_score"), ("test", "test_score")):
        before, after = (100 * record[f"{key}_{when}"] for when in ("before", "after"))
        name = f"{name} {record['metric']}"
        lines.append((name, f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}"))
    table = columns(
        [
            dict(zip(("", "dense", "pruned", "left"), line, strict=True))
            for line in lines
        ]
    )
    what = record["structure"] or "weights"
    title = (
        f"{record['dataset']} ({record['split']}), {record['model']}: "
        f"{record['pruner']}, {record['weight_sparsity']:.2%} of {what}"
    )
    title += f", {record['bits']} bits" if record["bits"] else ""
    end = f"\n\nwritten to {record['output']}" if record["output"] else ""
    return f"{title}\n\n{table}{end}"


def _config(
    dataset: str,
    model: str,
    pruner: str,
    sparsity: float,
    epochs: int | None,
    split: str | None,
) -> Config:
    check_sparsity(sparsity)
    found = configs(
        [dataset],
        [model],
        [],
        [],
        split=split,
        epochs=epochs,
        pruners=[pruner],
        weight_sparsities=[sparsity],
    )
    return next(it for it in found if it.pruner is not None)


def _pruned(
    config: Config, seed: int, data: Data, dense: Module, structure: str | None
) -> Module:
    """Return the pruned, fine-tuned model with its masks."""
    if structure is None:
        return prune_and_train(config, seed, data, lambda: dense).model
    return prune_structured(config, seed, data, dense, structure)


def _compacted(
    pruned: Module, config: Config, example: tuple[Any, ...]
) -> _Small | None:
    """Return the compacted model, or None if it is no longer a standard model."""
    small = compact(pruned, example, inputs="sliced")
    kept: Tensor = small.kept_features  # type: ignore[assignment]
    try:
        specify(config.model, small, example[0].size(1), config.recipe().options)
    except ValueError:
        return None
    return _Small(small, kept)


def _unmasked(config: Config, seed: int, data: Data, pruned: Module) -> Module:
    plain = config.recipe().build(data, seed)
    plain.load_state_dict(permanent_state(pruned))
    return plain


def _all(example: tuple[Any, ...]) -> Tensor:
    return torch.arange(example[0].size(1))


def _sparsity(pruned: Module) -> float:
    """Return the sparsity of the matrices that have masks."""
    state = pruned.state_dict()
    keep = [it for n, it in state.items() if n.endswith(".keep") and it.dim() == 2]
    total = sum(it.numel() for it in keep)
    return 1 - sum(int(it.sum()) for it in keep) / max(total, 1)


def _num_bytes(model: Module) -> int:
    return sum(it.numel() * it.element_size() for it in model.state_dict().values())


def _card(record: Mapping[str, Any], specification: Mapping[str, Any]) -> ModelCard:
    how = f"{record['pruner']}, sparsity {record['sparsity']}"
    how += f", {record['structure']}" if record["structure"] else ""
    how += f", {record['bits']} bits" if record["bits"] else ""
    metric = record["metric"]
    return ModelCard(
        title=f"{record['model'].upper()} on {record['dataset']}, pruned",
        description=(
            f"A {record['model'].upper()} node classifier of {record['dataset']} with "
            f"{record['weight_sparsity']:.1%} of the weights of its hidden layers gone."
        ),
        dataset=record["dataset"],
        split=f"{record['split']}, seed {record['seed']}",
        method=how,
        scores={
            f"{part} {metric}, {when}": record[f"{key}_score_{place}"]
            for part, key in (("Validation", "val"), ("Test", "test"))
            for when, place in (("dense", "before"), ("pruned", "after"))
        },
        settings={SPECIFICATION: dict(specification)},
        load=_LOAD,
        limitations=(
            "One training with one seed; scores of other seeds differ.",
            "It classifies nodes of graphs with the same features and classes.",
            "Zeros of single weights make the file smaller, not the model faster.",
        ),
    )

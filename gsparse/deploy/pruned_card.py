"""Model card of a pruned standard model."""

from collections.abc import Mapping
from typing import Any

from gsparse.deploy.model_card import ModelCard
from gsparse.deploy.pruned_models import SPECIFICATION

_LOAD = """```python
from gsparse.deploy import load_pruned

model, header = load_pruned("...")  # the folder of $file
logits = model(data.x, data.edge_index)
```"""


def pruned_card(
    record: Mapping[str, Any], specification: Mapping[str, Any]
) -> ModelCard:
    """Return the card of a model from its record and its specification."""
    how = f"{record['pruner']}, sparsity {record['sparsity']}"
    how += f", {record['structure']}" if record["structure"] else ""
    how += f", {record['bits']} bits" if record["bits"] else ""
    metric = record["metric"]
    return ModelCard(
        title=f"{record['model'].upper()} on {record['dataset']}, pruned",
        description=(
            f"A {record['model'].upper()} node classifier of {record['dataset']} with "
            f"{record['weight_sparsity']:.1%} of the weights of its hidden layers "
            "removed."
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

"""The runs that the words of ``gsparse bench`` ask for."""

from collections.abc import Sequence

from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.grid import Task, tasks
from gsparse.bench.experiment.parse import (
    EDGE_TERMS,
    TEACHERS,
    WEIGHTS,
    parse_choice,
    parse_numbers,
    parse_seeds,
)


def requested_tasks(
    *,
    dataset: Sequence[str] = (),
    model: Sequence[str] = (),
    method: Sequence[str] = (),
    sparsity: str = "0.5,0.8",
    seeds: str = "3",
    split: str | None = None,
    weights: str = "auto",
    training: str = "scratch",
    teacher: str = "auto",
    prune: Sequence[str] = (),
    weight_sparsity: str = "0.9",
    hidden: int | None = None,
    local: bool = False,
    edge_terms: str = "auto",
    epochs: int | None = None,
    table: str = "bench",
    device: str = "cpu",
    tune: bool = False,
    labels: str | None = None,
) -> list[Task]:
    """Return the tasks of a command; the arguments are its options.

    Raises:
        ValueError: If an option has no such value.
    """
    cells = configs(
        dataset or ["digits"],
        model or ["gat"],
        method or ([] if prune else ["EffectiveResistance", "RandomEdge"]),
        parse_numbers("sparsity", sparsity),
        split=split,
        reweight=parse_choice("weights", weights, WEIGHTS),
        epochs=epochs,
        final=not tune,
        device=device,
        table=table,
        teacher=parse_choice("teacher", teacher, TEACHERS),
        trainings=[it.strip() for it in training.split(",")],  # type: ignore[misc]  # checked there
        pruners=prune,
        weight_sparsities=parse_numbers("weight_sparsity", weight_sparsity),
        hidden_channels=hidden,
        local=local,
        edge_terms=parse_choice("edge_terms", edge_terms, EDGE_TERMS),
        labels=labels,
    )
    return tasks(cells, parse_seeds(seeds))

"""What one experiment is: names and numbers that fit into a row and come back."""

import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gsparse import nn, transforms
from gsparse.bench.tables.rows import Row, content_hash
from gsparse.data import card, split_name
from gsparse.train import recipe
from gsparse.train.recipes import MODELS
from gsparse.transforms.base import EdgeSparsifier

BASELINES = ("Dense", "MLP")
"""No edge removed, and all of them."""

INDUCTIVE = "inductive"

GRAPH_MODELS = tuple(model for model in MODELS if model != "mlp")


@dataclass(frozen=True)
class Config:
    """One configuration; with a seed it is one run and one row.

    Build it by :func:`configs`, which fills the defaults in.

    Args:
        dataset: A name of :func:`gsparse.data.names`.
        split: Kind of split, as :func:`gsparse.data.split` takes it.
        model: ``"gcn"``, ``"gat"``, ``"sage"`` or ``"mlp"``.
        method: ``"Dense"``, ``"MLP"`` or a class name of :mod:`gsparse.transforms`.
        sparsity: Fraction of undirected edges to remove; 0 for Dense, 1 for MLP.
        reweight: Whether the model gets the new edge weights of the method; None
            for methods that make none.
        epochs: Upper bound on the epochs; None for the recipe's own.
        final: Whether the test score is taken. Tuning runs look at validation only.
        device: Where the model is trained.
        table: Name of the table, and of its file.
    """

    dataset: str
    split: str
    model: str
    method: str
    sparsity: float
    reweight: bool | None = None
    epochs: int | None = None
    final: bool = True
    device: str = "cpu"
    table: str = "bench"

    def as_dense(self) -> "Config":
        """The run with all its edges that this one is compared with."""
        if self.method == "MLP":
            return self
        return replace(self, method="Dense", sparsity=0.0, reweight=None)

    def config_hash(self) -> str:
        """Hash of all that may change the outcome; equal hashes need one run.

        Takes in the recipe and the integer ``revision`` of the method, so that a
        changed recipe or a fixed bug asks for new runs. The table's name is left out.
        """
        content = asdict(self)
        del content["table"]
        content["revision"] = getattr(sparsifier_class(self.method), "revision", 1)
        content["recipe"] = repr(recipe(self.dataset, self.model))
        return content_hash(content)

    @classmethod
    def from_row(cls, row: Row) -> "Config":
        """The configuration that would be run today in place of a row."""
        target = row["sparsity_target"] if "sparsity_target" in row else row["sparsity"]
        keys = ("dataset", "split", "model", "method", "device", "table")
        given = {key: row[key] for key in keys}
        return cls(
            **given,
            sparsity=target,
            reweight=row.get("reweight"),
            epochs=row.get("max_epochs"),
            final=row["test_score"] is not None,
        )


def configs(
    datasets: Sequence[str],
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
) -> list[Config]:
    """The grid of configurations, with the Dense and MLP rows always in it.

    Sparsity 0 is the Dense row whatever the method, so it appears once.

    Args:
        datasets: Names of data sets.
        models: Names of models.
        methods: Class names of :mod:`gsparse.transforms`.
        sparsities: Fractions of undirected edges to remove, each in [0, 1).
        split: Kind of split; None for the default of each card.
        reweight: Whether models get new edge weights; None for the default of
            :func:`default_reweight`.
        epochs: As in :class:`Config`; so are the rest.
        final: Whether test scores are taken.
        device: Where models are trained.
        table: Name of the table.

    Raises:
        ValueError: An unknown name, or a sparsity outside [0, 1); says which.
    """
    for model in models:
        if model not in GRAPH_MODELS:
            known = ", ".join(GRAPH_MODELS)
            raise ValueError(f"'model' must be one of {known} (got {model})")
    for sparsity in sparsities:
        if not 0 <= sparsity < 1:
            raise ValueError(f"'sparsity' must be in [0, 1) (got {sparsity})")
    cut = [float(sparsity) for sparsity in sparsities if sparsity > 0]
    found = []
    for dataset in datasets:
        name, kind = card(dataset).name, resolve_split(dataset, split)
        mlp = Config(name, kind, "mlp", "MLP", 1.0, None, epochs, final, device, table)
        for model in models:
            found.append(replace(mlp, model=model, method="Dense", sparsity=0.0))
            for method in methods:
                weights = _weights(method, model, reweight)
                base = replace(mlp, model=model, method=method, reweight=weights)
                found += [replace(base, sparsity=s) for s in cut]
        found.append(mlp)
    return list(dict.fromkeys(found))


def resolve_split(dataset: str, split: str | None) -> str:
    """The full name of a split, with the card's own kind where none is given.

    ``"inductive"`` becomes ``"inductive-<kind>"``: training and early stopping see the
    graph on the training and validation nodes of that kind, the test the whole graph.
    """
    kind = card(dataset).default_split
    if split is None:
        return kind
    if split.startswith(INDUCTIVE):
        return f"{INDUCTIVE}-{split_name(split.removeprefix(INDUCTIVE)[1:] or kind)}"
    return split_name(split)


def is_stale(row: Row) -> bool:
    """Whether a run of today would not be the one that made this row.

    So it is when the method's ``revision`` or the recipe has changed since, or when
    the method is gone.
    """
    try:
        return Config.from_row(row).config_hash() != row["config_hash"]
    except ValueError:
        return True


def sparsifier_class(method: str) -> type[EdgeSparsifier] | None:
    """The transform of that name; None for the baselines.

    Raises:
        ValueError: No public sparsifier has this name; lists those that are there.
    """
    if method in BASELINES:
        return None
    found = sparsifiers()
    if method not in found:
        known = ", ".join(found)
        raise ValueError(f"'method' must be one of {known} (got {method})")
    return found[method]


def make_sparsifier(method: str, **settings: Any) -> EdgeSparsifier:  # noqa: ANN401
    """Build a sparsifier from the settings that are given and not None.

    A ``seed`` is dropped where the method draws nothing at random.

    Raises:
        ValueError: Unknown method, or a setting it does not take.
    """
    cls = sparsifier_class(method)
    if cls is None:
        raise ValueError(f"'method' must remove edges (got {method})")
    takes = inspect.signature(cls).parameters.keys()
    given = {key: value for key, value in settings.items() if value is not None}
    unknown = given.keys() - takes - {"seed"}
    if unknown:
        raise ValueError(f"{method} does not take {', '.join(sorted(unknown))}")
    return cls(**{key: value for key, value in given.items() if key in takes})


def sparsifiers() -> dict[str, type[EdgeSparsifier]]:
    """Every public edge sparsifier by name."""
    public = {name: getattr(transforms, name) for name in transforms.__all__}
    return {
        name: thing
        for name, thing in public.items()
        if inspect.isclass(thing)
        and issubclass(thing, EdgeSparsifier)
        and not inspect.isabstract(thing)
    }


def default_reweight(method: str, model: str) -> bool | None:
    """Whether new weights are used: ``FastGAT``'s default for attention models.

    Returns:
        None for a method that makes no new weights.
    """
    cls = sparsifier_class(method)
    own = inspect.signature(cls).parameters.get("reweight") if cls else None
    if own is None:
        return None
    if model.startswith("gat"):
        own = inspect.signature(nn.FastGAT).parameters["reweight"]
    return bool(own.default)


def _weights(method: str, model: str, wanted: bool | None) -> bool | None:
    default = default_reweight(method, model)
    return default if default is None or wanted is None else wanted

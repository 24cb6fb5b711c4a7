"""What one experiment is: names and numbers that fit into a row and come back."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Literal, get_args

from gsparse.bench.experiment.methods import (
    default_reweight,
    learned_masks,
    method_class,
    pruner_class,
)
from gsparse.bench.tables.rows import Row, content_hash
from gsparse.data import card, split_name
from gsparse.train import Recipe, deep_recipe, recipe
from gsparse.train.recipes import MODELS

INDUCTIVE = "inductive"

Teacher = Literal["none", "edges", "weights"]
"""What a trained model was used for; ``"weights"``: it also entered the loss."""

Training = Literal["scratch", "finetune", "joint"]
"""Weights of the sparse graph: fresh ones; the dense model's, trained on; those that
were learned together with the mask."""

LATER: dict[str, str | float | None] = {
    "teacher": "none",
    "training": "scratch",
    "teacher_model": None,
    "pruner": None,
    "weight_sparsity_target": None,
    "hidden_channels": None,
    "backbone": None,
    "num_layers": None,
    "drop_edge": None,
    "hops": None,
}
"""Keys younger than the first rows, left out of hashes while they say nothing new."""

GRAPH_MODELS = tuple(model for model in MODELS if model != "mlp")

REACH = {"gcn": 3, "gat": 2, "sage": 2}
"""Hops that the standard models of two layers read; GCN reads degrees, too."""


@dataclass(frozen=True)
class Config:
    """One configuration; with a seed it is one run and one row.

    Build it by :func:`configs`, which fills the defaults in.

    Args:
        dataset: A name of :func:`gsparse.data.names`.
        split: Kind of split, as :func:`gsparse.data.split` takes it.
        model: ``"gcn"``, ``"gat"``, ``"sage"`` or ``"mlp"``.
        method: ``"Dense"``, ``"MLP"`` or a class name of :mod:`gsparse.transforms`.
        sparsity: Fraction of undirected edges to remove; 0 for Dense, 1 for MLP. That
            of DropEdge is left out of every training step, and there for the test.
        reweight: Whether the model gets the new edge weights of the method; None
            for methods that make none.
        epochs: Upper bound on the epochs; None for the recipe's own.
        final: Whether the test score is taken. Tuning runs look at validation only.
        device: Where the model is trained.
        table: Name of the table, and of its file.
        teacher: What the dense model was used for, besides being compared with.
        training: Where the weights come from.
        teacher_model: The kind of the teacher, where it is not ``model``.
        pruner: A name of :func:`~gsparse.bench.experiment.methods.pruners`, whose
            masks the weights get; None for dense weights.
        weight_sparsity_target: Fraction of the targeted weights that it removes.
        hidden_channels: Width of the hidden layers; None for the recipe's own.
        backbone: One of :data:`~gsparse.train.recipes.BACKBONES` for the recipe of
            deep GCNs; None for that of the data set, which teachers have in any case.
        num_layers: Layers of the deep GCN; None without a backbone.
        drop_edge: Fraction of the edges left that DropEdge leaves out of every
            training step, so that it can be had on top of another method.
        hops: As in :class:`~gsparse.train.FitConfig`. Not in the hash, as the number of
            threads is not: what is computed is the same.
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
    teacher: Teacher = "none"
    training: Training = "scratch"
    teacher_model: str | None = None
    pruner: str | None = None
    weight_sparsity_target: float | None = None
    hidden_channels: int | None = None
    backbone: str | None = None
    num_layers: int | None = None
    drop_edge: float | None = None
    hops: int | None = None

    @property
    def architecture(self) -> str:
        """The model in words, such as ``"gcn"`` and ``"gcn, 16 layers, plain"``."""
        if self.backbone is None:
            return self.model
        return f"{self.model}, {self.num_layers} layers, {self.backbone}"

    def recipe(self) -> Recipe:
        """The model and how it is fitted.

        Raises:
            ValueError: A deep model that is not one of those there are.
        """
        if self.backbone is None and self.num_layers is None:
            found = recipe(self.dataset, self.model)
        else:
            found = self._deep_recipe()
        if self.hops is not None:
            found = replace(found, fit=replace(found.fit, hops=self.hops))
        if self.hidden_channels is None:
            return found
        wider = found.options | {"hidden_channels": self.hidden_channels}
        return replace(found, options=wider)

    def _deep_recipe(self) -> Recipe:
        if self.backbone is None or self.num_layers is None or self.model != "gcn":
            raise ValueError(
                f"'backbone' and 'num_layers' go together, with model gcn "
                f"(got {self.backbone}, {self.num_layers} and {self.model})"
            )
        labels_only = self.teacher == "none" and self.method in learned_masks()
        from_scratch = self.training == "scratch" and self.pruner is None
        if not from_scratch or labels_only or self.method == "EdgeLottery":
            raise ValueError(
                f"deep models are trained from scratch, on edges that something else "
                f"chose (got {self.method}, {self.training}, teacher {self.teacher}, "
                f"pruner {self.pruner})"
            )
        return deep_recipe(self.dataset, self.num_layers, self.backbone)

    def as_dense(self) -> "Config":
        """The run with all its edges that this one is compared with."""
        if self.method == "MLP":
            return self
        return replace(
            self,
            method="Dense",
            sparsity=0.0,
            reweight=None,
            teacher="none",
            training="scratch",
            teacher_model=None,
            pruner=None,
            weight_sparsity_target=None,
            drop_edge=None,
        )

    def config_hash(self) -> str:
        """Hash of all that may change the outcome; equal hashes need one run.

        Takes in the recipe and the integer ``revision`` of the method, so that a
        changed recipe or a fixed bug asks for new runs. The table's name is left out.
        """
        content = asdict(replace(self, hops=None))
        del content["table"]
        for key, usual in LATER.items():
            if content[key] == usual:
                del content[key]
        content["revision"] = getattr(method_class(self.method), "revision", 1)
        content["recipe"] = repr(replace(self, hops=None).recipe())
        if self.pruner is not None:
            content["pruner_revision"] = getattr(
                pruner_class(self.pruner), "revision", 1
            )
        return content_hash(content)

    @classmethod
    def from_row(cls, row: Row) -> "Config":
        """The configuration that would be run today in place of a row."""
        target = row["sparsity_target"] if "sparsity_target" in row else row["sparsity"]
        keys = ("dataset", "split", "model", "method", "device", "table")
        given = {key: row[key] for key in keys}
        given |= {key: row.get(key, usual) for key, usual in LATER.items()}
        if given["backbone"] is None:
            given["num_layers"] = None  # rows tell it of every model
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
    teacher: Teacher | None = None,
    trainings: Sequence[Training] = ("scratch",),
    pruners: Sequence[str] = (),
    weight_sparsities: Sequence[float] = (),
    hidden_channels: int | None = None,
    local: bool = False,
) -> list[Config]:
    """The grid of configurations, with the Dense and MLP rows always in it.

    Sparsity 0 is the Dense row whatever the method, so it appears once.

    Args:
        datasets: Names of data sets.
        models: Names of models.
        methods: Class names of :mod:`gsparse.transforms`, or of learned masks in
            :mod:`gsparse.nn`.
        sparsities: Fractions of undirected edges to remove, each in [0, 1).
        split: Kind of split; None for the default of each card.
        reweight: Whether models get new edge weights; None for the default of
            :func:`default_reweight`.
        epochs: As in :class:`Config`; so are the rest.
        final: Whether test scores are taken.
        device: Where models are trained.
        table: Name of the table.
        teacher: What the dense model is used for; None for as little as each method
            needs. ``"none"`` learns masks end to end from the labels alone.
        trainings: Where the weights come from.
        pruners: Names of pruners. Each prunes the dense model, and the model of every
            method trained from scratch.
        weight_sparsities: Fractions of the weights that they remove, each in [0, 1).
        hidden_channels: Width of the hidden layers; None for the recipes' own.
        local: Train on the receptive fields of the labelled nodes, see :data:`REACH`.

    Raises:
        ValueError: An unknown name, a sparsity outside [0, 1), or a way of training
            that a method does not have; says which.
    """
    for model in models:
        if model not in GRAPH_MODELS:
            known = ", ".join(GRAPH_MODELS)
            raise ValueError(f"'model' must be one of {known} (got {model})")
    for sparsity in sparsities:
        if not 0 <= sparsity < 1:
            raise ValueError(f"'sparsity' must be in [0, 1) (got {sparsity})")
    for sparsity in weight_sparsities:
        if not 0 <= sparsity < 1:
            raise ValueError(f"'weight_sparsity' must be in [0, 1) (got {sparsity})")
    for pruner in pruners:
        pruner_class(pruner)
    cut = [float(sparsity) for sparsity in sparsities if sparsity > 0]
    widths = {"hidden_channels": hidden_channels}
    found = []
    for dataset in datasets:
        name, kind = card(dataset).name, resolve_split(dataset, split)
        mlp = Config(name, kind, "mlp", "MLP", 1.0, None, epochs, final, device, table)
        mlp = replace(mlp, **widths)  # type: ignore[arg-type]
        for model in models:
            hops = REACH[model] if local else None
            dense = replace(mlp, model=model, method="Dense", sparsity=0.0, hops=hops)
            found.append(dense)
            if teacher == "weights":
                found += [
                    replace(dense, teacher=teacher),
                    replace(mlp, teacher=teacher, teacher_model=model),
                ]
            for method, training in product(methods, trainings):
                base = replace(
                    dense,
                    method=method,
                    reweight=_weights(method, model, reweight),
                    teacher=_teacher(method, teacher),
                    training=training,
                )
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


def _weights(method: str, model: str, wanted: bool | None) -> bool | None:
    default = default_reweight(method, model)
    return default if default is None or wanted is None else wanted


def _teacher(method: str, wanted: Teacher | None) -> Teacher:
    """What the dense model is used for: no more than the method can use."""
    if wanted == "weights":
        return "weights"
    needs = method == "PredictionAgreement"
    if needs and wanted == "none":
        raise ValueError(f"{method} needs a trained model: teacher edges or weights")
    learned = method in learned_masks()
    return "edges" if needs or (learned and wanted != "none") else "none"


def _check_training(config: Config) -> None:
    if config.training not in get_args(Training):
        known = ", ".join(get_args(Training))
        raise ValueError(f"'training' must be one of {known} (got {config.training})")
    from_labels = config.method in learned_masks() and config.teacher == "none"
    if config.training == "joint" and not from_labels:
        raise ValueError(
            f"'training' joint is for learned masks with teacher none "
            f"(got {config.method}, teacher {config.teacher})"
        )
    if config.training == "finetune" and from_labels:
        raise ValueError(
            f"'training' must be scratch or joint with teacher none (got finetune for "
            f"{config.method})"
        )

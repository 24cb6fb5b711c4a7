"""Settings of one experiment of the common grid, convertible to and from a row."""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Literal

from gsparse.bench.experiment.cost_model import times_dense
from gsparse.bench.experiment.experiment import Experiment, Key
from gsparse.bench.experiment.methods import is_learned, method_class, trains_edges
from gsparse.bench.experiment.own_model import is_own_model, own_recipe
from gsparse.bench.tables.rows import Row, content_hash
from gsparse.train import Recipe, deep_recipe, general_recipe, recipe
from gsparse.train.by_name import weight_method

if TYPE_CHECKING:
    from gsparse.bench.experiment.workspace import Workspace

Teacher = Literal["none", "edges", "weights"]
"""What a trained model was used for; with ``"weights"`` it also entered the loss."""

Training = Literal["scratch", "finetune", "rest", "joint"]
"""The weights on the sparse graph: fresh ones, those of the dense model fine-tuned,
those of the dense model as they are, or those learned together with the mask."""

JOINT_REVISION = 2
"""Of masks learned with fresh weights: no epoch is chosen before their ramp ends."""

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
    "edge_terms": None,
    "graph_file": None,
    "labels_file": None,
    "graph_fingerprint": None,
    "model_fingerprint": None,
}
"""Keys that the first rows did not have, and their usual values. Hashes leave them out
where they have these values."""

PLACES = ("table", "graph_file", "labels_file")
"""Keys that say where something is; the hash does not cover them."""

REACH = {"gcn": 3, "gat": 2, "sage": 2}
"""Hops that the standard two-layer models read; GCN also reads degrees."""


@dataclass(frozen=True)
class Config(Experiment):
    """Settings of one experiment of the common grid.

    Build it by :func:`configs`, which fills the defaults in.

    Args:
        dataset: A name of :func:`gsparse.data.names`, or the name of ``graph_file``.
        split: Kind of split, as :func:`gsparse.data.split` takes it.
        model: ``"gcn"``, ``"gat"``, ``"sage"``, ``"mlp"``, or the ``module:function``
            that builds a model.
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
        pruner: A name of :func:`~gsparse.train.by_name.weight_methods`, whose
            masks the weights get; None for dense weights.
        weight_sparsity_target: Fraction of the targeted weights that it removes.
        hidden_channels: Width of the hidden layers; None for the recipe's own.
        backbone: One of :data:`~gsparse.train.recipes.BACKBONES` for the recipe of
            deep GCNs; None for that of the data set, which teachers have in any case.
        num_layers: Layers of the deep GCN; None without a backbone.
        drop_edge: Fraction of the edges left that DropEdge leaves out of every
            training step, so that it can be had on top of another method. Weights at
            rest were trained with it on all edges.
        hops: As in :class:`~gsparse.train.FitConfig`.
        edge_terms: Whether a learned mask has terms of single edges; None for the
            usual of its class, :attr:`LearnedMask.edge_terms`.
        graph_file: File of a graph without a card; None for a card or a graph in
            memory.
        labels_file: File of its labels; None if the graph holds them.
        graph_fingerprint: Hash of a graph without a card; None for a card.
        model_fingerprint: Hash of the source code and the settings of
            ``module:function``; None for a model of ours.
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
    edge_terms: bool | None = None
    graph_file: str | None = None
    labels_file: str | None = None
    graph_fingerprint: str | None = None
    model_fingerprint: str | None = None

    @property
    def architecture(self) -> str:
        """The model, such as ``"gcn"`` or ``"gcn, 16 layers, plain"``."""
        if self.backbone is None:
            return self.model
        return f"{self.model}, {self.num_layers} layers, {self.backbone}"

    @property
    def key(self) -> Key:
        """The names for plans and progress bars."""
        place = self.dataset, self.split, self.architecture
        return Key(*place, self.method, self.pruner, self.training)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets with a card that a run reads."""
        return () if self.graph_fingerprint else (self.dataset,)

    def recipe(self) -> Recipe:
        """Return the model and the settings of its training.

        Raises:
            ValueError: If the settings of a deep model do not go together.
        """
        if self.backbone is None and self.num_layers is None:
            found = self._usual_recipe()
        else:
            found = self._deep_recipe()
        if self.hops is not None:
            found = replace(found, fit=replace(found.fit, hops=self.hops))
        if self.hidden_channels is None:
            return found
        wider = found.options | {"hidden_channels": self.hidden_channels}
        return replace(found, options=wider)

    def _usual_recipe(self) -> Recipe:
        own = is_own_model(self.model)
        model = "gcn" if own else self.model
        if self.graph_fingerprint is None:
            found = recipe(self.dataset, model)
        else:
            found = general_recipe(model)
        return own_recipe(self.model, found) if own else found

    def _deep_recipe(self) -> Recipe:
        if self.backbone is None or self.num_layers is None or self.model != "gcn":
            raise ValueError(
                f"'backbone' and 'num_layers' go together, with model gcn "
                f"(got {self.backbone}, {self.num_layers} and {self.model})"
            )
        labels_only = self.teacher == "none" and is_learned(self.method)
        as_usual = self.training in ("scratch", "rest") and self.pruner is None
        trains = getattr(method_class(self.method), "trains", False)
        if not as_usual or labels_only or trains:
            raise ValueError(
                f"deep models are trained from scratch, on edges that something else "
                f"chose, or are left at rest (got {self.method}, {self.training}, "
                f"teacher {self.teacher}, pruner {self.pruner})"
            )
        return deep_recipe(self.dataset, self.num_layers, self.backbone)

    def as_dense(self) -> "Config":
        """Return the experiment on all edges that this one is compared with."""
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
            edge_terms=None,
        )

    @property
    def hash(self) -> str:
        """Hash of everything that may change the outcome; equal hashes need one run.

        It covers the recipe and the integer ``revision`` of the method, so that a
        changed recipe or a fixed bug asks for new runs, but not :data:`PLACES`: of a
        graph without a card its name and contents count, not its folder.
        """
        content = {key: getattr(self, key) for key in _FIELDS if key not in PLACES}
        for key, usual in LATER.items():
            if key in content and content[key] == usual:
                del content[key]
        content["revision"] = getattr(method_class(self.method), "revision", 1)
        content["recipe"] = repr(self.recipe())
        if self.training == "joint":
            content["joint_revision"] = JOINT_REVISION
        if self.pruner is not None:
            content["pruner_revision"] = weight_method(self.pruner).revision
        return content_hash(content)

    @property
    def hashes(self) -> tuple[str, ...]:
        """The hash, and for receptive fields also that of a run on the whole graph.

        Earlier rows of receptive fields have the latter. What is computed is the same
        but for the numbers that dropout draws.
        """
        if self.hops is None:
            return (self.hash,)
        return self.hash, replace(self, hops=None).hash

    def estimate(self, workspace: "Workspace") -> float:
        """Return an upper bound on the seconds of a run, from a few training epochs.

        Learned masks and other methods that train are not run; the dense run is
        multiplied by a constant of the method.
        """
        # Local: protocol.py imports this module.
        from gsparse.bench.experiment.protocol import preparation_seconds, probe_seconds

        seconds = probe_seconds(self.as_dense(), workspace)
        if self.pruner is not None:  # trained, pruned, trained again
            return 2 * seconds
        if trains_edges(self.method) or self.teacher != "none":
            return seconds * (1 + times_dense(self))
        return seconds + preparation_seconds(self, workspace)

    def run(self, workspace: "Workspace", seed: int) -> Row:
        """Run the experiment with one random seed and return its row."""
        # Local: protocol.py imports this module.
        from gsparse.bench.experiment.protocol import run_one

        return run_one(self, seed, workspace)

    @classmethod
    def from_row(cls, row: Row) -> "Config":
        """Return the experiment that would be run today in place of a row."""
        target = row["sparsity_target"] if "sparsity_target" in row else row["sparsity"]
        keys = ("dataset", "split", "model", "method", "device", "table")
        given = {key: row[key] for key in keys}
        given |= {key: row.get(key, usual) for key, usual in LATER.items()}
        if given["backbone"] is None:
            given["num_layers"] = None  # rows hold it for every model
        return cls(
            **given,
            sparsity=target,
            reweight=row.get("reweight"),
            epochs=row.get("max_epochs"),
            final=row["test_score"] is not None,
        )


_FIELDS = tuple(field.name for field in fields(Config))

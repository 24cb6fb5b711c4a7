"""Compare sparsifiers on a graph and a model in memory."""

import copy
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.config import Teacher, Training
from gsparse.bench.experiment.grid import Task, grid_rows, groups, tasks
from gsparse.bench.experiment.own_graph import given_graph
from gsparse.bench.experiment.own_model import Builder, offered
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.tables.rows import Row, append_row
from gsparse.bench.tables.summary import Block, summarise
from gsparse.bench.tables.table import format_blocks
from gsparse.train import SparseFeatures


@dataclass(frozen=True)
class Comparison:
    """Rows of a comparison; ``str()`` is their table.

    Args:
        rows: One row per experiment and seed, as in ``docs/results``.
    """

    rows: list[Row]

    @property
    def blocks(self) -> list[Block]:
        """Means over the seeds; one line per experiment."""
        return summarise(self.rows)

    def __str__(self) -> str:
        return format_blocks(self.blocks)


def compare(
    data: Data | str,
    model: Builder | str = "gcn",
    methods: Sequence[str] = ("EffectiveResistance", "RandomEdge"),
    sparsities: Sequence[float] = (0.5, 0.8),
    seeds: int | Iterable[int] = 3,
    *,
    split: str | None = None,
    epochs: int | None = None,
    reweight: bool | None = None,
    teacher: Teacher | None = None,
    trainings: Sequence[Training] = ("scratch",),
    final: bool = True,
    device: str = "cpu",
    name: str = "data",
    labels: str | None = None,
    out: str | Path | None = None,
    root: str | Path | None = None,
) -> Comparison:
    """Train a model on a graph with and without the edges that methods remove.

    Example:
        >>> from gsparse.bench import compare
        >>> from gsparse.data import planted_partition
        >>> data = planted_partition(60, 2, 5.0, 0.9, num_features=4, seed=3)
        >>> found = compare(data, "gcn", ["RandomEdge"], [0.5], seeds=1, epochs=5)
        >>> [(row["method"], row["sparsity"]) for row in found.rows]
        [('Dense', 0.0), ('RandomEdge', 0.5), ('MLP', 1.0)]

    The rows always include plain training (Dense) and a model without edges (MLP). The
    model is fitted to the training nodes, the epoch is chosen by the validation nodes,
    and the test nodes are scored once. Edges are chosen without test labels. The
    training settings are those of :func:`gsparse.train.general_recipe`, or, for a data
    set with a card, those of its recipe; a model of one's own gets those of the GCN.

    There is one training for Dense, for MLP, and for every method and sparsity, each
    with every seed: 18 with the defaults. Edges are scored once per method and seed.
    A learned mask or a teacher adds a training of the dense model. Memory is
    :math:`O(E)` beside that of the model.

    Args:
        data: Graph with ``edge_index`` and labels ``y``, which is not changed; what is
            added to it is logged, see
            :func:`gsparse.data.labelled_graph.labelled_graph`. Or the name of a data
            set, or the path of a graph file.
        model: ``"gcn"``, ``"gat"``, ``"sage"``, or a function of the number of features
            and of classes, which returns a new module. It is called as
            ``model(x, edge_index)``, with ``edge_weight`` if its ``forward`` has this
            parameter, and returns logits.
        methods: Class names of :mod:`gsparse.transforms`, or of learned masks in
            :mod:`gsparse.nn`.
        sparsities: Fractions of undirected edges to remove, each in [0, 1).
        seeds: Number of random seeds, or the seeds. A seed determines the split (if it
            is random), the edges, the first weights and the dropout.
        split: Kind of split, see :func:`gsparse.data.split`. The default is the masks
            of the graph (``"own"``), or 60-20-20 if it has none.
        epochs: Maximum number of epochs; None for that of the recipe.
        reweight: Whether the model gets the new edge weights of the methods. By default
            it does if it takes weights and is not ``"gat"``.
        teacher: What a dense model is used for: ``"none"``, ``"edges"`` or
            ``"weights"``; None for as little as each method needs.
        trainings: Where the weights come from: ``"scratch"``, ``"finetune"``,
            ``"rest"``, ``"joint"``.
        final: Whether test scores are taken; switch it off while tuning.
        device: Where models are trained.
        name: Name of a graph in memory in the rows.
        labels: File of labels, if ``data`` is a path.
        out: A ``.jsonl`` file to which each row is appended; rows that it already holds
            are not run again. By default, nothing is written.
        root: Folder of the data sets.

    Returns:
        The rows; printed, they are a table.

    Shapes:
        - **data.x:** :math:`(N, F)`, optional
        - **data.y:** :math:`(N,)`

    Raises:
        ValueError: If the graph has no labels, a name is unknown, or the model does not
            run on the graph.
        TypeError: If ``methods`` or ``sparsities`` is not a list, or ``model`` is a
            module.
    """
    _check_lists(methods, sparsities)
    if isinstance(model, Module):
        raise TypeError(
            "'model' must be a name, or a function or class that builds a model from "
            f"the numbers of features and classes (got a {type(model).__name__}); each "
            "run trains a new one"
        )
    graph = data if isinstance(data, str) else given_graph(_plain(data), name)
    word = model if isinstance(model, str) else _name(model)
    given = {} if isinstance(graph, str) else {graph.fingerprint: graph.data}
    with nullcontext() if isinstance(model, str) else offered(word, model):
        cells = configs(
            [graph],
            [word],
            methods,
            sparsities,
            split=split,
            reweight=reweight,
            epochs=epochs,
            final=final,
            device=device,
            teacher=teacher,
            trainings=trainings,
            labels=labels,
        )
        grid = tasks(cells, range(seeds) if isinstance(seeds, int) else seeds)
        workspace = Workspace(None if root is None else Path(root), given)
        return Comparison(_run(grid, workspace, out))


def _check_lists(methods: object, sparsities: object) -> None:
    if isinstance(methods, str) or not isinstance(methods, Iterable):
        raise TypeError(f"'methods' must be a list of names (got {methods!r})")
    if not isinstance(sparsities, Iterable):
        raise TypeError(f"'sparsities' must be a list of numbers (got {sparsities!r})")


def _run(grid: list[Task], workspace: Workspace, out: str | Path | None) -> list[Row]:
    """Return the rows of all tasks, in their order."""
    path = None if out is None else Path(out)
    known = [] if path is None else grid_rows(grid, path)
    rows = {(row["config_hash"], row["seed"]): row for row in known}
    todo = [it for it in grid if (it.config.hash, it.seed) not in rows]
    for task in [it for group in groups(todo) for it in group]:
        row = task.config.run(workspace, task.seed)
        rows[row["config_hash"], task.seed] = row
        if path is not None:
            append_row(path, row)
    return [rows[task.config.hash, task.seed] for task in grid]


def _plain(data: Data) -> Data:
    """Return a graph whose features are a dense or a CSR matrix."""
    if isinstance(data.get("x"), SparseFeatures):
        data = copy.copy(data)
        data.x = data.x.to_csr()
    return data


def _name(model: Builder) -> str:
    kind = model if hasattr(model, "__qualname__") else type(model)
    return f"{kind.__module__}:{kind.__qualname__}"

"""The measured result of each method beside dense, random and empty graphs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

from gsparse.bench.chosen import CHOSEN
from gsparse.bench.experiment.methods import (
    has_edge_terms,
    is_learned,
    method_class,
)
from gsparse.bench.papers.kedge_depth import BACKBONES, DATASET, DROP
from gsparse.bench.papers.kedge_graphs import GRAPHS
from gsparse.bench.papers.prune_citation import GRAPHS as PRUNED_GRAPHS
from gsparse.bench.papers.prune_citation import MODELS
from gsparse.bench.papers.structured import CASES
from gsparse.bench.tables.documents import Results
from gsparse.bench.tables.grid_table import markdown, percent, points
from gsparse.bench.tables.published import choose, kedge
from gsparse.bench.tables.published.commands import format_command, published_commands
from gsparse.bench.tables.rows import Filter, Row, select
from gsparse.data import card

SPARSITY = 0.8
"""Share of the edges that the tables remove."""

Place = tuple[tuple[str, ...], Filter, Filter]
"""First cells, values of all rows of a line, and values of those that are pruned."""

CUT_FIRST = "The graph is cut before training and testing."


@dataclass(frozen=True)
class Comparison:
    """A table of one method and its controls, over the same seeds.

    Args:
        source: Returns the rows.
        about: The setting, in sentences.
        titles: Titles of the first cells.
        places: The lines.
        method: Values of the rows of the method.
        controls: Values of the rows of each control by its title; those of
            ``unpruned`` controls take none of the last values of ``places``.
        unpruned: Titles of the controls that nothing is removed from.
        page: The page with all results.
    """

    source: Callable[[Results], list[Row]]
    about: str
    titles: tuple[str, ...]
    places: Sequence[Place]
    method: Filter
    controls: Mapping[str, Filter]
    unpruned: frozenset[str]
    page: str

    def lines(self, results: Results) -> Iterator[tuple[list[str], list[list[Row]]]]:
        """Yield the first cells of each line, and the rows of each further cell.

        All cells of a line have the same seeds. Lines without a row of the method, and
        those with fewer than two seeds, are left out.
        """
        rows = self.source(results)
        for labels, place, pruned in self.places:
            cells = [select(rows, {**place, **pruned, **self.method})]
            for title, wanted in self.controls.items():
                more = {} if title in self.unpruned else pruned
                cells.append(select(rows, {**place, **more, **wanted}))
            seeds = set.intersection(*({r["seed"] for r in it} for it in cells if it))
            if cells[0] and len(seeds) > 1:
                shared = [[r for r in cell if r["seed"] in seeds] for cell in cells]
                if any(cell and len(cell) != len(seeds) for cell in shared):
                    raise ValueError(f"a cell must have one row a seed (line {labels})")
                yield list(labels), shared


def result(results: Results, name: str) -> str:
    """Return what was measured of a method: the setting, a table, and the commands.

    Args:
        results: The rows.
        name: A name that ``gsparse methods`` lists.

    Returns:
        Markdown; one sentence for a method that no row compares.
    """
    found = comparison(name)
    lines = list(found.lines(results)) if found else []
    if not found or not lines:
        return "There is no measured result: no published row compares this method."
    texts = [
        [*labels, *(points(it, None) for it in cells), str(len(cells[0]))]
        for labels, cells in lines
    ]
    table = markdown([*found.titles, name, *found.controls, "seeds"], texts)
    rows = [row for _, cells in lines for cell in cells for row in cell]
    commands = "\n".join(_commands(rows))
    return (
        f"Test scores in %, mean ± standard deviation over seeds that all cells of a "
        f"line share. {found.about}\n\n{table}\n\nAll results: "
        f"[{found.page}](../{found.page}.md). Made by:\n\n```\n{commands}\n```"
    )


def comparison(name: str) -> Comparison | None:
    """Return the table that compares a method; None if no row has it."""
    if name in choose.TRANSFORMS:
        return _trained_anew(name)
    if name == "DropEdge":
        return _deep()
    if name == "EdgeLottery":
        return _lottery()
    if name in (*kedge.SEARCHED, *kedge.OTHERS, *kedge.WITH_TEACHER):
        return _with_teacher(name)
    return _structured() if name == "ADMM" else _weights(name)


NO_EDGES = "MLP, no edges"
RANDOM = "random edges"
ALL_EDGES = "all edges"


def _without(name: str, controls: dict[str, Filter]) -> dict[str, Filter]:
    """Return the controls; a method is not its own one."""
    if name == "RandomEdge":
        controls.pop(RANDOM)
    return controls


def _trained_anew(name: str) -> Comparison:
    """Return a sparsifier beside others, for models that are trained on its graph."""
    places: list[Place] = []
    for split, graphs in choose.GRAPHS.items():
        for graph, model in product(graphs, ("gcn", "gat")):
            place: Filter = {"dataset": graph, "split": split, "model": model}
            weighs = None if name == "RandomEdge" else model == "gcn"
            cut = {"sparsity": SPARSITY}
            labels = (graph, split, model.upper())
            places.append((labels, place, cut | {"reweight": weighs}))
    random: Filter = {"method": "RandomEdge", "reweight": None}
    controls: dict[str, Filter] = {
        RANDOM: random,
        ALL_EDGES: {"method": "Dense"},
        NO_EDGES: {"method": "MLP", "model": "mlp"},
    }
    return Comparison(
        lambda results: results("fastgat"),
        f"With {percent(SPARSITY)} of the edges removed a fresh model is trained. "
        f"{CUT_FIRST} tolokers: ROC-AUC.",
        ("graph", "split", "model"),
        places,
        {"method": name},
        _without(name, controls),
        frozenset((ALL_EDGES, NO_EDGES)),
        "fastgat",
    )


def _edge_places(graphs: Sequence[str], models: Sequence[str], way: str) -> list[Place]:
    cut = {"sparsity": SPARSITY, "training": way}
    return [
        (
            (graph, "60-20-20" if graph in GRAPHS else "public", model.upper()),
            {"dataset": graph, "model": model},
            cut,
        )
        for graph, model in product(graphs, models)
    ]


def _kedge_controls() -> dict[str, Filter]:
    return {
        RANDOM: kedge.method("RandomEdge"),
        ALL_EDGES: {**kedge.DENSE, **kedge.ALONE},
        NO_EDGES: {**kedge.MLP, **kedge.ALONE},
    }


def _with_teacher(name: str) -> Comparison:
    """Return edges that are chosen for the weights of a trained model."""
    terms = True if name == "NeuralSparse" else None
    graphs, fitted = (*kedge.SPARSITIES, *GRAPHS), ""
    if is_learned(name):
        gates = "features"
        if method_class(name).edge_terms == "always":
            gates = "terms of single edges"
        elif has_edge_terms(name, "edges", terms):
            gates = "features and terms of single edges"
        fitted = f" The mask, from {gates}, is fitted to the predictions at all nodes."
    return Comparison(
        kedge.kedge_rows,
        f"With {percent(SPARSITY)} of the edges removed the trained weights are kept, "
        f"or fine-tuned where that is clearly better on validation nodes. {CUT_FIRST}"
        + fitted,
        ("graph", "split", "model"),
        _edge_places(graphs, ("gcn", "gat"), CHOSEN),
        kedge.method(name, terms),
        _kedge_controls(),
        frozenset((ALL_EDGES, NO_EDGES)),
        "kedge",
    )


def _lottery() -> Comparison:
    return Comparison(
        kedge.kedge_rows,
        f"With {percent(SPARSITY)} of the edges removed a fresh model is trained. "
        + CUT_FIRST,
        ("graph", "split", "model"),
        _edge_places((*kedge.SPARSITIES,), ("gcn", "gat"), "scratch"),
        kedge.method("EdgeLottery"),
        _kedge_controls(),
        frozenset((ALL_EDGES, NO_EDGES)),
        "kedge",
    )


def _deep() -> Comparison:
    places: list[Place] = [
        (
            (DATASET, "public", f"GCN, {backbone}", str(depth)),
            {"dataset": DATASET, "backbone": backbone, "num_layers": depth},
            {},
        )
        for backbone in BACKBONES
        for depth in (2, 4, 8, 16, 32)
    ]
    fresh: Filter = {"training": "scratch"}
    return Comparison(
        lambda results: results("depth"),
        f"{percent(DROP)} of the edges, chosen at random, are left out of every "
        "training step; the test uses all edges.",
        ("graph", "split", "model", "layers"),
        places,
        {"method": "DropEdge", "sparsity": DROP, **fresh},
        {ALL_EDGES: {"method": "Dense", **fresh}},
        frozenset((ALL_EDGES,)),
        "kedge",
    )


def _weights(name: str) -> Comparison:
    places: list[Place] = [
        (
            (graph, "public", model.upper(), percent(sparsity)),
            {"dataset": graph, "model": model, "hidden_channels": None},
            {"weight_sparsity_target": sparsity},
        )
        for model, graph, sparsity in product(MODELS, PRUNED_GRAPHS, (0.95, 0.98))
    ]
    controls: dict[str, Filter] = {
        "random weights": {"pruner": "RandomWeight"},
        "all weights": {"pruner": None},
        NO_EDGES: {"model": "mlp", "pruner": None},
    }
    if name == "RandomWeight":
        controls.pop("random weights")
    rounds = " It has five rounds here." if name == "WeightLottery" else ""
    return Comparison(
        lambda results: results("prune"),
        "Weights of the first layer are removed, and those that are left are trained."
        + rounds,
        ("graph", "split", "model", "removed"),
        places,
        {"pruner": name},
        controls,
        frozenset(("all weights", NO_EDGES)),
        "prune",
    )


def _structured() -> Comparison:
    places: list[Place] = [
        (
            (
                case.dataset,
                card(case.dataset).default_split,
                case.model.upper(),
                f"{case.fewer:g}x",
            ),
            {"dataset": case.dataset, "fewer": case.fewer},
            {},
        )
        for case in CASES
    ]
    return Comparison(
        lambda results: results("structured"),
        "Whole hidden units are removed until a forward pass has fewer multiply-adds, "
        "by the factor in the table; then the smaller model is trained further.",
        ("graph", "split", "model", "fewer multiply-adds"),
        places,
        {"method": "ADMM"},
        {
            "random units": {"method": "RandomWeight"},
            "all units": {"method": "Dense"},
            "small model from scratch": {"method": "Small"},
        },
        frozenset(),
        "structured",
    )


def _commands(rows: Sequence[Row]) -> list[str]:
    """Return the published commands that make rows, without one that others replace."""
    wanted = {(row["config_hash"], row["seed"]) for row in rows}
    found = []
    for i, (table, made) in enumerate(_makers()):
        if rows and table == rows[0]["table"] and wanted & made:
            wanted -= made
            found.append(format_command(published_commands()[i]))
    return found


@cache
def _makers() -> list[tuple[str, frozenset[tuple[str, int]]]]:
    """Return the table of each published command, and hash and seed of its runs."""
    return [
        (
            it.table,
            frozenset((h, task.seed) for task in it.tasks for h in task.config.hashes),
        )
        for it in published_commands()
    ]

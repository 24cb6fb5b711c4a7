"""Average rows over seeds: one line per configuration, one block per comparison."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from statistics import fmean, median, stdev

from gsparse.bench.tables.rows import Row

BLOCK = (
    "dataset",
    "split",
    "model",
    "num_layers",
    "hidden",
    "backbone",
    "device",
    "metric",
    "graph_fingerprint",
    "model_fingerprint",
)
"""Rows that agree on these stand in one block; the MLP joins every block."""

LETTERS = {
    "w": "trained with the method's new edge weights",
    "l": "mask learned from the training labels alone",
    "j": "weights learned together with the mask",
    "f": "weights of the dense model, trained on with the edges left",
    "r": "weights of the dense model at rest: not trained on",
    "c": "weights of the dense model at rest or trained on, as validation chose",
    "d": "distilled from the dense model",
    "e": "mask with terms of single edges beside its features",
    "n": "mask without terms of single edges",
}


@dataclass(frozen=True)
class Line:
    """Summary of the seeds of one configuration; absent numbers are None."""

    method: str
    reweight: bool | None
    sparsity_target: float
    sparsity: float
    num_seeds: int
    test_mean: float | None
    test_std: float | None
    val_mean: float
    epochs: float | None
    train_epoch_seconds: float | None
    infer_seconds: float | None
    train_peak_bytes: float | None
    infer_peak_bytes: float | None
    preprocess_seconds: float | None
    break_even_epochs: float | None
    spanning: bool | None
    teacher: str = "none"
    training: str = "scratch"
    labels_only: bool = False
    pruner: str | None = None
    weight_sparsity: float | None = None
    drop_edge: float | None = None
    edge_terms: bool | None = None
    epoch_spread: float | None = None
    """Standard deviation of the seconds of an epoch, over seeds."""
    config_hash: str = ""
    """Hash of the configuration, which all rows of the line have."""

    @property
    def is_dense(self) -> bool:
        """Whether nothing was removed."""
        return self.method == "Dense" and self.pruner is None

    @property
    def letters(self) -> str:
        """How the method was used: :data:`LETTERS`."""
        marks = {
            "w": self.reweight,
            "l": self.labels_only,
            "j": self.training == "joint",
            "f": self.training == "finetune",
            "r": self.training == "rest",
            "c": self.training == "chosen",
            "d": self.teacher == "weights",
            "e": self.edge_terms is True,
            "n": self.edge_terms is False,
        }
        return "".join(letter for letter, holds in marks.items() if holds)

    @property
    def plain_name(self) -> str:
        """Method and pruner."""
        parts = [self.method if self.method != "Dense" or not self.pruner else ""]
        parts.append("" if self.drop_edge is None else "DropEdge")
        parts.append(self.pruner or "")
        return " + ".join(filter(None, parts))

    @property
    def name(self) -> str:
        """Method and pruner, and the letters."""
        return f"{self.plain_name} {self.letters}".rstrip()


@dataclass(frozen=True)
class Block:
    """All lines of one dataset, split and model, the dense line first."""

    title: dict[str, str | int | None]
    lines: list[Line]
    version: str | None = None
    """Hashes of graph and model, if another block has the same names."""

    @property
    def heading(self) -> str:
        """Data set, split and model, such as ``"PubMed (public), gat 2x8"``."""
        version = "" if self.version is None else f", version {self.version}"
        return self._names + version

    @property
    def _names(self) -> str:
        t = self.title
        text = f"{t['dataset']} ({t['split']}), {t['model']}"
        if t["hidden"] is not None:  # unknown for models that are not ours
            text += f" {t['num_layers']}x{t['hidden']}"
        return text if t["backbone"] is None else f"{text} {t['backbone']}"

    def as_records(self) -> list[dict]:
        """Return one flat mapping per line, for ``--json``."""
        return [self.title | asdict(line) for line in self.lines]


def summarise(rows: Iterable[Row]) -> list[Block]:
    """Group rows by block and configuration, and average over the seeds.

    The standard deviation is that of a sample (n - 1); with one seed there is none.

    Args:
        rows: As :func:`~gsparse.bench.tables.rows.read_rows` returns them.

    Returns:
        Blocks in the order of first appearance; in each the dense line, then the
        methods by name and sparsity, then the MLP.
    """
    rows = list(rows)
    graph_rows = [row for row in rows if row["method"] != "MLP"]
    mlp_rows = [row for row in rows if row["method"] == "MLP"]
    blocks = []
    for key, members in _group(graph_rows or mlp_rows, BLOCK).items():
        title = dict(zip(BLOCK, key, strict=True))
        shared = ("dataset", "split", "device", "metric", "graph_fingerprint")
        beside = [
            r
            for r in mlp_rows
            if all(r.get(k) == title[k] for k in shared)
            and r.get("teacher_model") in (None, title["model"])
            and r.get("model_fingerprint") in (None, title["model_fingerprint"])
            and r.get("hidden_channels") == members[0].get("hidden_channels")
        ]
        blocks.append(Block(title, _lines(members + beside if graph_rows else members)))
    return _with_versions(blocks)


def _with_versions(blocks: list[Block]) -> list[Block]:
    """Tell blocks of one name apart, as of a graph file before and after an edit."""
    known = Counter(block.heading for block in blocks)
    marks = ("graph_fingerprint", "model_fingerprint")
    found = []
    for block in blocks:
        hashes = [str(it) for key in marks if (it := block.title[key]) is not None]
        if known[block.heading] > 1 and hashes:
            block = replace(block, version="/".join(hashes))
        found.append(block)
    return found


def break_even(
    preprocess: float | None, dense_epoch: float | None, epoch: float | None
) -> float | None:
    """Return the number of epochs after which preprocessing has paid for itself.

    Returns:
        Preprocessing seconds over the seconds saved an epoch; None where nothing is
        saved or something was not measured.

    Example:
        >>> break_even(preprocess=3.0, dense_epoch=0.5, epoch=0.2)
        10.0
    """
    if preprocess is None or dense_epoch is None or epoch is None:
        return None
    return preprocess / (dense_epoch - epoch) if dense_epoch > epoch else None


def _group(rows: Iterable[Row], keys: tuple[str, ...]) -> dict[tuple, list[Row]]:
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(key) for key in keys), []).append(row)
    return groups


def _lines(rows: list[Row]) -> list[Line]:
    groups = list(_group(rows, ("config_hash",)).values())
    dense = [
        _mean(rs, "train_epoch_seconds", median)
        for rs in groups
        if rs[0]["method"] == "Dense"
        and rs[0]["teacher"] != "weights"
        and rs[0].get("pruner") is None
    ]
    lines = [line_of(members, dense[0] if dense else None) for members in groups]
    order = {"Dense": 0, "MLP": 2}
    return sorted(
        lines,
        key=lambda it: (
            order.get(it.name.partition(" ")[0], 1),
            it.name,
            it.sparsity_target,
            it.weight_sparsity or 0.0,
        ),
    )


def line_of(rows: list[Row], dense_epoch: float | None = None) -> Line:
    """Summarise the seeds of one configuration."""
    first = rows[0]
    tests = [row["test_score"] for row in rows if row["test_score"] is not None]
    epoch = _mean(rows, "train_epoch_seconds", median)
    preprocess = _mean(rows, "preprocess_seconds", median)
    kept, needed = first.get("num_pairs_after"), first.get("num_pairs_spanning")
    return Line(
        method=first["method"],
        reweight=first.get("reweight"),
        sparsity_target=first["sparsity_target"]
        if "sparsity_target" in first
        else first["sparsity"],
        sparsity=fmean(row["sparsity"] for row in rows),
        num_seeds=len(rows),
        test_mean=fmean(tests) if tests else None,
        test_std=stdev(tests) if len(tests) > 1 else None,
        val_mean=fmean(row["val_score"] for row in rows),
        epochs=_mean(rows, "num_epochs"),
        train_epoch_seconds=epoch,
        infer_seconds=_mean(rows, "infer_seconds", median),
        train_peak_bytes=_mean(rows, "train_peak_bytes"),
        infer_peak_bytes=_mean(rows, "infer_peak_bytes"),
        preprocess_seconds=preprocess,
        break_even_epochs=break_even(preprocess, dense_epoch, epoch),
        spanning=None if kept is None or needed is None else kept >= needed,
        teacher=first["teacher"],
        training=first.get("training", "scratch"),
        labels_only="mask_epoch_seconds" in first and first["teacher"] == "none",
        pruner=first.get("pruner"),
        weight_sparsity=_mean(rows, "weight_sparsity"),
        drop_edge=first.get("drop_edge"),
        edge_terms=first.get("edge_terms"),
        epoch_spread=_mean(rows, "train_epoch_seconds", _spread),
        config_hash=first["config_hash"],
    )


def _spread(values: list[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _mean(
    rows: list[Row], key: str, average: Callable[[list[float]], float | None] = fmean
) -> float | None:
    values = [row[key] for row in rows if row.get(key) is not None]
    return average(values) if values else None

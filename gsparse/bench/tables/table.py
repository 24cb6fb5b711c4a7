"""Format tables as plain text: score, seconds, bytes, break-even."""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap

from gsparse.bench.tables.summary import LETTERS, Block, Line

WORTH_SAYING = 0.5  # points of score
HEADER = ("method", "cut", "pruned", "n", "test", "epoch", "infer", "peak", "prepare")


def format_blocks(blocks: list[Block]) -> str:
    """Format the blocks as plain text, at most 80 columns wide."""
    return "\n\n".join(_format_block(block) for block in blocks)


def _format_block(block: Block) -> str:
    t, head = block.title, block.heading
    what = {"accuracy": "accuracy", "roc_auc": "ROC-AUC"}.get(str(t["metric"]), "score")
    cells = [HEADER, *(_cells(line) for line in block.lines)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEADER))]
    used = [
        i for i in range(len(HEADER)) if any(row[i].strip("-") for row in cells[1:])
    ]
    text = [
        "  ".join(
            row[i].ljust(widths[i]) if i == 0 else row[i].rjust(widths[i]) for i in used
        ).rstrip()
        for row in cells
    ]
    text.insert(1, "-" * max(len(line) for line in text))
    title = f"{head}: {what} in %, mean ± std over n seeds"
    return "\n".join([title, *_legend(block.lines), *text, *_notes(block.lines)])


def _cells(line: Line) -> tuple[str, ...]:
    mean = line.test_mean
    score = "-" if mean is None else mean_and_deviation(mean, line.test_std)
    peak = line.train_peak_bytes
    return (
        line.name,
        f"{100 * line.sparsity:.0f}%",
        "-" if line.weight_sparsity is None else f"{100 * line.weight_sparsity:.3g}%",
        str(line.num_seeds),
        score,
        seconds(line.train_epoch_seconds),
        seconds(line.infer_seconds),
        "-" if peak is None else size(peak),
        seconds(line.preprocess_seconds),
    )


def mean_and_deviation(mean: float, deviation: float | None) -> str:
    """Format a score in percent, with its standard deviation if there is one.

    Example:
        >>> mean_and_deviation(0.8125, 0.01), mean_and_deviation(0.5, None)
        ('81.2 ± 1.0', '50.0')
    """
    spread = "" if deviation is None else f" ± {100 * deviation:.1f}"
    return f"{100 * mean:.1f}{spread}"


def columns(records: Sequence[Mapping[str, object]], width: int | None = None) -> str:
    """Format records with equal keys as aligned columns; numbers to the right.

    Args:
        records: One mapping a line; their keys are the header.
        width: Columns that the text may take; the last column is wrapped to fit.

    Example:
        >>> print(columns([{"name": "a", "edges": 10}, {"name": "bcd", "edges": 5}]))
        name  edges
        a        10
        bcd       5
    """
    if not records:
        return ""
    keys = list(records[0])
    right = {key: any(_is_number(record[key]) for record in records) for key in keys}
    cells = [dict(zip(keys, keys, strict=True))] + [
        {key: "-" if record[key] is None else _text(record[key]) for key in keys}
        for record in records
    ]
    widths = {key: max(len(row[key]) for row in cells) for key in keys}
    used = sum(widths[key] + 2 for key in keys[:-1])
    if width is not None:
        widths[keys[-1]] = min(widths[keys[-1]], max(width - used, 12))
    lines = []
    for row in cells:
        front = "".join(
            (row[key].rjust if right[key] else row[key].ljust)(widths[key]) + "  "
            for key in keys[:-1]
        )
        for part in wrap(row[keys[-1]], widths[keys[-1]]) or [""]:
            last = part.rjust(widths[keys[-1]]) if right[keys[-1]] else part
            lines.append((front + last).rstrip())
            front = " " * used
    return "\n".join(lines)


def _is_number(value: object) -> bool:
    """Whether a value is a number or begins with one, such as a duration."""
    return isinstance(value, int | float) or str(value)[:1].isdigit()


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def seconds(value: float | None) -> str:
    """Format a duration with three digits and a unit.

    Example:
        >>> seconds(0.0123), seconds(2.5), seconds(5400), seconds(None)
        ('12.3ms', '2.50s', '1.5h', '-')
    """
    if value is None:
        return "-"
    if value < 0.9995:
        return f"{1e3 * value:.3g}ms"
    if value < 120:
        return f"{value:.2f}s"
    return f"{value / 60:.1f}min" if value < 3600 else f"{value / 3600:.1f}h"


def size(value: float) -> str:
    """Format bytes in binary units with three digits.

    Example:
        >>> size(5 * 2**20), size(1536 * 2**20)
        ('5M', '1.5G')
    """
    return f"{value / 2**20:.3g}M" if value < 1000 * 2**20 else f"{value / 2**30:.3g}G"


def _legend(lines: list[Line]) -> list[str]:
    """Return what the letters after the methods mean."""
    used = {letter for line in lines for letter in line.letters}
    return [f"{letter}: {what}" for letter, what in LETTERS.items() if letter in used]


def _notes(lines: list[Line]) -> list[str]:
    """Return what follows from the table."""
    notes = []
    dense = next((line for line in lines if line.is_dense), None)
    if dense is not None:
        notes += _paying(lines, dense)
    below = [it for it in lines if it.spanning is False and it.method != "MLP"]
    notes += _listed("Below a spanning forest, so no (1±ε) exists", map(_cut, below))
    mlp = next((line for line in lines if line.method == "MLP"), None)
    if mlp and dense and mlp.test_mean is not None and dense.test_mean is not None:
        gap = 100 * (dense.test_mean - mlp.test_mean)
        if gap < 100 * (dense.test_std or 0.0):
            notes.append(f"The MLP is {gap:.1f} points from Dense: drop the graph?")
    return notes


def _cut(line: Line) -> str:
    return f"{line.name} {100 * line.sparsity:.0f}%"


def _listed(title: str, parts: Iterable[str]) -> list[str]:
    """Return a title and its parts in lines of at most 80 columns, or nothing."""
    text = ", ".join(parts)
    return wrap(f"{title}: {text}", 80, subsequent_indent="  ") if text else []


def _paying(lines: list[Line], dense: Line) -> list[str]:
    """Return after how many epochs preprocessing pays, where the gain is clear.

    It is clear where an epoch is faster by more than the epochs of the seeds differ.
    """
    notes, unclear = [], []
    for line in lines:
        if None in (line.preprocess_seconds, line.epoch_spread, dense.epoch_spread):
            continue
        saved = (dense.train_epoch_seconds or 0.0) - (line.train_epoch_seconds or 0.0)
        if saved <= (line.epoch_spread or 0.0) + (dense.epoch_spread or 0.0):
            unclear.append(_cut(line))
            continue
        each = f"{seconds(line.preprocess_seconds)} / {seconds(saved)} an epoch"
        count = max(1, round(line.break_even_epochs or 0))
        after = f"{count:,} epoch{'s' if count > 1 else ''}"
        lost = 100 * ((dense.test_mean or 0.0) - (line.test_mean or 0.0))
        but = f", but loses {lost:.1f} points" if lost > WORTH_SAYING else ""
        text = f"{_cut(line)} pays after {each} = {after}{but}"
        notes += wrap(text, 80, subsequent_indent="  ")
    return notes + _listed("An epoch is not clearly faster", unclear)

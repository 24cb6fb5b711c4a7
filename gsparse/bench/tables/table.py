"""Format tables as plain text: score, seconds, bytes, break-even."""

from collections.abc import Mapping, Sequence
from textwrap import wrap

from gsparse.bench.tables.summary import LETTERS, Block, Line

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
    return "\n".join([title, *text, *_notes(block.lines)])


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


def _notes(lines: list[Line]) -> list[str]:
    notes = []
    used = {
        letter
        for line in lines
        for word in line.name.split(" ")[1:]
        if set(word) <= set(LETTERS)
        for letter in word
    }
    notes += [f"{letter}: {what}" for letter, what in LETTERS.items() if letter in used]
    dense = next((line for line in lines if line.is_dense), None)
    for line in lines:
        timed = (line.preprocess_seconds, line.train_epoch_seconds)
        if dense is None or dense.train_epoch_seconds is None or None in timed:
            continue
        notes.append(_pays(line, dense))
    for line in lines:
        if line.spanning is False and line.method != "MLP":
            what = f"{line.name} {100 * line.sparsity:.0f}%"
            notes.append(f"{what}: below a spanning forest, so no (1±ε) exists")
    mlp = next((line for line in lines if line.method == "MLP"), None)
    if mlp and dense and mlp.test_mean is not None and dense.test_mean is not None:
        gap = 100 * (dense.test_mean - mlp.test_mean)
        if gap < 100 * (dense.test_std or 0.0):
            notes.append(f"The MLP is {gap:.1f} points from Dense: drop the graph?")
    return notes


def _pays(line: Line, dense: Line) -> str:
    head = f"Does it pay? {line.name} {100 * line.sparsity:.0f}%: "
    if line.break_even_epochs is None:
        return head + "no, an epoch is not faster"
    saved = (dense.train_epoch_seconds or 0.0) - (line.train_epoch_seconds or 0.0)
    parts = f"{seconds(line.preprocess_seconds)} / {seconds(saved)} an epoch"
    return f"{head}{parts} = {line.break_even_epochs:,.0f} epochs"

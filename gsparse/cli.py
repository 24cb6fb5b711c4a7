"""The ``gsparse`` command: every subcommand is one call into the package."""

# The string annotations let this module load, and say what is missing, without typer;
# imports inside the commands keep `gsparse --help` from loading torch.
from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

try:
    import typer
except ModuleNotFoundError:
    typer = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from gsparse.bench.experiment.grid import Task

MISSING = "the gsparse command needs its extra: pip install 'gsparse-gnn[cli]'"
EXPECTED = (ValueError, TypeError, OSError, ImportError, RuntimeError)


def main(args: list[str] | None = None) -> None:
    """Run the command line; wrong input ends in one line and exit code 2.

    Args:
        args: Words after ``gsparse``; None for those of the process.
    """
    if typer is None:
        _stop(MISSING, 2)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    _quiet()
    try:
        code = _app()(args, standalone_mode=False, prog_name="gsparse")
    except (KeyboardInterrupt, typer.Abort):
        _stop("stopped", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None  # our reader has gone: nothing to say
    except Exception as error:
        usage = getattr(error, "format_message", None)  # of typer's usage errors
        if usage is None and not isinstance(error, EXPECTED):
            raise
        if "GSPARSE_DEBUG" in os.environ:
            raise
        text = usage() if usage else str(error) or type(error).__name__
        if not text:  # `gsparse` alone has printed its help
            raise SystemExit(2) from None
        _stop(f"error: {' '.join(text.split())}", 2)
    raise SystemExit(code if isinstance(code, int) else 0)


def _app() -> typer.Typer:
    app = typer.Typer(
        help="Fewer edges, same accuracy, measured speed.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for command in (bench, reproduce, sparsify, prune, report, datasets, methods):
        app.command()(command)
    return app


def _quiet() -> None:
    """Keep torch's notes on its beta features off the screen, in workers too."""
    for start in ("Sparse CSR tensor support", "Sparse invariant checks"):
        warnings.filterwarnings("ignore", start)
        rule = f"ignore:{start}"
        rules = os.environ.get("PYTHONWARNINGS", "")
        if rule not in rules:
            os.environ["PYTHONWARNINGS"] = f"{rules},{rule}".strip(",")


def _stop(text: str, code: int) -> NoReturn:
    print(text, file=sys.stderr)
    raise SystemExit(code)


def bench(
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="Data set; repeat for more. (digits)"),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="gat, gcn or sage; repeat for more. (gat)"),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Sparsifier; repeat for more. (EffectiveResistance, RandomEdge)"
        ),
    ] = None,
    sparsity: Annotated[
        str, typer.Option(help="Shares of the edges to remove, with commas.")
    ] = "0.5,0.8",
    seeds: Annotated[str, typer.Option(help="How many, or a range: 100-109.")] = "3",
    split: Annotated[
        str | None, typer.Option(help="Kind of split (of the data set)")
    ] = None,
    weights: Annotated[
        str, typer.Option(help="The method's new edge weights: use, ignore or auto.")
    ] = "auto",
    training: Annotated[
        str, typer.Option(help="Weights: scratch, finetune, joint; with commas.")
    ] = "scratch",
    teacher: Annotated[
        str, typer.Option(help="Dense model used for: none, edges, weights, auto.")
    ] = "auto",
    prune: Annotated[
        list[str] | None, typer.Option(help="Weight pruner; repeat for more.")
    ] = None,
    weight_sparsity: Annotated[
        str, typer.Option(help="Shares of the weights to remove, with commas.")
    ] = "0.9",
    hidden: Annotated[
        int | None, typer.Option(min=1, help="Width of the hidden layers.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Most epochs (of the model)")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the rows.")] = Path("runs"),
    table: Annotated[str, typer.Option(help="Name of the file in it.")] = "bench",
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of all processes together.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only print the hours.")] = False,
    memory: Annotated[bool, typer.Option("--memory", help="Also peak bytes.")] = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="Validation scores only, no test.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw score against sparsity.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Train with and without the edges and weights that methods remove; compare.

    Plain training (Dense) and a model without edges (MLP) are always in the table.
    Finished runs stay in OUT/TABLE.jsonl and are never run twice.
    """
    from gsparse.bench.experiment.config import configs
    from gsparse.bench.experiment.grid import grid_rows, tasks
    from gsparse.bench.experiment.parse import (
        TEACHERS,
        WEIGHTS,
        parse_choice,
        parse_numbers,
        parse_seeds,
    )
    from gsparse.bench.experiment.progress import run_with_progress

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
        trainings=training.split(","),  # type: ignore[arg-type]  # checked there
        pruners=prune or [],
        weight_sparsities=parse_numbers("weight_sparsity", weight_sparsity),
        hidden_channels=hidden,
    )
    grid, path = tasks(cells, parse_seeds(seeds)), out / f"{table}.jsonl"
    _set_threads(threads)
    if plan:
        return _print_plan(grid, path, data_root, as_json)
    try:
        failures = run_with_progress(grid, path, jobs, data_root, memory=memory)
    except KeyboardInterrupt:
        _stop(f"stopped; {path} keeps what is done; the same command goes on", 130)
    _print_rows(grid_rows(grid, path), as_json, plot)
    for outcome in failures:
        print(f"failed: {outcome.task}: {outcome.error}", file=sys.stderr)
    return 1 if failures else 0


def reproduce(
    name: Annotated[
        str,
        typer.Argument(
            help="fastgat, kedge-pubmed, kedge-citation, kedge-depth, prune-citation."
        ),
    ],
    full: Annotated[
        bool, typer.Option("--full/--quick", help="All graphs and seeds, or few.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder of the rows.")] = Path("runs"),
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only print the hours.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Measure what a paper claims: exit code 0 where all of it holds, else 1.

    What stands in OUT already is not run again.
    """
    from gsparse.bench.experiment.progress import run_with_progress
    from gsparse.bench.findings import format_findings, paper

    module = paper(name)
    grid, path = module.runs(not full), out / f"{module.TABLE}.jsonl"
    if plan:
        return _print_plan(grid, path, data_root, as_json)
    for outcome in run_with_progress(grid, path, jobs, data_root, memory=False):
        raise RuntimeError(f"{outcome.task} failed: {outcome.error}")
    found = module.findings(out, not full, data_root)
    text = f"{name}: {module.CLAIM}\n\n{format_findings(found)}"
    _print([finding.as_record() for finding in found], text, as_json)
    return 0 if all(finding.holds for finding in found) else 1


def sparsify(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help=".pt, .npz, .txt, .csv or .tsv.")
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="Its suffix decides the format.")
    ],
    method: Annotated[str, typer.Option(help="See `gsparse methods`.")],
    sparsity: Annotated[
        float | None, typer.Option(help="Share of the edges to remove, in [0, 1).")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Spectral tolerance, in place of sparsity.")
    ] = None,
    undirected: Annotated[
        bool, typer.Option("--undirected/--directed", help="What the graph is.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Of the random draws.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Remove edges from the graph in a file."""
    from gsparse.bench.cut_file import sparsify_file

    record = sparsify_file(
        source,
        target,
        method,
        sparsity=sparsity,
        epsilon=epsilon,
        undirected=undirected,
        seed=seed,
    )
    before, after = record["num_pairs_before"], record["num_pairs_after"]
    text = f"{before:,} -> {after:,} undirected edges in {record['seconds']:.2f} s"
    _print(record, f"{text}: {target}", as_json)


def prune(
    dataset: Annotated[str, typer.Option(help="Data set.")] = "digits",
    model: Annotated[str, typer.Option(help="gat, gcn or sage.")] = "gat",
    pruner: Annotated[str, typer.Option(help="See docs/prune.md.")] = "Magnitude",
    sparsity: Annotated[
        float, typer.Option(help="Share of the weights to remove, in [0, 1).")
    ] = 0.75,
    structure: Annotated[
        str | None, typer.Option(help="What goes whole: rows, columns, heads or units.")
    ] = None,
    bits: Annotated[
        int | None, typer.Option(help="Round what is left to so many, from 2 to 8.")
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Take dead units out of the layers.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of split, first weights, pruner.")] = 0,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Most epochs of a training (of the model)")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Kind of split (of the data set)")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the model and its card.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train a model, remove weights, train on; save what is left."""
    from gsparse.bench.prune_command import format_record, prune_model

    record = prune_model(
        dataset,
        model,
        pruner,
        sparsity,
        structure=structure,
        bits=bits,
        compacted=compact,
        seed=seed,
        epochs=epochs,
        split=split,
        out=out,
        root=data_root,
    )
    _print(record, format_record(record), as_json)


def report(
    runs: Annotated[Path, typer.Argument(help="Folder or file of rows.")],
    stale: Annotated[
        bool, typer.Option("--stale", help="List rows of outdated methods or recipes.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw score against sparsity.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Print the tables of rows made before."""
    from gsparse.bench.experiment.config import is_stale
    from gsparse.bench.tables.measurement import split_measurements
    from gsparse.bench.tables.rows import latest, read_rows

    rows, others = split_measurements(latest(read_rows(runs)))
    if others:
        made_by = ", ".join(f"python -m gsparse.bench.{table}" for table in others)
        print(f"measurements are left out ({made_by})", file=sys.stderr)
    old = [row for row in rows if is_stale(row)]
    if stale:
        keys = ("table", "dataset", "model", "method", "sparsity", "seed")
        text = [" ".join(str(row[key]) for key in keys) for row in old]
        _print(old, "\n".join(text) or "no stale rows", as_json)
        return 0
    if old:
        print(f"{len(old)} stale rows are left out (--stale)", file=sys.stderr)
    _print_rows([row for row in rows if row not in old], as_json, plot)
    return 0


def methods(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the methods."""
    from gsparse.bench.catalogue import method_records
    from gsparse.bench.tables.table import columns

    records = method_records()
    _print(records, columns(records, width=80), as_json)


def datasets(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the data sets and their splits."""
    from gsparse.bench.catalogue import dataset_records
    from gsparse.bench.tables.table import columns

    records = dataset_records()
    short = [{k: v for k, v in it.items() if k != "licence"} for it in records]
    _print(records, columns(short, width=80), as_json)


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _print_rows(rows: list[dict[str, Any]], as_json: bool, plot: Path | None) -> None:
    from gsparse.bench.tables.plot import plot_rows
    from gsparse.bench.tables.summary import summarise
    from gsparse.bench.tables.table import format_blocks

    blocks = summarise(rows)
    records = [record for block in blocks for record in block.as_records()]
    _print(records, format_blocks(blocks) or "no rows", as_json)
    if plot is not None:
        plot_rows(rows, plot)


def _print_plan(grid: list[Task], path: Path, root: Path | None, as_json: bool) -> int:
    from gsparse.bench.experiment.plan import format_plan, make_plan

    plan = make_plan(grid, path, root=root)
    _print([part._asdict() for part in plan], format_plan(plan), as_json)
    return 0


def _print(value: object, text: str, as_json: bool) -> None:
    print(json.dumps(value, indent=2) if as_json else text)

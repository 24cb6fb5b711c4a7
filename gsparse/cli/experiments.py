"""Commands that run experiments and report their results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gsparse.cli.output import (
    print_audit,
    print_documents,
    print_measured_plot,
    print_plan,
    print_rows,
    print_value,
    set_threads,
    stop,
)


def bench(
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            help="Data set, or graph file: .pt, .npz, .mtx, .csv, .tsv, .txt; may be "
            "repeated. (digits)"
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="gat, gcn, sage, or module:function called with the numbers of "
            "features and classes; may be repeated. (gat)"
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Sparsifier; may be repeated. (EffectiveResistance, RandomEdge)"
        ),
    ] = None,
    sparsity: Annotated[
        str, typer.Option(help="Fractions of edges to remove, with commas.")
    ] = "0.5,0.8",
    seeds: Annotated[
        str, typer.Option(help="Number of seeds, or a range: 100-109.")
    ] = "3",
    split: Annotated[
        str | None, typer.Option(help="Kind of split (the dataset's default)")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Labels of the graph file: .npy, .csv, .tsv or .txt."),
    ] = None,
    weights: Annotated[
        str, typer.Option(help="New edge weights of the method: use, ignore or auto.")
    ] = "auto",
    training: Annotated[
        str,
        typer.Option(help="scratch, finetune, rest or joint; by commas."),
    ] = "scratch",
    teacher: Annotated[
        str,
        typer.Option(help="Use of a dense model: none, edges, weights or auto."),
    ] = "auto",
    prune: Annotated[
        list[str] | None, typer.Option(help="Weight pruner; may be repeated.")
    ] = None,
    weight_sparsity: Annotated[
        str, typer.Option(help="Fractions of weights to remove, with commas.")
    ] = "0.9",
    hidden: Annotated[
        int | None, typer.Option(min=1, help="Width of the hidden layers.")
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Train on the receptive fields of labels.")
    ] = False,
    edge_terms: Annotated[
        str, typer.Option(help="Terms of single edges in learned masks: with, without.")
    ] = "auto",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of epochs (the recipe's)")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs"),
    table: Annotated[str, typer.Option(help="Name of the results file.")] = "bench",
    jobs: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Total number of threads of all processes."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the hours and exit.")
    ] = False,
    memory: Annotated[
        bool, typer.Option("--memory", help="Also measure peak bytes.")
    ] = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="Compute validation scores only.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="File for a plot of score against sparsity.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Compare training with and without the edges and weights that methods remove.

    The table always includes plain training (Dense) and a model without edges (MLP).
    Runs already recorded in OUT/TABLE.jsonl are skipped.
    """
    from gsparse.bench.experiment.grid import grid_rows
    from gsparse.bench.experiment.progress import run_with_progress
    from gsparse.bench.experiment.request import requested_tasks

    grid = requested_tasks(
        dataset=dataset or [],
        model=model or [],
        method=method or [],
        sparsity=sparsity,
        seeds=seeds,
        split=split,
        weights=weights,
        training=training,
        teacher=teacher,
        prune=prune or [],
        weight_sparsity=weight_sparsity,
        hidden=hidden,
        local=local,
        edge_terms=edge_terms,
        epochs=epochs,
        table=table,
        device=device,
        tune=tune,
        labels=labels,
    )
    path = out / f"{table}.jsonl"
    set_threads(threads)
    if plan:
        return print_plan(grid, path, data_root, as_json)
    try:
        failures = run_with_progress(grid, path, jobs, data_root, memory=memory)
    except KeyboardInterrupt:
        stop(f"stopped; repeat the command to resume from {path}", 130)
    print_rows(grid_rows(grid, path), as_json, plot)
    print(f"rows are in {path}", file=sys.stderr)
    for outcome in failures:
        print(f"failed: {outcome.task}: {outcome.error}", file=sys.stderr)
    return 1 if failures else 0


def reproduce(
    name: Annotated[
        str | None, typer.Argument(help="One of `gsparse reproduce --list`.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full/--quick", help="All graphs and seeds, or a few.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs"),
    jobs: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Total number of threads of all processes."),
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the hours and exit.")
    ] = False,
    as_list: Annotated[
        bool, typer.Option("--list", help="Print claims, graphs and minutes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Reproduce a paper's claims. Exits with 0 if all hold and 1 otherwise.

    Verdicts are by 95 % intervals. Claims that a quick run cannot decide, for too few
    seeds, do not count. Runs already recorded in OUT are skipped.
    """
    from gsparse.bench.findings import (
        exit_code,
        format_findings,
        format_listing,
        listing,
        paper,
    )

    if as_list:
        records = listing()
        print_value(records, format_listing(records), as_json)
        return 0
    if name is None:
        raise ValueError("'name' is missing; see gsparse reproduce --list")
    from gsparse.bench.experiment.progress import run_with_progress

    module = paper(name)
    grid, path = module.runs(not full), out / f"{module.TABLE}.jsonl"
    set_threads(threads)
    if plan:
        more = module.plan(out, not full) if hasattr(module, "plan") else ()
        return print_plan(grid, path, data_root, as_json, more)
    for outcome in run_with_progress(grid, path, jobs, data_root, memory=False):
        raise RuntimeError(f"{outcome.task} failed: {outcome.error}")
    found = module.findings(out, not full, data_root)
    text = f"{name}: {module.CLAIM}\n\n{format_findings(found)}"
    print_value([finding.as_record() for finding in found], text, as_json)
    return exit_code(found, quick=not full)


def report(
    runs: Annotated[Path, typer.Argument(help="Folder or file of results.")],
    stale: Annotated[
        bool, typer.Option("--stale", help="List rows of outdated methods or recipes.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="File for a plot, see below.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", "-o", help="File for a page of tables and plots."),
    ] = None,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures", help="Draw graphs that are here before and after, in --html."
        ),
    ] = False,
    dataset: Annotated[
        list[str] | None, typer.Option(help="Only rows of this data set.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Only rows of this model.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="Only rows of this method.")
    ] = None,
    training: Annotated[
        str | None,
        typer.Option(help="Only rest, finetune, scratch, joint or chosen weights."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the documents with the rows.")
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Write numbers of rows to the documents.")
    ] = False,
    audit: Annotated[
        bool, typer.Option("--audit", help="Find numbers without rows or commands.")
    ] = False,
) -> int:
    """Print the tables of recorded rows, or update the documents beside them.

    --plot draws scores against sparsity; of the table epoch, the seconds of each step;
    of large, those of an edge.
    --training chosen takes, for each seed, dense weights at rest or fine-tuned, as
    validation says. Baselines are always shown, and RandomEdge in a page of --html.

    Documents are RUNS/../*.md, RUNS/README.md and RUNS/../../README.md. Exits with 1 if
    --check finds numbers that differ from the rows, or --audit any fault.
    """
    if audit:
        return print_audit(runs, as_json)
    if check or write:
        return print_documents(runs, write, as_json)
    from gsparse.bench.chosen import with_training
    from gsparse.bench.page.document import write_page
    from gsparse.bench.stale import is_stale
    from gsparse.bench.tables.measurement import split_measurements
    from gsparse.bench.tables.rows import latest, read_rows

    found = latest(read_rows(runs))
    if stale:
        old = [row for row in found if is_stale(row)]
        keys = ("table", "dataset", "model", "method", "sparsity", "seed")
        text = [" ".join(str(row[key]) for key in keys) for row in old]
        print_value(old, "\n".join(text) or "no stale rows", as_json)
        return 0
    rows, others = split_measurements(found)
    if plot is not None and others in (["epoch"], ["large"]) and not rows:
        return print_measured_plot(found, dataset, model, plot)
    if others:
        print(f"measurements are left out ({', '.join(others)})", file=sys.stderr)
    kept = [row for row in rows if not is_stale(row)]
    if len(kept) < len(rows):
        count = len(rows) - len(kept)
        print(f"{count} stale rows are left out (--stale)", file=sys.stderr)
    if dataset:
        kept = [row for row in kept if row["dataset"] in dataset]
    if model:
        kept = [row for row in kept if row["model"] in (*model, "mlp")]
    if method:
        controls = ("Dense", "MLP") if html is None else ("Dense", "MLP", "RandomEdge")
        kept = [row for row in kept if row["method"] in (*method, *controls)]
    if training is not None:
        kept = with_training(kept, training)
    if html is not None:
        write_page(kept, html, pictures=pictures)
        print(f"page written to {html}", file=sys.stderr)
    print_rows(kept, as_json, plot)
    return 0

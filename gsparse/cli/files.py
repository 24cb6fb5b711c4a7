"""Commands that write a graph, a model or machine code."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from gsparse.cli.output import print_value, resumable, set_threads


def sparsify(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="Graph: .pt, .npz, .mtx, .txt, .csv or .tsv; text also with .gz; or "
            "a folder of `gsparse convert`.",
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="Sparsified graph; its suffix decides the format. A folder for a "
            "folder.",
        ),
    ],
    method: Annotated[
        str,
        typer.Option(
            help="Sparsifier that needs no training, such as DSpar or RandomEdge."
        ),
    ],
    sparsity: Annotated[
        float | None, typer.Option(help="Fraction of edges to remove, in [0, 1).")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Spectral tolerance, instead of --sparsity.")
    ] = None,
    undirected: Annotated[
        bool, typer.Option("--undirected/--directed", help="Kind of graph.")
    ] = True,
    symmetrize: Annotated[
        bool,
        typer.Option(
            "--symmetrize", help="Add the reverse of edges that IN lists only once."
        ),
    ] = False,
    relabel: Annotated[
        bool,
        typer.Option(
            "--relabel",
            help="Number nodes with arbitrary names from 0; for OUT = cut.npz the "
            "names are written to cut.nodes.csv.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    memory: Annotated[
        str | None, typer.Option(help="Bound of the memory for a folder. (2GB)")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Number of threads.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Remove edges from the graph in a file or a folder."""
    from gsparse.deploy.cut_file import sparsify_file
    from gsparse.deploy.cut_folder import is_folder_task

    set_threads(threads)
    if is_folder_task(source, target):
        if symmetrize or relabel or not undirected:
            raise ValueError(
                "--directed, --symmetrize and --relabel are for files (IN is a folder)"
            )
        record = _sparsify_folder(
            source, target, method, sparsity, epsilon, seed, memory
        )
        if record is not None:
            _print_cut(record, "pairs", "undirected", target, as_json)
        return
    if memory is not None:
        raise ValueError(
            f"--memory needs a graph folder (got IN {source}); make one with "
            "`gsparse convert`"
        )
    record = sparsify_file(
        source,
        target,
        method,
        sparsity=sparsity,
        epsilon=epsilon,
        undirected=undirected,
        relabel=relabel,
        symmetrize=symmetrize,
        seed=seed,
    )
    counted, kind = ("pairs", "undirected") if undirected else ("edges", "directed")
    _print_cut(record, counted, kind, target, as_json)


def _sparsify_folder(
    source: Path,
    target: Path,
    method: str,
    sparsity: float | None,
    epsilon: float | None,
    seed: int,
    memory: str | None,
) -> dict[str, Any] | None:
    """Sparsify a folder, with all processes of ``torchrun`` if there are several.

    Returns:
        The record, or None in all processes but the first.
    """
    from gsparse.cli.meter import Meter
    from gsparse.deploy.cut_folder import sparsify_stored
    from gsparse.distributed import folders

    meter, shared = Meter(), folders.in_torchrun()
    place = folders.process_group() if shared else nullcontext(True)
    try:
        with resumable(target), place as is_first:
            cut = {"cut": folders.sparsify_folder} if shared else {}
            record = sparsify_stored(
                source,
                target,
                method,
                sparsity=sparsity,
                epsilon=epsilon,
                seed=seed,
                memory=memory or "2GB",
                report=meter if is_first else None,
                **cut,
            )
            return record if is_first else None
    finally:
        meter.close()


def _print_cut(
    record: dict[str, Any], counted: str, kind: str, target: Path, as_json: bool
) -> None:
    before, after = (record[f"num_{counted}_{when}"] for when in ("before", "after"))
    text = f"{before:,} -> {after:,} {kind} edges in {record['seconds']:.2f} s"
    names = f"\nnames of the nodes: {record['labels']}" if "labels" in record else ""
    print_value(record, f"{text}: {target}{names}", as_json)


def prune(
    dataset: Annotated[str, typer.Option(help="Data set.")] = "digits",
    model: Annotated[str, typer.Option(help="gat, gcn or sage.")] = "gat",
    pruner: Annotated[str, typer.Option(help="See `gsparse methods`.")] = "Magnitude",
    sparsity: Annotated[
        float, typer.Option(help="Fraction of weights to remove, in [0, 1).")
    ] = 0.75,
    structure: Annotated[
        str | None,
        typer.Option(help="Groups to prune: rows, columns, heads or units."),
    ] = None,
    bits: Annotated[
        int | None, typer.Option(help="Quantise weights to this many bits (2 to 8).")
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Remove dead units from the layers.")
    ] = False,
    seed: Annotated[
        int, typer.Option(help="Random seed of split, initial weights and pruner.")
    ] = 0,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Maximum number of epochs. (that of the model)"),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Kind of split. (that of the data set)")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the model and its card.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Number of threads.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train a model, prune its weights, fine-tune it, and save the result."""
    from gsparse.cli.pruned_record import format_record
    from gsparse.deploy import prune_model

    set_threads(threads)
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
    print_value(record, format_record(record), as_json)


def warmup() -> None:
    """Compile the common kernels once, before the first training."""
    from gsparse.deploy import warm_up

    for name, seconds in warm_up():
        print(f"{seconds:5.1f} s  {name}", flush=True)

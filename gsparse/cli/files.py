"""Commands that write a graph or a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsparse.cli.output import print_value


def sparsify(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="Graph: .pt, .npz, .mtx, .txt, .csv or .tsv; text also with .gz.",
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Cut graph; its suffix decides the format."),
    ],
    method: Annotated[str, typer.Option(help="See `gsparse methods`.")],
    sparsity: Annotated[
        float | None, typer.Option(help="Share of the edges to remove, in [0, 1).")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Spectral tolerance, in place of sparsity.")
    ] = None,
    undirected: Annotated[
        bool, typer.Option("--undirected/--directed", help="Kind of graph.")
    ] = True,
    symmetrize: Annotated[
        bool,
        typer.Option(
            "--symmetrize", help="Add the reverse of edges that IN lists once."
        ),
    ] = False,
    relabel: Annotated[
        bool,
        typer.Option(
            "--relabel",
            help="Number nodes of any name from 0; for OUT = cut.npz the names are "
            "written to cut.nodes.csv.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Remove edges from the graph in a file."""
    from gsparse.deploy.cut_file import sparsify_file

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
    before, after = (record[f"num_{counted}_{when}"] for when in ("before", "after"))
    text = f"{before:,} -> {after:,} {kind} edges in {record['seconds']:.2f} s"
    print_value(record, f"{text}: {target}", as_json)


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
    from gsparse.cli.pruned_record import format_record
    from gsparse.deploy import prune_model

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

"""The command that reports on a graph."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gsparse.cli.output import print_value, set_threads


def inspect(
    graph: Annotated[
        str,
        typer.Argument(
            help="Data set, or graph file: .pt, .npz, .mtx, .txt, .csv or .tsv; text "
            "also with .gz."
        ),
    ],
    split: Annotated[
        str | None, typer.Option(help="Kind of split. (that of the data set or file)")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Labels of a file's nodes: .npy, .csv, .tsv, .txt."),
    ] = None,
    undirected: Annotated[
        bool, typer.Option("--undirected/--directed", help="Kind of graph in a file.")
    ] = True,
    symmetrize: Annotated[
        bool,
        typer.Option(
            "--symmetrize", help="Add the reverse of edges that a file lists only once."
        ),
    ] = False,
    relabel: Annotated[
        bool, typer.Option("--relabel", help="Number nodes with arbitrary names.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed of split, fits, cuts.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Report what sparsification can do for a graph, and recommend a method."""
    set_threads(threads)
    from gsparse.deploy.inspect_graph import inspect_source

    if sys.stderr.isatty():
        print("fitting and timing small models, up to a minute", file=sys.stderr)
    report = inspect_source(
        graph,
        labels=labels,
        split_kind=split,
        root=data_root,
        seed=seed,
        undirected=undirected,
        relabel=relabel,
        symmetrize=symmetrize,
    )
    print_value(report.as_record(), str(report), as_json)

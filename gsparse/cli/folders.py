"""Commands on graph folders."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from gsparse.cli.output import print_value, resumable, set_threads


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="Graph: .txt, .csv, .tsv (or with .gz), .parquet, .npz, .mtx or .pt.",
        ),
    ],
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="New graph folder.")],
    symmetrize: Annotated[
        bool,
        typer.Option(
            "--symmetrize", help="Accept edges that IN lists in one direction only."
        ),
    ] = False,
    copies: Annotated[
        str,
        typer.Option(
            help="Repeated edges: check that both directions have equally many, add "
            "all of them, or keep one.",
        ),
    ] = "check",
    relabel: Annotated[
        bool,
        typer.Option("--relabel", help="Number nodes with arbitrary names from 0."),
    ] = False,
    memory: Annotated[str, typer.Option(help="Bound of the memory.")] = "2GB",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Number of threads.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Convert a graph of any size to a folder that is read in blocks."""
    from gsparse.cli.meter import Meter
    from gsparse.data import convert_graph

    set_threads(threads)
    meter, start = Meter(), perf_counter()
    try:
        with resumable(target):
            folder = convert_graph(
                source,
                target,
                relabel=relabel,
                symmetrize=symmetrize,
                copies=copies,  # type: ignore[arg-type]  # checked by the function
                memory=memory,
                report=meter,
            )
    finally:
        meter.close()
    record = {
        "num_nodes": folder.num_nodes,
        "num_pairs": folder.num_pairs,
        "num_loops": folder.num_loops,
        "weighted": folder.is_weighted,
        "seconds": perf_counter() - start,
        "output": str(target),
    }
    text = (
        f"{folder.num_nodes:,} nodes, {folder.num_pairs:,} undirected edges in "
        f"{record['seconds']:.2f} s: {target}"
    )
    print_value(record, text, as_json)


def estimate(
    graph: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]", help="Graph folder, or --nodes and --edges."
        ),
    ] = None,
    nodes: Annotated[float | None, typer.Option(help="Number of nodes.")] = None,
    edges: Annotated[
        float | None, typer.Option(help="Number of undirected edges.")
    ] = None,
    weighted: Annotated[
        bool, typer.Option("--weighted", help="The edges have weights.")
    ] = False,
    method: Annotated[
        str, typer.Option(help="See `gsparse methods`.")
    ] = "EffectiveResistance",
    machines: Annotated[int, typer.Option(min=1, help="Number of machines.")] = 1,
    memory: Annotated[str, typer.Option(help="Memory of each machine.")] = "8GB",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Predict time, memory and traffic of sparsifying a graph folder."""
    from gsparse.data import open_graph
    from gsparse.data.folders.byte_sizes import parse_bytes
    from gsparse.deploy.folder_cost import describe, first_limit, predict_steps

    if (graph is None) == (nodes is None and edges is None):
        raise ValueError("give a graph folder, or --nodes and --edges")
    if graph is not None:
        folder = open_graph(graph)
        sizes, weighted = (folder.num_nodes, folder.num_pairs), folder.is_weighted
    elif nodes is None or edges is None:
        raise ValueError("give both --nodes and --edges")
    else:
        sizes = round(nodes), round(edges)
    steps = predict_steps(*sizes, method, weighted=weighted, machines=machines)
    limit = first_limit(steps, parse_bytes(memory))
    record = {"steps": [step._asdict() for step in steps], "limit": limit}
    print_value(record, describe(steps, limit), as_json)
    return 0 if limit is None else 1

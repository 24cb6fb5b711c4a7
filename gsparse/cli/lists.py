"""Commands that list methods and data sets."""

from __future__ import annotations

from typing import Annotated

import typer

from gsparse.cli.output import print_value


def methods(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the methods."""
    from gsparse.bench.catalogue import method_records
    from gsparse.bench.tables.table import columns

    records = method_records()
    print_value(records, columns(records, width=80), as_json)


def datasets(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the data sets and their splits."""
    from gsparse.bench.catalogue import dataset_records
    from gsparse.bench.tables.table import columns

    records = dataset_records()
    short = [{k: v for k, v in it.items() if k != "licence"} for it in records]
    print_value(records, columns(short, width=80), as_json)

"""Read Parquet files and number nodes with arbitrary ids, by DuckDB.

DuckDB sorts and joins within a bound of memory and spills the rest to a folder.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from gsparse.data.column_names import find_columns
from gsparse.data.folders.text_edges import EdgeChunk
from gsparse.data.node_labels import Labels

if TYPE_CHECKING:
    import duckdb

SLICE = 1 << 20  # rows fetched at a time
_WHOLE = r"-?(0|[1-9][0-9]*)(\.0)?"
_NO_ZERO = r"regexp_replace({}, '\.0$', '')"  # pandas may write 3 as 3.0
_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
_INTEGERS = (*_SIGNED, *(f"U{name}" for name in _SIGNED))


class EdgeTable:
    """A table of edges in a database on disk.

    Args:
        scratch: Folder for the database and for what does not fit into memory.
        memory: Bound of the memory of the database in bytes.
        where: Name of the file for error messages.

    Raises:
        ModuleNotFoundError: If DuckDB is not installed.
    """

    def __init__(self, scratch: Path, memory: int, where: object) -> None:
        self._where, self._memory, self.is_weighted = where, memory, False
        self._labels = 0
        self._text = False
        self._db = _connect(scratch, memory)
        self._run("CREATE TABLE raw (s BIGINT, t BIGINT, w FLOAT)")

    def read_parquet(self, path: Path, *, relabel: bool) -> None:
        """Read a Parquet file, or all Parquet files of a folder.

        Raises:
            ValueError: If the columns are ambiguous, ids are not integers, or values
                are missing.
        """
        files = str(path / "*.parquet") if path.is_dir() else str(path)
        # A local import: DuckDB is an optional extra.
        import duckdb

        try:
            self._run("DESCRIBE SELECT * FROM read_parquet(?)", [files])
            found = self._db.fetchall()
            names = [row[0] for row in found]
            columns = find_columns(names, self._where, header=True)
            ends = [found[columns.source], found[columns.target]]
            self._text = self._check_types(ends, relabel)
            kind = "VARCHAR" if self._text else "BIGINT"
            self.is_weighted = columns.weight is not None
            weight = "1" if columns.weight is None else _quote(names[columns.weight])
            source, target = (_quote(end[0]) for end in ends)
            self._run(
                f"CREATE OR REPLACE TABLE raw AS SELECT CAST({source} AS {kind}) AS s, "
                f"CAST({target} AS {kind}) AS t, CAST({weight} AS FLOAT) AS w "
                "FROM read_parquet(?)",
                [files],
            )
        except duckdb.Error as error:
            raise ValueError(f"{self._where} cannot be read ({error})") from None
        self._check_missing()

    def add(self, source: NDArray[Any], target: NDArray[Any], weight: Any) -> None:  # noqa: ANN401 (an array or None)
        """Append edges whose ids are integers or text.

        Shapes:
            - **source**, **target**, **weight:** :math:`(n,)`
        """
        text = source.dtype.kind in "OU"
        if text and not self._text:
            for end in "st":
                self._run(f"ALTER TABLE raw ALTER {end} TYPE VARCHAR")
            self._text = True
        self.is_weighted = weight is not None
        chunk = {"s": source, "t": target}
        if weight is not None:
            chunk["w"] = weight
        self._db.register("chunk", chunk)
        value = "1" if weight is None else "w"
        self._run(f"INSERT INTO raw SELECT s, t, {value} FROM chunk")
        self._db.unregister("chunk")

    def number(self) -> int:
        """Number the nodes from 0 in ascending order of their ids.

        Ids are in numerical order if all are 64-bit integers, otherwise in alphabetical
        order.

        Returns:
            The number of nodes.
        """
        cast = "{}"
        if self._text and self._all_integers():
            cast, self._text = f"CAST({_NO_ZERO.format('{}')} AS BIGINT)", False
        s, t = cast.format("s"), cast.format("t")
        self._run(
            "CREATE TABLE label AS SELECT id, row_number() OVER (ORDER BY id) - 1 AS "
            f"node FROM (SELECT {s} AS id FROM raw UNION SELECT {t} FROM raw)"
        )
        self._run(
            "CREATE TABLE numbered AS SELECT a.node AS s, b.node AS t, w FROM raw "
            f"JOIN label a ON a.id = {s} JOIN label b ON b.id = {t}"
        )
        self._run("DROP TABLE raw")
        self._run("ALTER TABLE numbered RENAME TO raw")
        self._labels = self._count("label")
        return self._labels

    def chunks(self) -> Iterator[EdgeChunk]:
        """Yield the edges in any order."""
        for start in range(0, self._count("raw"), SLICE):
            self._run(
                "SELECT s, t, w FROM raw WHERE rowid >= ? AND rowid < ?",
                [start, start + SLICE],
            )
            found = self._db.fetchnumpy()
            weight = np.asarray(found["w"]) if self.is_weighted else None
            yield EdgeChunk(np.asarray(found["s"]), np.asarray(found["t"]), weight)

    def labels(self) -> Iterator[Labels]:
        """Yield the ids of the nodes in the order of their numbers."""
        for start in range(0, max(self._labels, 1), SLICE):
            self._run(
                "SELECT id FROM label WHERE node >= ? AND node < ? ORDER BY node",
                [start, start + SLICE],
            )
            found = np.asarray(self._db.fetchnumpy()["id"])
            yield found.tolist() if self._text else torch.from_numpy(found)

    @property
    def num_edges(self) -> int:
        """Number of rows."""
        return self._count("raw")

    def count(self, text: str) -> int:
        """Return how often a text is an id."""
        if not self._text:
            return 0
        found = self._run(
            "SELECT count(*) FILTER (s = ?) + count(*) FILTER (t = ?) FROM raw",
            [text, text],
        ).fetchone()
        return int(found[0]) if found else 0

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _check_types(self, ends: Sequence[Sequence[Any]], relabel: bool) -> bool:
        """Return whether the ids are text; refuse what is no id."""
        kinds = [end[1] for end in ends]
        if all(kind in _INTEGERS for kind in kinds):
            return False
        if relabel and all(kind in (*_INTEGERS, "VARCHAR") for kind in kinds):
            return True
        names = ", ".join(f"{end[0]} {end[1]}" for end in ends)
        raise ValueError(
            f"{self._where} must hold integer ids (got {names}); "
            "use relabel=True (--relabel) for names"
        )

    def _check_missing(self) -> None:
        missing = self._count("raw WHERE s IS NULL OR t IS NULL OR w IS NULL")
        if missing:
            raise ValueError(
                f"{self._where} must have two ids and a weight in every row "
                f"({missing:,} rows have not); remove these rows"
            )

    def _all_integers(self) -> bool:
        return not self._count(
            "(SELECT s AS id FROM raw UNION ALL SELECT t FROM raw) WHERE NOT "
            f"regexp_full_match(id, '{_WHOLE}') OR id IN ('-0', '-0.0') OR "
            f"TRY_CAST({_NO_ZERO.format('id')} AS BIGINT) IS NULL"
        )

    def _count(self, what: str) -> int:
        found = self._run(f"SELECT count(*) FROM {what}").fetchone()
        return int(found[0]) if found else 0

    def _run(
        self, query: str, values: Sequence[object] = ()
    ) -> "duckdb.DuckDBPyConnection":
        # A local import: DuckDB is an optional extra.
        import duckdb

        try:
            return self._db.execute(query, [*values])
        except duckdb.OutOfMemoryException:
            raise ValueError(
                f"{self._where} needs more memory or disk space to be read as a "
                f"table (got {self._memory // 1_000_000:,} MB for it); raise 'memory' "
                "(--memory)"
            ) from None


def _connect(scratch: Path, memory: int) -> "duckdb.DuckDBPyConnection":
    try:
        # A local import: DuckDB is an optional extra.
        import duckdb
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "Parquet files, and new numbers for the nodes of large files, need an "
            "extra: pip install 'gsparse-gnn[scale]'"
        ) from None
    path = scratch / "edges.duckdb"
    path.unlink(missing_ok=True)
    db = duckdb.connect(str(path))
    for key, value in {
        "memory_limit": f"{memory // 1_000_000}MB",
        "threads": torch.get_num_threads(),
        "temp_directory": str(scratch / "spilled"),
        "preserve_insertion_order": False,
        "enable_progress_bar": False,
    }.items():
        text = str(value).replace("'", "''")
        db.execute(f"SET {key} = '{text}'")
    return db


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

"""Experiments: one row a run, tables from rows."""

from gsparse.bench.comparison import Comparison, compare
from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.grid import Outcome, Task, grid_rows, run_grid, tasks
from gsparse.bench.experiment.protocol import run_one
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.tables.rows import KEYS, Row, append_row, read_rows
from gsparse.bench.tables.summary import Block, Line, summarise
from gsparse.bench.tables.table import format_blocks

__all__ = [
    "KEYS",
    "Block",
    "Comparison",
    "Config",
    "Line",
    "Outcome",
    "Row",
    "Task",
    "Workspace",
    "append_row",
    "compare",
    "configs",
    "format_blocks",
    "grid_rows",
    "read_rows",
    "run_grid",
    "run_one",
    "summarise",
    "tasks",
]

"""Experiments: one row a run, tables from rows."""

from gsparse.bench.config import Config, configs
from gsparse.bench.grid import Outcome, Task, grid_rows, run_grid, tasks
from gsparse.bench.protocol import run_one
from gsparse.bench.rows import KEYS, Row, append_row, read_rows
from gsparse.bench.summary import Block, Line, summarise
from gsparse.bench.table import format_blocks
from gsparse.bench.workspace import Workspace

__all__ = [
    "KEYS",
    "Block",
    "Config",
    "Line",
    "Outcome",
    "Row",
    "Task",
    "Workspace",
    "append_row",
    "configs",
    "format_blocks",
    "grid_rows",
    "read_rows",
    "run_grid",
    "run_one",
    "summarise",
    "tasks",
]

"""Data sets by name, toy graphs, synthetic graphs of any size."""

from gsparse.data.chung_lu import chung_lu
from gsparse.data.erdos_renyi import random_graph
from gsparse.data.inductive import InductiveGraphs, inductive
from gsparse.data.planted_partition import planted_partition
from gsparse.data.splits import split, split_name
from gsparse.data.toy import (
    barbell,
    complete,
    cycle,
    grid,
    house,
    karate,
    lollipop,
    path,
    star,
)

__all__ = [
    "InductiveGraphs",
    "barbell",
    "chung_lu",
    "complete",
    "cycle",
    "grid",
    "house",
    "inductive",
    "karate",
    "lollipop",
    "path",
    "planted_partition",
    "random_graph",
    "split",
    "split_name",
    "star",
]

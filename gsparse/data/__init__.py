"""Data sets by name, toy graphs, synthetic graphs of any size."""

from gsparse.data.erdos_renyi import random_graph
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
    "barbell",
    "complete",
    "cycle",
    "grid",
    "house",
    "karate",
    "lollipop",
    "path",
    "random_graph",
    "star",
]

"""The tables and numbers of the documents, by the names of their blocks."""

from gsparse.bench.tables.documents import Blocks
from gsparse.bench.tables.published import (
    choose,
    claims,
    commands,
    depth,
    epoch,
    fastgat,
    kedge,
    large,
    method_pages,
    prune,
    resistance,
    speed,
    structured,
    tasks,
    training,
)

MODULES = (
    *(kedge, depth, epoch, fastgat, prune, structured, tasks, speed, resistance),
    *(training, choose, claims, commands, method_pages, large),
)
BLOCKS: Blocks = {name: it for module in MODULES for name, it in module.BLOCKS.items()}

"""Read a graph file of the kind that the user states."""

from pathlib import Path

from torch_geometric.data import Data
from torch_geometric.utils import is_undirected

from gsparse.data import read_graph


def read_stated_graph(
    source: Path,
    *,
    undirected: bool = True,
    relabel: bool = False,
    symmetrize: bool = False,
) -> Data:
    """Read a graph and check that it is undirected, unless it may be directed.

    Args:
        source: A graph in one of the formats of :func:`gsparse.data.read_graph`.
        undirected: Whether the graph must list both directions of every edge.
        relabel: Whether nodes may have any ids.
        symmetrize: Whether to add the missing reverse of every edge.

    Raises:
        ValueError: If the format is unknown, or the graph is not of the given kind.
        FileNotFoundError: If there is no such file.
    """
    if symmetrize and not undirected:
        raise ValueError("--symmetrize makes the graph undirected (got --directed too)")
    data = read_graph(source, relabel=relabel, symmetrize=symmetrize)
    if undirected and not is_undirected(data.edge_index, num_nodes=data.num_nodes):
        raise ValueError(
            f"{source} must list both directions of every edge of an undirected graph "
            "(it does not); use --symmetrize if it lists each edge once, or --directed "
            "if the graph is directed"
        )
    return data

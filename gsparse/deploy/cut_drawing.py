"""The part of a graph before and after a cut that is drawn."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.deploy.graph_layout import layout, sample_nodes
from gsparse.edges import undirected_pairs

# Okabe and Ito's colours, which colour-blind readers can tell apart, with Tol's wine
# for their vermilion, the colour of removed edges.
COLORS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#882255", "#f0e442"]


class Drawing(NamedTuple):
    """The part of two graphs that is drawn."""

    place: Tensor
    """Positions ``[n, 2]``."""
    nodes: Tensor
    """Their numbers in the graph."""
    pairs: Tensor
    """Undirected edges between them, each once, ``[2, m]``."""
    kept: Tensor
    """Whether each is left after the cut."""
    color: Tensor
    """Colour of each node: its rank among the classes, at most ``len(COLORS)``."""
    names: list[str]
    """Names of the colours."""
    hidden: int
    """Number of edges between the nodes that are not drawn."""


def pairs_of(graph: Data) -> Tensor:
    """Return the undirected edges of a graph, each once, without self-loops."""
    pairs = undirected_pairs(graph.edge_index, graph.num_nodes)
    return torch.stack([pairs.row, pairs.col]).cpu()


def which_are_kept(before: Data, after: Data, found: list[Tensor]) -> Tensor:
    """Return which edges are left; refuse graphs of which one is no cut."""
    if before.num_nodes != after.num_nodes:
        raise ValueError(
            f"'after' must have the {before.num_nodes:,} nodes of 'before' (got "
            f"{after.num_nodes:,})"
        )
    keys = [row * before.num_nodes + col for row, col in found]
    new = ~torch.isin(keys[1], keys[0])
    if new.any():
        u, v = found[1][:, new][:, 0].tolist()
        raise ValueError(
            f"'after' must have edges of 'before' only (got {int(new.sum()):,} others, "
            f"such as {u} - {v})"
        )
    return torch.isin(keys[0], keys[1])


def choose_part(
    before: Data,
    pairs: Tensor,
    kept: Tensor,
    max_nodes: int,
    max_edges: int,
    seed: int,
    names: list[str] | None,
) -> Drawing:
    """Choose nodes and edges to draw, and place the nodes by all edges before."""
    num_nodes = int(before.num_nodes or 0)
    nodes = sample_nodes(pairs, num_nodes, max_nodes, seed)
    number = torch.full((num_nodes,), -1)
    number[nodes] = torch.arange(nodes.numel())
    inside = (number[pairs] >= 0).all(0)
    ends, kept = number[pairs[:, inside]], kept[inside]
    place = layout(ends, nodes.numel(), seed)
    hidden = max(ends.size(1) - max_edges, 0)
    if hidden:
        generator = torch.Generator().manual_seed(seed)
        some = torch.randperm(ends.size(1), generator=generator)[:max_edges]
        ends, kept = ends[:, some], kept[some]
    color, labels = _colors(before, nodes, names)
    return Drawing(place, nodes, ends, kept, color, labels, hidden)


def classes_of(graph: Data) -> Tensor | None:
    """Return the class of each node, if there are classes."""
    y = graph.get("y")
    if not isinstance(y, Tensor) or y.shape != (graph.num_nodes,):
        return None
    return None if y.is_floating_point() or not len(y) else y.cpu()


def _colors(
    before: Data, nodes: Tensor, names: list[str] | None
) -> tuple[Tensor, list[str]]:
    """Return the colour of each node, and the classes from the most frequent one."""
    y = classes_of(before)
    if y is None:
        return torch.zeros(nodes.numel(), dtype=torch.long), []
    classes, place, count = y.unique(return_inverse=True, return_counts=True)
    order = torch.arange(classes.numel())
    if classes.numel() > len(COLORS):
        order = count.argsort(descending=True, stable=True)
    if names is not None and int(classes.max()) >= len(names):
        raise ValueError(
            f"'names' must have a name for each of {int(classes.max()) + 1} classes "
            f"(got {len(names)})"
        )
    shown = classes[order[: len(COLORS)]].tolist()
    labels = [f"class {it}" if names is None else names[it] for it in shown]
    others = ["other classes"] if classes.numel() > len(COLORS) else []
    return order.argsort()[place[nodes]].clamp(max=len(COLORS)), labels + others

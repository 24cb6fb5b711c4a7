"""Graph structure for kernels: in-edges by target, their transpose, edge ids."""

from copy import copy
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from gsparse.kernels.graph_sort import sort_cpu, sort_torch

SelfLoops = Literal["keep", "replace", "remaining"]

#: Rows are distributed to threads in this many pieces of about equal work. The number
#: does not depend on that of threads, so sums over pieces do not either.
NUM_BLOCKS = 64


def _loops(
    edge_index: Tensor, num_nodes: int, self_loops: SelfLoops
) -> tuple[Tensor, Tensor, Tensor]:
    """Return sources, targets and entry ids after the treatment of self-loops."""
    source, target = edge_index[0], edge_index[1]
    entry = torch.arange(source.numel(), device=source.device)
    if self_loops == "keep":
        return source, target, entry
    loop = source == target
    node = torch.arange(num_nodes, device=source.device)
    loop_entry = torch.full_like(node, -1)
    if self_loops == "remaining":  # the last of several loops of a node counts
        loop_entry.scatter_reduce_(0, source[loop], entry[loop], "amax")
    keep = (~loop).nonzero().view(-1)
    source = torch.cat([source.index_select(0, keep), node])
    target = torch.cat([target.index_select(0, keep), node])
    return source, target, torch.cat([keep, loop_entry])


def _blocks(indptr: Tensor, num_blocks: int = NUM_BLOCKS) -> Tensor:
    """Cut the rows into pieces of about equal ``edges + rows``; int64 ``[B + 1]``."""
    num_nodes = indptr.numel() - 1
    work = indptr.long() + torch.arange(num_nodes + 1, device=indptr.device)
    goal = torch.linspace(0, float(work[-1]), num_blocks + 1, dtype=torch.float64)
    cut = torch.searchsorted(work, goal.long().to(work.device))
    cut[0], cut[-1] = 0, num_nodes
    return cut.clamp_(max=num_nodes)


@dataclass(frozen=True, eq=False)
class Graph:
    r"""A directed graph prepared for kernels: in-edges by target, and the transpose.

    Build it with :meth:`from_edge_index`, or with :func:`~gsparse.kernels.graph_of`,
    which caches it. The edges of a row are in ascending order of the other end point,
    so that sums do not depend on the order of ``edge_index`` (parallel edges keep
    theirs). Positions in the rows are called slots. Building takes three counting
    sorts and ``20 E + 16 N`` bytes while indices fit int32.

    Attributes:
        indptr: Slots of the in-edges of node ``i`` are ``indptr[i]:indptr[i + 1]``.
        indices: Source of each slot.
        edge_id: Column of ``edge_index`` behind each slot; -1 for an added self-loop.
        t_indptr: Positions of the out-edges of node ``j``, likewise.
        t_indices: Target of each out-edge.
        t_perm: Slot of each out-edge.
        blocks: Row boundaries of pieces of about equal work.
        t_blocks: Row boundaries of such pieces for the out-edges.
        num_nodes: Number of nodes :math:`N`, isolated ones included.
        num_entries: Number of columns of the original ``edge_index``.
        self_loops: Treatment of self-loops.

    Shapes:
        - **indptr, t_indptr:** :math:`(N + 1,)`
        - **indices, edge_id, t_indices, t_perm:** :math:`(E,)`
        - **blocks, t_blocks:** :math:`(B + 1,)`, int64

    Example:
        >>> import torch
        >>> from gsparse.kernels import Graph
        >>> graph = Graph.from_edge_index(torch.tensor([[2, 0, 1], [0, 2, 2]]), 3)
        >>> graph.indptr.tolist(), graph.indices.tolist(), graph.edge_id.tolist()
        ([0, 1, 1, 3], [2, 0, 1], [0, 1, 2])
    """

    indptr: Tensor
    indices: Tensor
    edge_id: Tensor
    t_indptr: Tensor
    t_indices: Tensor
    t_perm: Tensor
    blocks: Tensor
    t_blocks: Tensor
    num_nodes: int
    num_entries: int
    self_loops: SelfLoops = "keep"
    _other: dict[str, "Graph"] = field(default_factory=dict, repr=False)

    @classmethod
    @torch.inference_mode(False)  # a graph built in inference can be used in training
    def from_edge_index(
        cls, edge_index: Tensor, num_nodes: int, self_loops: SelfLoops = "keep"
    ) -> "Graph":
        """Build the graph by sorting the edges.

        Args:
            edge_index: Sources and targets, int64 ``[2, E]``.
            num_nodes: Number of nodes.
            self_loops: ``"keep"`` takes the edges as they are; ``"replace"`` drops
                all self-loops and gives each node one (as ``GATConv``);
                ``"remaining"`` gives one to each node and keeps the id of the
                node's own, the last one if it has several (as ``GCNConv``).

        Returns:
            The graph, on the device of ``edge_index``.

        Raises:
            ValueError: For another shape, a node id out of range, or an unknown
                ``self_loops``.
            TypeError: If ``edge_index`` does not hold integers.
        """
        _check(edge_index, num_nodes, self_loops)
        edge_index = edge_index.detach().as_subclass(Tensor).long()
        source, target, entry = _loops(edge_index, num_nodes, self_loops)
        small = max(num_nodes, source.numel()) < 2**31 - 1
        dtype = torch.int32 if small else torch.int64
        sort = sort_cpu if source.device.type == "cpu" else sort_torch
        indptr, indices, edge_id, t_indptr, t_indices, t_perm = sort(
            source, target, entry, num_nodes, dtype
        )
        return cls(
            indptr=indptr,
            indices=indices,
            edge_id=edge_id,
            t_indptr=t_indptr,
            t_indices=t_indices,
            t_perm=t_perm,
            blocks=_blocks(indptr),
            t_blocks=_blocks(t_indptr),
            num_nodes=num_nodes,
            num_entries=edge_index.size(1),
            self_loops=self_loops,
        )

    @property
    def num_edges(self) -> int:
        """Number of slots :math:`E`, added self-loops included."""
        return self.indices.numel()

    @property
    def edge_index(self) -> Tensor:
        """Sources and targets of the slots, int64 ``[2, E]``."""
        deg = (self.indptr[1:] - self.indptr[:-1]).long()
        node = torch.arange(self.num_nodes, device=deg.device)
        return torch.stack([self.indices.long(), node.repeat_interleave(deg)])

    def original_edge_index(self) -> Tensor:
        """Return the original ``edge_index`` in its order.

        Raises:
            ValueError: If self-loops were dropped when the graph was made.
        """
        if self.self_loops != "keep":
            raise ValueError(
                "the original edge_index is known only with self_loops='keep' "
                f"(got self_loops={self.self_loops!r})"
            )
        edge_index = torch.empty_like(self.edge_index)
        edge_index[:, self.edge_id.long()] = self.edge_index
        return edge_index

    @torch.inference_mode(False)
    def with_self_loops(self, self_loops: SelfLoops) -> "Graph":
        """Return the graph with another treatment of self-loops; it is built once."""
        if self_loops in ("keep", self.self_loops):
            return self
        if self_loops not in self._other:
            made = Graph.from_edge_index(self.edge_index, self.num_nodes, self_loops)
            slot = made.edge_id.long()
            if self.num_edges:
                entry = self.edge_id[slot.clamp(min=0)]
                entry = torch.where(slot < 0, slot.to(entry.dtype), entry)
                object.__setattr__(made, "edge_id", entry)
            object.__setattr__(made, "num_entries", self.num_entries)
            self._other[self_loops] = made
        return self._other[self_loops]

    def to(self, device: torch.device | str) -> "Graph":
        """Return the graph on another device."""
        made = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                object.__setattr__(made, name, value.to(device))
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_other": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def __repr__(self) -> str:
        return (
            f"Graph(num_nodes={self.num_nodes}, num_edges={self.num_edges}, "
            f"self_loops={self.self_loops!r})"
        )


def _check(edge_index: Tensor, num_nodes: int, self_loops: str) -> None:
    if self_loops not in get_args(SelfLoops):
        allowed = get_args(SelfLoops)
        raise ValueError(f"'self_loops' must be one of {allowed} (got {self_loops!r})")
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        shape = list(edge_index.shape)
        raise ValueError(f"'edge_index' must have shape [2, E] (got {shape})")
    if edge_index.is_floating_point() or edge_index.dtype == torch.bool:
        dtype = edge_index.dtype
        raise TypeError(f"'edge_index' must hold integers (got {dtype})")
    if edge_index.numel() > 0:
        low, high = (int(v) for v in edge_index.aminmax())
        if low < 0 or high >= num_nodes:
            raise ValueError(
                f"'edge_index' must hold node ids in [0, {num_nodes}) "
                f"(got ids from {low} to {high})"
            )

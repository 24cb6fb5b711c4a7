"""Base class of the edge sparsifiers."""

from abc import abstractmethod
from collections.abc import Callable
from inspect import signature
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.transforms import BaseTransform

from gsparse.edges import (
    EdgeMethod,
    Pairs,
    SplitBatch,
    apply_edge_mask,
    budget,
    check_edge_weight,
    check_sparsity,
    gather_pairs,
    keep_top,
    pair_weight,
    require_edge_index,
    require_single_form,
    spread,
    tie_breaker,
    undirected_pairs,
)
from gsparse.transforms.decision import (
    Decision,
    each_graph,
    join_decisions,
    require_graph,
)
from gsparse.transforms.hetero import sparsify_hetero
from gsparse.transforms.pair_stream import (
    BlockImportance,
    PairBlock,
    PairStream,
    keep_largest_blocks,
)

FolderWork = Literal["scores", "ranks", "columns"]
"""Scores of edges, their ranks at every node, or random columns."""


class Selection(NamedTuple):
    """Pairs to keep, and the factor for each weight (None leaves weights unchanged).

    Shapes:
        - **keep**, **factor:** :math:`(M,)`
    """

    keep: Tensor
    factor: Tensor | None = None


class EdgeSparsifier(EdgeMethod, BaseTransform):
    """Base class of transforms that keep the most important undirected edges.

    ``importance(data)`` computes the importances, which is the expensive part.
    ``cut(data, importance)`` selects edges at the budget of the transform, so a curve
    over ten sparsities needs the importances only once.

    The input is a :class:`~torch_geometric.data.Data`, a
    :class:`~torch_geometric.data.HeteroData` (one budget per edge type; ``rev_`` types
    keep the reverse edges of their forward type), or a
    :class:`~torch_geometric.data.Batch` of either (one budget per graph). See
    :func:`~gsparse.edges.apply_edge_mask` for the attributes of the result. A
    :class:`~torch_geometric.data.Data` with a vector ``batch`` that is not a
    :class:`~torch_geometric.data.Batch` is one graph with one budget.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
    """

    needs_undirected = True

    folder_settings: ClassVar[dict[str, Any]] = {}
    """Settings that graph folders need."""

    resumes = ""
    """Name of the files from which an interrupted call on a graph folder goes on."""

    folder_work: FolderWork | None = None
    """What is computed of the edges of a graph folder; None if it must be in memory."""

    folder_passes = 1
    """Passes over the edges of a graph folder to score them once."""

    bytes_per_node = 32
    """Memory per node to sparsify a graph folder."""

    method_used: str | None = None
    """Method by which the last importances were computed, if there is a choice."""

    def __init__(self, sparsity: float) -> None:
        check_sparsity(sparsity)
        self.sparsity = sparsity

    @abstractmethod
    def pair_importance(
        self, data: Data, pairs: Pairs, weight: Tensor | None
    ) -> Tensor:
        """Compute the importance of each pair; larger is kept.

        Args:
            data: Graph to sparsify.
            pairs: Undirected pairs of the graph in canonical order.
            weight: Weight of each pair; ``None`` if all weights are 1.

        Shapes:
            - **weight**, **output:** :math:`(M,)`
        """

    def select(
        self, importance: Tensor, pairs: Pairs, weight: Tensor | None
    ) -> Selection:
        """Select the pairs to keep; the most important ones by default.

        Shapes:
            - **importance**, **weight:** :math:`(M,)`
        """
        return Selection(keep_top(importance, self.sparsity, tie_breaker(pairs)))

    def block_importance(self, stream: PairStream) -> BlockImportance:
        """Return a function that computes the importances of a block of pairs.

        They equal those of :meth:`pair_importance`. Passes over the stream may be made
        first, with memory for the nodes and a block.

        Raises:
            ValueError: If the method needs the whole graph in memory.
        """
        raise ValueError(
            f"{type(self).__name__} needs the whole graph in memory (got a graph "
            "folder); apply it to open_graph(folder).data()"
        )

    def select_blocks(self, stream: PairStream) -> Callable[[PairBlock], Selection]:
        """Return a function that selects pairs as :meth:`select` does.

        It must be called with the blocks of one pass in their order.
        """
        k = budget(stream.num_pairs, self.sparsity)
        if k == stream.num_pairs:
            return lambda block: Selection(block.is_pair[block.is_pair])
        importance = self.block_importance(stream)
        keep = keep_largest_blocks(stream, importance, k, hash_ties=True)
        return lambda block: Selection(keep(block))

    def importance(self, data: Data) -> Tensor:
        """Compute the importance of each entry of ``edge_index``; 0 for self-loops.

        The graphs of a :class:`~torch_geometric.data.Batch` are processed one by one.

        Shapes:
            - **output:** :math:`(E,)`
        """
        require_graph(self, data, Data)
        if not isinstance(data, Batch):
            return self._importance(data)
        batch = SplitBatch(data)
        return batch.join([*each_graph(self._importance, batch.graphs)])

    def cut(self, data: Data, importance: Tensor) -> Data:
        """Remove edges by the importances that :meth:`importance` returned.

        Each graph of a :class:`~torch_geometric.data.Batch` has its own budget.

        Shapes:
            - **importance:** :math:`(E,)`
        """
        require_graph(self, data, Data)
        return _cut(self._select, data, importance)

    @torch.no_grad()
    def forward(self, data: Data | HeteroData | Batch) -> Data | HeteroData | Batch:
        require_graph(self, data, Data | HeteroData)
        if isinstance(data, HeteroData):
            return sparsify_hetero(self._decide, data)
        return _cut(self._decide, data)

    def __repr__(self) -> str:
        settings = {
            name: getattr(self, name) for name in signature(type(self)).parameters
        }
        shown = [
            f"{name}={value!r}"
            for name, value in settings.items()
            if value is not None or name == "seed"
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _importance(self, data: Data) -> Tensor:
        pairs, weight = self._read(data)
        return spread(pairs, self.pair_importance(data, pairs, weight))

    def _select(self, data: Data, importance: Tensor) -> Decision:
        pairs, weight = self._read(data)
        return self._keep(data, gather_pairs(pairs, importance), pairs, weight)

    def _decide(self, data: Data) -> Decision:
        pairs, weight = self._read(data)
        if self.sparsity == 0:  # all edges are kept whatever their importance
            importance = torch.ones_like(pairs.row, dtype=torch.float64)
        else:
            importance = self.pair_importance(data, pairs, weight)
        return self._keep(data, importance, pairs, weight)

    def _read(self, data: Data) -> tuple[Pairs, Tensor | None]:
        edge_index = require_edge_index(data._store)
        require_single_form(data._store)
        edge_weight = data.get("edge_weight")
        check_edge_weight(edge_weight, edge_index.size(1))
        pairs = undirected_pairs(edge_index, data.num_nodes)
        if not self.needs_undirected:
            return pairs, None
        name = self.__class__.__name__
        return pairs, pair_weight(edge_index, edge_weight, pairs, name=name)

    def _keep(
        self, data: Data, importance: Tensor, pairs: Pairs, weight: Tensor | None
    ) -> Decision:
        keep, factor = self.select(importance, pairs, weight)
        entry_keep = spread(pairs, keep, fill=True)
        if factor is None:
            return Decision(entry_keep)
        old = data.get("edge_weight")
        new = spread(pairs, factor, fill=1.0)
        dtype = torch.get_default_dtype() if old is None else old.dtype
        return Decision(entry_keep, (new if old is None else new * old).to(dtype))


def _cut(decide: Callable[..., Decision], data: Data, *importances: Tensor) -> Data:
    """Remove the edges of a graph, or of each graph of a batch."""
    if not isinstance(data, Batch):
        return apply_edge_mask(data, *decide(data, *importances))
    batch, num_edges = SplitBatch(data), data.edge_index.size(1)
    for importance in importances:
        if importance.shape != (num_edges,):
            raise ValueError(
                f"'importance' must have shape [{num_edges}] (got "
                f"{list(importance.shape)}); compute the importances of this graph"
            )
    parts = map(batch.split, importances)
    decisions = [*each_graph(decide, batch.graphs, *parts)]
    return apply_edge_mask(data, *join_decisions(batch, decisions))

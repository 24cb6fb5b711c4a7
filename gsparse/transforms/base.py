"""Base class of the edge sparsifiers: rate the pairs, select, cut."""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.transforms import BaseTransform

from gsparse.edges import (
    EdgeMethod,
    Pairs,
    SplitBatch,
    apply_edge_mask,
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


class Selection(NamedTuple):
    """Which pairs survive, and the factor for the weight of each (None: as it was).

    Shapes:
        - **keep**, **factor:** :math:`(M,)`
    """

    keep: Tensor
    factor: Tensor | None = None


class EdgeSparsifier(EdgeMethod, BaseTransform):
    """Rates the undirected edges and keeps some of them.

    ``importance(data)`` takes the time; ``cut(data, importance)`` selects at the budget
    of this transform, so a curve over ten sparsities rates the edges once. A transform
    works on :class:`~torch_geometric.data.Data`, on
    :class:`~torch_geometric.data.HeteroData` (budget per edge type; ``rev_`` types
    follow their forward type) and on a :class:`~torch_geometric.data.Batch` of either
    (budget per graph: each is cut as if it were alone). What the result holds is
    described at :func:`~gsparse.edges.apply_edge_mask`. A
    :class:`~torch_geometric.data.Data` with a vector ``batch`` that is no
    :class:`~torch_geometric.data.Batch` is one graph with one budget.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
    """

    needs_undirected = True

    method_used: str | None = None
    """Method by which the last importances were computed, where there is a choice."""

    def __init__(self, sparsity: float) -> None:
        check_sparsity(sparsity)
        self.sparsity = sparsity

    @abstractmethod
    def pair_importance(
        self, data: Data, pairs: Pairs, weight: Tensor | None
    ) -> Tensor:
        """Importance of each pair, ``[M]``; larger is kept.

        Args:
            data: The graph.
            pairs: Its undirected pairs in canonical order.
            weight: Conductance of each pair, ``[M]``; ``None`` where all are 1.
        """

    def select(
        self, importance: Tensor, pairs: Pairs, weight: Tensor | None
    ) -> Selection:
        """Choose pairs by their importance; the best ones unless overridden."""
        return Selection(keep_top(importance, self.sparsity, tie_breaker(pairs)))

    def importance(self, data: Data) -> Tensor:
        """Importance of each entry of ``edge_index``, ``[E]``; self-loops get 0.

        The graphs of a :class:`~torch_geometric.data.Batch` are rated one by one.
        """
        require_graph(self, data, Data)
        if not isinstance(data, Batch):
            return self._importance(data)
        batch = SplitBatch(data)
        return batch.join([*each_graph(self._importance, batch.graphs)])

    def cut(self, data: Data, importance: Tensor) -> Data:
        """Select by the result of :meth:`importance`, and cut the graph.

        Each graph of a :class:`~torch_geometric.data.Batch` has a budget of its own.
        """
        require_graph(self, data, Data)
        if not isinstance(data, Batch):
            return apply_edge_mask(data, *self._select(data, importance))
        batch = SplitBatch(data)
        num_edges = data.edge_index.size(1)
        parts = batch.split(check_importance(importance, num_edges))
        found = each_graph(self._select, batch.graphs, parts)
        return apply_edge_mask(data, *join_decisions(batch, [*found]))

    @torch.no_grad()
    def forward(self, data: Data | HeteroData | Batch) -> Data | HeteroData | Batch:
        require_graph(self, data, Data | HeteroData)
        if isinstance(data, HeteroData):
            return sparsify_hetero(self._decide, data)
        if not isinstance(data, Batch):
            return apply_edge_mask(data, *self._decide(data))
        batch = SplitBatch(data)
        found = each_graph(self._decide, batch.graphs)
        return apply_edge_mask(data, *join_decisions(batch, [*found]))

    def _importance(self, data: Data) -> Tensor:
        pairs, weight = self._read(data)
        return spread(pairs, self.pair_importance(data, pairs, weight))

    def _select(self, data: Data, importance: Tensor) -> Decision:
        pairs, weight = self._read(data)
        return self._keep(data, gather_pairs(pairs, importance), pairs, weight)

    def _decide(self, data: Data) -> Decision:
        pairs, weight = self._read(data)
        if self.sparsity == 0:  # nothing to choose: spare the rating
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


def check_importance(importance: Tensor, num_edges: int) -> Tensor:
    """Refuse importances that are not one number per entry."""
    if importance.shape != (num_edges,):
        raise ValueError(
            f"'importance' must have shape [{num_edges}] (got "
            f"{list(importance.shape)}); is it of this graph?"
        )
    return importance


def as_function(
    transform: EdgeSparsifier,
    edge_index: Tensor,
    edge_weight: Tensor | None,
    num_nodes: int | None,
    **others: Tensor,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Apply a transform to bare tensors: ``(edge_index, edge_weight, e_id)``."""
    data = Data(edge_index=edge_index, num_nodes=num_nodes, **others)
    if edge_weight is not None:
        data.edge_weight = edge_weight
    out = transform(data)
    return out.edge_index, out.get("edge_weight"), out.e_id

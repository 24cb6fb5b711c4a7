"""What every edge sparsifier shares: score the pairs, select, cut."""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.transforms import BaseTransform

from gsparse.edges import (
    Pairs,
    apply_edge_mask,
    check_data,
    check_edge_weight,
    check_sparsity,
    gather_pairs,
    keep_top,
    pair_weight,
    require_edge_index,
    spread,
    tie_breaker,
    undirected_pairs,
)
from gsparse.transforms.hetero import sparsify_hetero


class Selection(NamedTuple):
    """Which pairs survive, and the factor for the weight of each (None: as it was).

    Shapes:
        - **keep**, **factor:** :math:`(M,)`
    """

    keep: Tensor
    factor: Tensor | None = None


class EdgeSparsifier(BaseTransform):
    """Scores the undirected edges and keeps some of them.

    ``score(data)`` is what costs time; ``cut(data, score)`` selects at the budget of
    this transform, so a curve over ten sparsities needs one scoring. A transform works
    on :class:`~torch_geometric.data.Data`, on a
    :class:`~torch_geometric.data.Batch` (budget per graph) and on
    :class:`~torch_geometric.data.HeteroData` (budget per edge type; ``rev_`` types
    follow their forward type).

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
    """

    revision = 1  # raised when a change alters results, so that old rows show as stale
    needs_undirected = True

    def __init__(self, sparsity: float) -> None:
        check_sparsity(sparsity)
        self.sparsity = sparsity

    @abstractmethod
    def score_pairs(self, data: Data, pairs: Pairs, weight: Tensor | None) -> Tensor:
        """Importance of each pair, ``[M]``; larger is kept.

        Args:
            data: The graph.
            pairs: Its undirected pairs in canonical order.
            weight: Conductance of each pair, ``[M]``; ``None`` where all are 1.
        """

    def select(self, score: Tensor, pairs: Pairs, weight: Tensor | None) -> Selection:
        """Choose pairs by their scores; the best ones unless overridden."""
        return Selection(keep_top(score, self.sparsity, tie_breaker(pairs)))

    def score(self, data: Data) -> Tensor:
        """Importance of each entry of ``edge_index``, ``[E]``; self-loops get 0."""
        pairs, weight = self._read(data)
        return spread(pairs, self.score_pairs(data, pairs, weight))

    def cut(self, data: Data, score: Tensor) -> Data:
        """Select by scores that :meth:`score` returned, and cut the graph."""
        pairs, weight = self._read(data)
        return self._cut(data, gather_pairs(pairs, score), pairs, weight)

    @torch.no_grad()
    def forward(self, data: Data | HeteroData | Batch) -> Data | HeteroData | Batch:
        if isinstance(data, Batch):
            return Batch.from_data_list([self.forward(d) for d in data.to_data_list()])
        if isinstance(data, HeteroData):
            return sparsify_hetero(self._forward, data)
        return self._forward(data)

    def _forward(self, data: Data) -> Data:
        pairs, weight = self._read(data)
        if self.sparsity == 0:  # nothing to choose: spare the scoring
            score = torch.ones_like(pairs.row, dtype=torch.float64)
        else:
            score = self.score_pairs(data, pairs, weight)
        return self._cut(data, score, pairs, weight)

    def _read(self, data: Data) -> tuple[Pairs, Tensor | None]:
        check_data(data, self.__class__.__name__)
        edge_index = require_edge_index(data._store)
        edge_weight = data.get("edge_weight")
        check_edge_weight(edge_weight, edge_index.size(1))
        pairs = undirected_pairs(edge_index, data.num_nodes)
        if not self.needs_undirected:
            return pairs, None
        name = self.__class__.__name__
        return pairs, pair_weight(edge_index, edge_weight, pairs, name=name)

    def _cut(
        self, data: Data, score: Tensor, pairs: Pairs, weight: Tensor | None
    ) -> Data:
        keep, factor = self.select(score, pairs, weight)
        entry_keep = spread(pairs, keep, fill=True)
        if factor is None:
            return apply_edge_mask(data, entry_keep)
        old = data.get("edge_weight")
        new = spread(pairs, factor, fill=1.0)
        dtype = torch.get_default_dtype() if old is None else old.dtype
        return apply_edge_mask(
            data, entry_keep, (new if old is None else new * old).to(dtype)
        )


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

"""Lottery tickets of a graph: prune the smallest mask weights, rewind, repeat."""

import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch_geometric.data import Data

from gsparse.edges import (
    EdgeMethod,
    Pairs,
    apply_edge_mask,
    budget,
    check_sparsity,
    spread,
    tie_breaker,
    undirected_pairs,
)
from gsparse.edges.select import keep_largest
from gsparse.nn import edge_weights
from gsparse.nn.weighted_sum import sharing_normalised
from gsparse.train.fit import fit
from gsparse.train.fit_config import FitConfig

# ruff: noqa: ANN401 (further arguments of the wrapped model)


@dataclass(frozen=True)
class EdgeLottery(EdgeMethod):
    r"""Finds a sparse graph by iterative pruning: the edge part of UGS, from the `"A
    Unified Lottery Ticket Hypothesis for Graph Neural Networks"
    <https://arxiv.org/abs/2102.06790>`_ paper.

    A weight :math:`m_e`, initially 1, multiplies every undirected edge and is trained
    with the model under an :math:`L_1` penalty. After each round the edges with the
    smallest remaining weights are removed, model and weights are rewound to their
    initial values, and the next round starts; the last round meets the exact budget.

    **When to use it.** To compare with UGS, or if many trainings are affordable and a
    sparse graph for fresh weights is wanted.

    **When not to use it.** If a trained model may stay as it is:
    :class:`~gsparse.train.EdgeExchange` needs no training.

    **Cost.** :math:`\log(1 - s) / \log(1 - r)` trainings, 32 for 80 % at the paper's
    rate of 5 %. Memory is that of one training and one weight per edge.

    Differences from the paper: one weight per pair instead of a dense :math:`N \times
    N` mask; the last round removes only as many edges as the budget needs; the weights
    of the model are not pruned (see :class:`~gsparse.train.WeightLottery`).

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        rate: Fraction of the remaining edges to remove per round, in (0, 1).
        strength: Factor of :math:`\sum_e |m_e|`.
        config: Settings of the fit in each round.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> from gsparse.data import planted_partition, split
        >>> from gsparse.train import GCN, EdgeLottery, FitConfig
        >>> data = planted_partition(100, num_classes=2, seed=7)
        >>> data = split(data, "60-20-20", seed=7)
        >>> model = GCN(data.num_features, 8, 2)
        >>> lottery = EdgeLottery(0.5, rate=0.3, config=FitConfig(epochs=5))
        >>> ticket = lottery(model, data, seed=7)
        >>> round(ticket.num_edges / data.num_edges, 2)
        0.5
    """

    removes: ClassVar = "edges"
    trains = True

    sparsity: float
    rate: float = 0.05
    strength: float = 1e-6
    config: FitConfig = field(default_factory=lambda: FitConfig(epochs=200))

    def __post_init__(self) -> None:
        check_sparsity(self.sparsity)
        if not 0 < self.rate < 1:
            raise ValueError(f"'rate' must be in (0, 1) (got {self.rate})")
        if not self.strength >= 0:
            raise ValueError(f"'strength' must not be negative (got {self.strength})")

    def __call__(self, model: Module, data: Data, seed: int = 0) -> Data:
        """Return the sparse graph; the model is not changed.

        Args:
            model: A model with fresh weights, called as in :func:`~gsparse.train.fit`.
            data: The graph with ``x``, ``y``, ``train_mask`` and ``val_mask``.
            seed: Seed of the rounds.
        """
        pairs = undirected_pairs(data.edge_index, data.num_nodes)
        tie = tie_breaker(pairs)
        alive = torch.ones(pairs.num_pairs, dtype=torch.bool, device=tie.device)
        target = budget(pairs.num_pairs, self.sparsity)
        while int(alive.sum()) > target:
            left = int(alive.sum())
            masked = _Masked(copy.deepcopy(model), pairs, alive, self.strength)
            fit(masked, data, config=self.config, seed=seed)
            weight = masked.weight.detach().abs().masked_fill(~alive, -1.0)
            after = max(target, min(left - 1, round(left * (1 - self.rate))))
            alive = keep_largest(weight, after, tie)
        return apply_edge_mask(data, spread(pairs, alive, fill=True))


class _Masked(Module):
    """A model with trainable edge weights; removed edges have weight 0."""

    alive: Tensor

    def __init__(
        self, model: Module, pairs: Pairs, alive: Tensor, strength: float
    ) -> None:
        super().__init__()
        self.model, self.pairs, self.strength = model, pairs, strength
        self.weight = Parameter(torch.ones(pairs.num_pairs, device=alive.device))
        self.register_buffer("alive", alive)

    def forward(
        self, x: Tensor, edge_index: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        # Degrees need non-negative weights; the paper's masks stay near 1.
        weight = self.weight.clamp(min=0) * self.alive
        entries = spread(self.pairs, weight, fill=1.0)
        with edge_weights(self.model, edge_index, entries), sharing_normalised():
            return self.model(x, edge_index, *args, **kwargs)

    def penalty(self) -> Tensor:
        """Return the L1 norm of the remaining weights."""
        return self.strength * (self.weight.abs() * self.alive).sum()

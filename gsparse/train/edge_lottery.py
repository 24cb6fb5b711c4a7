"""Lottery tickets of a graph: prune the lowest mask weights, rewind, repeat."""

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

# ruff: noqa: ANN401 (what else the wrapped model takes is its own)


@dataclass(frozen=True)
class EdgeLottery(EdgeMethod):
    r"""Finds a sparse graph by iterative pruning: the edge half of UGS, from the `"A
    Unified Lottery Ticket Hypothesis for Graph Neural Networks"
    <https://arxiv.org/abs/2102.06790>`_ paper.

    A weight :math:`m_e`, 1 at first, multiplies every undirected edge and is trained
    with the model under an :math:`L_1` penalty. After each round the lowest share of
    the remaining weights goes, model and weights are rewound to where they began, and
    the next round starts; the last one stops at the exact budget.

    Differs from the paper: one weight a pair where it stores a dense mask of
    :math:`N \times N`, the last round prunes just what is left to prune, and weights
    of the model are left to pruners of their own. Costs
    :math:`\log(1 - s) / \log(1 - r)` trainings, 32 for 80 % at the paper's 5 %.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        rate: Share of the remaining edges that goes in a round, in (0, 1).
        strength: Factor of :math:`\sum_e |m_e|`.
        config: How model and mask are fitted in a round.

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
        """The graph that is left; the model is not changed.

        Args:
            model: Called as by :func:`~gsparse.train.fit`, with fresh weights.
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
    """A model whose edges have trained weights; those that went have weight 0."""

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
        # Negative weights have no degree; the paper's masks stay near 1.
        weight = self.weight.clamp(min=0) * self.alive
        entries = spread(self.pairs, weight, fill=1.0)
        with edge_weights(self.model, edge_index, entries), sharing_normalised():
            return self.model(x, edge_index, *args, **kwargs)

    def penalty(self) -> Tensor:
        """The L1 norm of the weights that are there."""
        return self.strength * (self.weight.abs() * self.alive).sum()

"""Exchange edges, by gradients, until a trained model keeps its predictions."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import softplus
from torch_geometric.data import Data

from gsparse.edges import (
    EdgeMethod,
    EdgeNeed,
    Pairs,
    apply_edge_mask,
    budget,
    check_sparsity,
    draw_seed,
    require_edge_index,
    spread,
    undirected_pairs,
)
from gsparse.nn import edge_weights
from gsparse.nn.calling import call_arguments
from gsparse.nn.evaluating import evaluating, frozen
from gsparse.nn.placement import placement
from gsparse.nn.stale_caches import fresh_caches
from gsparse.nn.weighted_sum import sharing_normalised
from gsparse.train.exchange_to_keep import Exchanged, search_to_keep
from gsparse.train.fit import prepare
from gsparse.train.keep import check_share
from gsparse.train.losses import log_probabilities, mean_divergence
from gsparse.train.mask import logits_to_keep

SHARPNESS = 10.0
"""Steepness of the loss, in units of the median margin of the model."""

FIRST_SHARE, GROWTH, WIDE = 0.2, 1.3, 4
"""Share of the edges exchanged first; its growth after a success, it halves after a
failure; candidates for each exchanged edge."""


class Exchange(NamedTuple):
    """The sparse graph that a search ended with."""

    data: Data
    kept_before: float
    """Fraction of all nodes that keep their class with the random edges of the
    start."""

    kept: float
    """The same with the edges of the end."""

    num_steps: int


@dataclass(frozen=True)
class EdgeExchange(EdgeMethod):
    r"""Exchanges edges of a graph until a trained model keeps its predictions.

    A local search over the sets of edges of an exact budget. It starts with random
    edges. The derivative of a loss with respect to the weight of each edge, present or
    absent, says which absent edges would help and which present ones do not; some of
    the best are exchanged, at random among four times as many. The exchange stays if
    the loss falls, and the next ones are larger; otherwise they are half as large. It
    ends when every node has its class (unless :attr:`hard` is false), after
    :attr:`patience` failures in a row, or after :attr:`max_steps`. The loss is
    :math:`\mathrm{softplus}(-10 m_i / m)`, the mean over all nodes, for the margin
    :math:`m_i` of the model's class over the next and the median :math:`m` of the
    margins on the full graph. Weights are not changed and labels are not read.

    **When to use it.** With a trained model and one graph to run it on: the model is
    used as it is on the sparse graph.

    **When not to use it.** For another model or for fresh weights: the graph keeps what
    these weights need. For edges and graphs that are not there yet, learn a
    :class:`~gsparse.nn.KEdge` from features.

    **Cost.** A forward and a backward pass per step, usually 100 to 400 steps. Memory
    is linear in the edges.

    In contrast to the papers on attacks that flip few edges to change predictions, such
    as `"Robustness of Graph Neural Networks at Scale"
    <https://arxiv.org/abs/2110.14038>`_, it exchanges edges to keep them. The method is
    ours.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        seed: Random seed of the start and of the exchanges; ``None`` draws one.
        hard: Whether to keep the most likely class. ``False`` keeps the probabilities,
            for ranking metrics such as ROC-AUC.
        max_steps: Maximum number of steps.
        patience: Failures in a row after which the search ends.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> from gsparse.data import planted_partition, split
        >>> from gsparse.train import GCN, EdgeExchange, FitConfig, fit
        >>> data = planted_partition(200, num_classes=2, seed=7)
        >>> data = split(data, "random", seed=7)
        >>> model = GCN(data.num_features, 8, 2)
        >>> _ = fit(model, data, config=FitConfig(epochs=20))
        >>> found = EdgeExchange(0.8, seed=7).search(model, data)
        >>> round(found.data.num_edges / data.num_edges, 2), found.kept > 0.99
        (0.2, True)
    """

    removes: ClassVar = "edges"
    when = "trained"
    needs: ClassVar[tuple[EdgeNeed, ...]] = ("model", "seed")

    sparsity: float
    seed: int | None = None
    hard: bool = True
    max_steps: int = 400
    patience: int = 60

    def __post_init__(self) -> None:
        check_sparsity(self.sparsity)
        for name in ("max_steps", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"'{name}' must be at least 1 (got {getattr(self, name)})"
                )

    def __call__(self, model: Module, data: Data) -> Data:
        """Return the sparse graph; see :meth:`search`."""
        return self.search(model, data).data

    def search(
        self,
        model: Module,
        data: Data,
        logits: Tensor | None = None,
        *,
        keep: float | None = None,
    ) -> Exchange:
        """Return the sparse graph and the predictions that are kept on it.

        Args:
            model: A trained model, called as in :func:`~gsparse.train.fit`, whose
                convolutions :func:`~gsparse.nn.edge_weights` supports.
            data: The graph with ``x``.
            logits: Logits to keep; ``None`` uses those of ``model``.
            keep: Fraction of all nodes that keep their class, in (0, 1]. The search
                begins at :attr:`sparsity` and finds the largest at which that many do;
                it takes about eight times as long. ``None`` keeps the sparsity.

        Shapes:
            - **logits:** :math:`(N, C)`

        Raises:
            ValueError: If ``keep`` is not in (0, 1], or more than all edges keep, or
                the logits are not finite or have one column.
        """
        if keep is not None:
            check_share(keep)
        require_edge_index(data._store)
        logits = logits_to_keep(model, data, logits)
        wanted = logits.argmax(1)
        loss_of = partial(_margin_loss, wanted=wanted, scale=_scale(logits))
        if not self.hard:
            loss_of = partial(mean_divergence, target=log_probabilities(logits))
        pairs = undirected_pairs(data.edge_index, data.num_nodes)
        with evaluating(model), fresh_caches(model), frozen(model):
            graph = _Graph(model, data, pairs, loss_of, wanted)
            found = self._search(graph, pairs.num_pairs, keep)
        cut = apply_edge_mask(data, spread(pairs, found.present, fill=True))
        return Exchange(cut, found.kept_before, found.kept, found.num_steps)

    def _search(self, graph: "_Graph", num_pairs: int, keep: float | None) -> Exchanged:
        device = graph.wanted.device
        generator = torch.Generator(device).manual_seed(draw_seed(self.seed) % 2**63)
        shuffle = partial(torch.randperm, generator=generator, device=device)
        exchange = partial(self._exchange, graph, shuffle)
        if keep is not None:
            return search_to_keep(
                exchange, graph.evaluate, shuffle, num_pairs, self.sparsity, keep
            )
        present = torch.zeros(num_pairs, dtype=torch.bool, device=device)
        present[shuffle(num_pairs)[: budget(num_pairs, self.sparsity)]] = True
        return exchange(present, 1.0 if self.hard else math.inf)

    def _exchange(
        self,
        graph: "_Graph",
        shuffle: Callable[[int], Tensor],
        present: Tensor,
        enough: float,
    ) -> Exchanged:
        """Exchange edges until enough predictions are kept."""
        num_pairs, size = present.numel(), int(present.sum())
        best, kept, slope = graph.evaluate(present)
        gradient, before = slope(), kept
        room = min(size, num_pairs - size)
        count, failures, step = max(1, int(FIRST_SHARE * size)), 0, 0
        most = self.max_steps
        while room and kept < enough and failures < self.patience and step < most:
            step += 1
            count = min(count, room)
            trial = present.clone()
            for there, value in ((False, -gradient), (True, gradient)):
                value = value.masked_fill(present != there, -torch.inf)
                first = value.topk(min(WIDE * count, int((present == there).sum())))
                chosen = first.indices[shuffle(first.indices.numel())[:count]]
                trial[chosen] = not there
            loss, now, slope = graph.evaluate(trial)
            if loss < best:
                best, kept, present, gradient = loss, now, trial, slope()
                count, failures = int(GROWTH * count), 0
            else:
                count, failures = max(1, count // 2), failures + 1
        return Exchanged(present, gradient, before, kept, step)


class _Graph:
    """A model on the graph with some of its edges, and derivatives by all of them."""

    def __init__(
        self,
        model: Module,
        data: Data,
        pairs: Pairs,
        loss_of: Callable[[Tensor], Tensor],
        wanted: Tensor,
    ) -> None:
        self.model, self.loss_of, self.wanted = model, loss_of, wanted
        self.edge_index, size = data.edge_index, pairs.num_pairs
        group = torch.where(pairs.pair < 0, size, pairs.pair)
        self.entries = placement(group, size)
        self.arguments = call_arguments(model, prepare(data))
        self.dtype = data.x.dtype

    def evaluate(self, keep: Tensor) -> tuple[float, float, Callable[[], Tensor]]:
        """Return the loss, the share of classes kept, and a function that computes the
        derivative by the weight of each edge.
        """
        with torch.enable_grad():
            weight = keep.to(self.dtype).requires_grad_()
            entries = self.entries.put(weight)
            masked = edge_weights(self.model, self.edge_index, entries)
            with masked, sharing_normalised():
                out = self.arguments.call(self.model)
            loss = self.loss_of(out)
        kept = (out.argmax(1) == self.wanted).double().mean().item()
        return loss.item(), kept, lambda: torch.autograd.grad(loss, weight)[0]


def _margins(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the logit of the wanted class minus the largest of the others."""
    own = logits.gather(1, wanted.unsqueeze(1))
    others = logits.scatter(1, wanted.unsqueeze(1), -torch.inf)
    return own.squeeze(1) - others.max(1).values


def _scale(logits: Tensor) -> float:
    margin = float(_margins(logits, logits.argmax(1)).median())
    return SHARPNESS / margin if margin > 0 else SHARPNESS


def _margin_loss(out: Tensor, wanted: Tensor, scale: float) -> Tensor:
    return softplus(-scale * _margins(out, wanted)).mean()

"""PTDNet: every layer drops edges that its own input marks as noise."""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, Module, ModuleList, init
from torch_geometric.data import Data
from torch_geometric.nn import GINConv
from torch_geometric.nn import Linear as LazyLinear
from torch_geometric.nn.conv import MessagePassing

from gsparse.edges import draw_seed
from gsparse.kernels.tensor_cache import TensorCache
from gsparse.nn.attention_base import Attention
from gsparse.nn.budgeted_mask import OPEN
from gsparse.nn.calling import call_arguments
from gsparse.nn.density import RAMP
from gsparse.nn.evaluating import evaluating
from gsparse.nn.full_precision import full_precision
from gsparse.nn.gate import Gate, PlainGate
from gsparse.nn.ky_fan import ky_fan_norm
from gsparse.nn.learned_mask import LearnedMask, Scope
from gsparse.nn.masking import EdgeWeigher, convolutions, edge_weights
from gsparse.nn.pair_scorer import EdgeGroups, PairScorer
from gsparse.nn.seeded import seeded
from gsparse.nn.sparse_gat import SHIFT, gate


def input_width(name: str, layer: MessagePassing) -> int:
    """Return the number of input features of a convolution; of a pair, that of the
    sources.

    Raises:
        TypeError: If the layer has no attribute for it.
    """
    if isinstance(layer, GINConv):
        width = next(map(_linear_width, _linears(layer.nn)), None)
    else:  # GCN2Conv has one number of channels for input and output
        width = getattr(layer, "in_channels", getattr(layer, "channels", None))
    if isinstance(width, tuple | list):
        width = width[0]
    if not isinstance(width, int) or width < 1:
        raise TypeError(
            f"layer {name!r} ({type(layer).__name__}) does not say how many features "
            f"it takes (got {width}); use scope='shared', or give the layer a number "
            "of input channels"
        )
    return width


def _linears(module: Module) -> Iterator[Linear | LazyLinear]:
    return (m for m in module.modules() if isinstance(m, Linear | LazyLinear))


def _linear_width(linear: Linear | LazyLinear) -> int:
    return linear.in_features if isinstance(linear, Linear) else linear.in_channels


def _both_directions(row: Tensor, col: Tensor) -> Tensor:
    return torch.stack([torch.cat([row, col]), torch.cat([col, row])])


class PTDNet(LearnedMask):
    r"""Wraps a GNN and learns for every layer which edges to drop, from the `"Learning
    to Drop: Robust Graph Neural Network via Topological Denoising"
    <https://arxiv.org/abs/2011.07057>`_ paper.

    In layer :math:`l`, whose input is :math:`H^l`, each undirected edge has a
    :class:`~gsparse.nn.HardConcrete` gate (:math:`\gamma = -0.1`, :math:`\zeta = 1.1`)

    .. math::
        z_{uv}^l \sim \operatorname{HardConcrete}(\alpha_{uv}^l), \qquad
        \alpha_{uv}^l = s^l(H_u^l, H_v^l) = s^l(H_v^l, H_u^l)

    where :math:`s^l` is a :class:`~gsparse.nn.pair_scorer.PairScorer`. The gates of
    deeper layers thus depend on the output of the masked layers before them. The loss
    is that of the model plus :meth:`penalty`:

    .. math::
        \Lambda\left(\frac{1}{L M} \sum_{l, uv} P(z_{uv}^l \ne 0)\right)
        + \beta \sum_l \sum_{i \le k} \sigma_i(Z^l)

    where :math:`\Lambda` is the augmented Lagrangian of the budget (or ``penalty``
    times its argument), :math:`\beta` is the factor ``low_rank``, and :math:`Z^l` is
    the symmetric matrix of the sampled gates, of which only the edges are stored
    (:func:`~gsparse.nn.ky_fan.ky_fan_norm`). The second term approximates the nuclear
    norm. In evaluation every layer keeps the pairs with the largest
    :math:`P(z \ne 0)`, at the exact budget, and nothing is sampled.

    ``scope="layer"`` follows the paper: each layer has its own graph, so an edge that
    one layer drops is still stored for another, and :meth:`sparsify` returns one graph
    per layer. To compute them it runs the model, with the arguments of
    :func:`gsparse.train.fit`; ``torch.sparse_csr`` features are made dense for that.
    With ``"shared"`` the gates are computed from the input features and apply to all
    layers, so that the edges are removed from the storage. The mask treats a batch of
    graphs as one graph, with one budget over all edges.

    **When to use it.** If each layer should have its own graph, and edges between
    communities are noise.

    **When not to use it.** If one sparse graph is wanted and a trained model is
    available: :class:`~gsparse.nn.KEdge` can learn terms of single edges and costs
    less. If nodes with many neighbours carry the signal, set ``low_rank=0``: the
    low-rank term penalises the edges between them most.

    Differences from the paper: the scorer is an inner product of projections instead of
    an MLP on the concatenated features, so that no tensor of edges times channels is
    stored; the budget is exact, by a Lagrangian. Differences from the authors' code: a
    training step samples once, while theirs averages three passes and adds a
    consistency loss; the temperature stays at 0.66, while theirs falls; and
    :math:`\gamma` is not -0.0, which would make the L0 term a constant without a
    gradient.

    **Cost.** One inner product per edge and layer, and, for the low-rank term, 12
    passes over the edges with k columns; a training step takes three to four plain ones
    on PubMed. Memory is linear in the edges, for each layer.

    Args:
        model: Any module called as ``model(x, edge_index, ...)`` whose convolutions
            :func:`~gsparse.nn.edge_weights` supports.
        in_channels: Number of node features, from which ``"shared"`` gates are
            computed; ``"layer"`` reads the input widths from the layers.
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        penalty: Factor of the mean number of open gates; replaces ``sparsity``.
        hidden_channels: Width of the projection that gates are computed from.
        scope: ``"layer"`` is one mask per layer, ``"shared"`` one for all.
        seed: Random seed of the mask's initial weights; ``None`` draws one.
        attention: ``"fused"``, or ``"reference"`` if second derivatives are needed.
        low_rank: Factor :math:`\beta` of the low-rank term; 0 disables it.
        k: Number of singular values in the low-rank term.
        ramp: Number of training steps in which the density target falls to
            ``1 - sparsity``.
        edge_index: Graph whose edges get one learned term for each mask, as in
            :class:`~gsparse.nn.KEdge`; ours, not in the paper.

    Shapes:
        - **x:** :math:`(N, F)`
        - **edge_index:** :math:`(2, E)`

    Raises:
        ValueError: Unless exactly one of ``sparsity`` and ``penalty`` is given; if
            ``low_rank`` or ``k`` is out of range; when called, if the model calls a
            layer of ``scope="layer"`` twice.
        TypeError: If a convolution of the model takes no weights, or with
            ``scope="layer"`` has no known number of input features.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.data import complete
        >>> from gsparse.nn import PTDNet
        >>> data = complete(10)
        >>> data.x = torch.eye(10)
        >>> model = PTDNet(GCN(10, 8, 2), in_channels=10, sparsity=0.8, seed=5)
        >>> [cut.num_edges for cut in model.sparsify(data)], data.num_edges
        ([18, 18], 90)
    """

    takes_scope = True

    def __init__(
        self,
        model: Module,
        in_channels: int,
        sparsity: float | None = None,
        penalty: float | None = None,
        hidden_channels: int = 8,
        scope: Scope = "layer",
        seed: int | None = None,
        attention: Attention = "fused",
        low_rank: float = 0.01,
        k: int = 1,
        ramp: int = RAMP,
        edge_index: Tensor | None = None,
    ) -> None:
        super().__init__(
            model,
            sparsity,
            penalty,
            scope,
            attention=attention,
            ramp=ramp,
            edge_index=edge_index,
        )
        if scope == "shared":
            self.in_channels = in_channels
        if not 0 <= low_rank < math.inf:
            raise ValueError(f"'low_rank' must not be negative (got {low_rank})")
        if k < 1:
            raise ValueError(f"'k' must be at least 1 (got {k})")
        self.low_rank, self.k = low_rank, k
        widths = [in_channels]
        if scope == "layer":
            widths = [input_width(*item) for item in convolutions(model).items()]
        with seeded(draw_seed(seed) % 2**63):
            fused = attention == "fused"
            scorers = [
                PairScorer(width, hidden_channels, 1, fused=fused) for width in widths
            ]
        for scorer in scorers:
            init.constant_(scorer.bias, OPEN - SHIFT)
        self.scorers = ModuleList(scorers)
        self._norms: list[Tensor] = []
        self._ends: TensorCache[Tensor] = TensorCache(max_entries=8)

    def gates(self, x: Tensor, groups: EdgeGroups) -> list[PlainGate]:
        """Return the gates that depend on the features only: all gates of ``"shared"``,
        and those of the first layer of ``"layer"``.
        """
        return [self._gate(0, x, groups)]

    def _gate(self, layer: int, x: Tensor, groups: EdgeGroups) -> PlainGate:
        """Return the gates of one mask from the features that its layer reads."""
        scores = self.scorers[layer](x, groups).squeeze(1)
        return gate(scores if self.own is None else scores + self.own[:, layer])

    def penalty(self) -> Tensor:
        """Return the term to add to the loss of the last training step; 0 if there was
        none.

        It is the sum of the budget term of every mask and the low-rank term.
        """
        norms, self._norms = self._norms, []
        budget = super().penalty()
        return budget + self.low_rank * torch.stack(norms).sum() if norms else budget

    def _weights(
        self, x: Tensor, groups: EdgeGroups
    ) -> Tensor | Mapping[str, Tensor | EdgeWeigher]:
        if self.training:
            self._norms = []
        if self.scope == "shared":
            return super()._weights(x, groups)
        return self._weighers(groups, {})

    def _weighers(
        self, groups: EdgeGroups, found: dict[str, Gate]
    ) -> dict[str, EdgeWeigher]:
        """Return for each layer a function that computes its mask and stores
        its gates.
        """

        def weigher(name: str, layer: int) -> EdgeWeigher:
            def weigh(x: Tensor) -> Tensor:
                if name in found:
                    raise ValueError(
                        f"layer {name!r} has one mask but is called twice in one pass, "
                        "or again by torch.utils.checkpoint; use scope='shared'"
                    )
                with full_precision(x) as x:
                    found[name] = self._gate(layer, x, groups)
                    return groups.spread(self._value(found[name], groups))

            return weigh

        return {name: weigher(name, i) for i, name in enumerate(self.names)}

    def _value(self, gate: Gate, groups: EdgeGroups) -> Tensor:
        value = super()._value(gate, groups)
        if self.training and self.low_rank > 0:
            row, col = groups.row, groups.col
            ends = self._ends.get((row, col), None, lambda: _both_directions(row, col))
            both, num_nodes = torch.cat([value, value]), groups.pattern.shape[0]
            self._norms.append(ky_fan_norm(ends, both, num_nodes, self.k))
        return value

    @torch.no_grad()
    def _of(self, data: Data) -> tuple[EdgeGroups, Sequence[Gate]]:
        if self.scope == "shared":
            return super()._of(data)
        self._check_data(data)
        groups = self._edge_groups(data.edge_index, data.num_nodes)
        found: dict[str, Gate] = {}
        weighers = self._weighers(groups, found)
        dense = copy.copy(data)
        if data.x.layout != torch.strided:  # layers that sum rows need dense features
            dense.x = data.x.to_dense()
        arguments = call_arguments(self.model, dense)
        with (
            evaluating(self),
            edge_weights(self.model, data.edge_index, weighers, self.attention),
        ):
            arguments.call(self.model)
        for name in self.names:
            if name not in found:
                raise ValueError(
                    f"layer {name!r} was not called, so it has no graph; "
                    "use scope='shared', or remove the layer from the model"
                )
        return groups, [found[name] for name in self.names]

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_norms": []}

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, low_rank={self.low_rank}"

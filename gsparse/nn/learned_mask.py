"""Base class of learned edge masks: samples gates and meets the budget."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch_geometric.data import Data

from gsparse.edges import (
    EdgeMethod,
    EdgeNeed,
    apply_edge_mask,
    require_edge_index,
    undirected_pairs,
)
from gsparse.kernels.tensor_cache import TensorCache
from gsparse.nn.attention_base import Attention, check_attention
from gsparse.nn.budgeted_mask import BudgetedMask
from gsparse.nn.density import RAMP
from gsparse.nn.edge_mark import edge_mark, has_mark
from gsparse.nn.full_precision import full_precision
from gsparse.nn.gate import Gate
from gsparse.nn.masking import (
    EdgeWeigher,
    convolutions,
    edge_weights,
    refuse_unsupported,
)
from gsparse.nn.pair_scorer import EdgeGroups, edge_groups
from gsparse.nn.weighted_sum import sharing_normalised
from gsparse.nn.wrapper import check_width, count_nodes

# ruff: noqa: ANN401 (further arguments of the wrapped model)

Scope = Literal["shared", "layer"]


class LearnedMask(EdgeMethod, BudgetedMask):
    r"""Base class of wrappers that multiply edges by gates learned with the model.

    A subclass computes the gates, from the input features or from the input of each
    layer. In training the gates are sampled, and :meth:`penalty` returns an augmented
    Lagrangian that pulls the mean probability of an open gate towards
    ``1 - sparsity``; :func:`gsparse.train.fit` adds it to the loss. In evaluation the
    mask is 0 or 1, and the output equals that of the model on ``self.sparsify(data)``.

    A wrapped model whose parameters are all frozen stays in evaluation mode, without
    dropout, while the gates are trained. A checkpoint of the plain model loads into the
    mask and leaves the gates unchanged; in the other direction, use
    ``plain.load_state_dict(mask.model.state_dict())``. The mask treats a batch of
    graphs as one graph, with one budget over all edges.

    Args:
        model: Any module called as ``model(x, edge_index, ...)`` whose convolutions
            :func:`~gsparse.nn.edge_weights` supports.
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        penalty: Factor of the mean number of open gates; replaces ``sparsity``.
        scope: ``"shared"`` is one mask for all layers, ``"layer"`` one per layer.
        symmetric: Whether both directions of an edge share one gate.
        attention: ``"fused"``, or ``"reference"`` if second derivatives are needed.
        ramp: Number of training steps in which the density target falls to
            ``1 - sparsity``. A mask that is evaluated earlier warns once.
        edge_index: Graph whose edges get learned terms of their own, in addition to
            what is computed from features; the mask then works on this graph only.
            With ``None`` it works on any graph.

    Raises:
        ValueError: Unless exactly one of ``sparsity`` and ``penalty`` is given.
        TypeError: If a convolution of the model takes no weights.
    """

    when = "training"
    revision = 2
    needs: ClassVar[tuple[EdgeNeed, ...]] = ("edge_index", "seed")

    terms_per_mask: ClassVar[int] = 1
    """Learned terms that each mask has for an edge of ``edge_index``."""

    edge_terms: ClassVar[Literal["never", "with a teacher", "always"]] = "never"
    """When experiments pass ``edge_index``, unless they are told whether to."""

    _otherwise = "omit 'edge_index' for a mask that is computed from features only"

    own_graph: Tensor

    in_channels: int | None = None
    """Number of features, if the gates are computed from features."""

    def __init__(
        self,
        model: Module,
        sparsity: float | None = None,
        penalty: float | None = None,
        scope: Scope = "shared",
        symmetric: bool = True,
        attention: Attention = "fused",
        ramp: int = RAMP,
        edge_index: Tensor | None = None,
    ) -> None:
        super().__init__(model, sparsity, penalty, ramp)
        if isinstance(model, BudgetedMask):
            raise TypeError(
                f"{type(self).__name__} cannot wrap another mask, which it would not "
                f"train (got {type(model).__name__}); wrap it the other way round"
            )
        check_attention(attention)
        if scope not in get_args(Scope):
            raise ValueError(f"'scope' must be 'shared' or 'layer' (got {scope!r})")
        layers = convolutions(model)
        if not layers:
            raise TypeError(f"{type(model).__name__} has no convolutions to mask")
        refuse_unsupported(layers)
        self.scope, self.symmetric, self.attention = scope, symmetric, attention
        self.names = list(layers) if scope == "layer" else [""]
        self._groups: TensorCache[EdgeGroups] = TensorCache(max_entries=8)
        self.register_parameter("own", None)
        if edge_index is not None:
            self._learn_edge_terms(edge_index)

    def _learn_edge_terms(self, edge_index: Tensor) -> None:
        """Add a parameter for each undirected edge, initially 0."""
        if not self.symmetric:
            raise ValueError(
                "'edge_index' adds a term per undirected edge and needs "
                "symmetric=True (got symmetric=False)"
            )
        if edge_index.numel() == 0:
            raise ValueError("'edge_index' must have an edge to learn a term for")
        pairs = undirected_pairs(edge_index, int(edge_index.max()) + 1)
        width = self.terms_per_mask * len(self.names)
        self.own = Parameter(torch.zeros(pairs.row.numel(), width))
        self.register_buffer("own_graph", edge_mark(pairs.row, pairs.col))

    def _with_edge_terms(self, scores: Tensor) -> Tensor:
        """Add the learned terms of the edges, if there are any.

        Shapes:
            - **scores:** :math:`(M, K)`
        """
        return scores if self.own is None else scores + self.own

    @abstractmethod
    def gates(self, x: Tensor, groups: EdgeGroups) -> Sequence[Gate]:
        """Return the gates of each mask: one for all layers, or one per layer."""

    def forward(self, x: Tensor, edge_index: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Run the model with sampled gates in training and a 0/1 mask in evaluation.

        Args:
            x: Node features.
            edge_index: The full graph.
            *args: Passed to the model.
            **kwargs: Passed to the model.

        Shapes:
            - **x:** :math:`(N, F)`
            - **edge_index:** :math:`(2, E)`

        Raises:
            TypeError: If the input is not one homogeneous graph.
            ValueError: If there are not ``in_channels`` features, or an edge-level
                argument does not fit ``edge_index``.
        """
        self._check_tracing()
        self._check_graph(x, edge_index)
        self._check_lengths(args, kwargs, edge_index.size(1))
        self._check_features(x)
        groups = self._edge_groups(edge_index, count_nodes(x))
        if self.training:
            self._opened = []
        weight = self._weights(x, groups)
        masked = edge_weights(self.model, edge_index, weight, self.attention)
        with masked, sharing_normalised():
            return self.model(x, edge_index, *args, **kwargs)

    def _weights(
        self, x: Tensor, groups: EdgeGroups
    ) -> Tensor | Mapping[str, Tensor | EdgeWeigher]:
        """Return the edge weights of the convolutions."""
        with full_precision(x) as x:
            gates = self.gates(x, groups)
            masks = [groups.spread(self._value(gate, groups)) for gate in gates]
        if self.scope == "shared":
            return masks[0]
        return dict(zip(self.names, masks, strict=True))

    def _value(self, gate: Gate, groups: EdgeGroups) -> Tensor:
        """Return one weight per group: sampled in training, 0 or 1 in evaluation."""
        if not self.training:
            return self._kept(gate, groups.tie).to(gate.rank.dtype)
        drawn, opened = gate.draw()
        self._opened.append(opened.mean())
        return drawn

    def edge_probability(self, data: Data) -> Tensor | list[Tensor]:
        r"""Return :math:`P(z \ne 0)` of every entry, 1 for self-loops; with
        ``scope="layer"`` a list with one tensor per layer.

        Shapes:
            - **output:** :math:`(E,)`
        """
        groups, gates = self._of(data)
        found = [groups.spread(gate.variable.expected_l0) for gate in gates]
        return found[0] if self.scope == "shared" else found

    def sparsify(self, data: Data) -> Data | list[Data]:
        """Return the graph that the model runs on in evaluation; with ``scope="layer"``
        one per layer. All nodes and self-loops are kept.

        Raises:
            TypeError: If ``data`` is not one homogeneous graph.
            ValueError: If it does not have ``in_channels`` features.
        """
        groups, gates = self._of(data)
        cuts = [
            apply_edge_mask(data, groups.spread(self._kept(gate, groups.tie)).bool())
            for gate in gates
        ]
        return cuts[0] if self.scope == "shared" else cuts

    @torch.no_grad()
    def _of(self, data: Data) -> tuple[EdgeGroups, Sequence[Gate]]:
        self._check_data(data)
        groups = self._edge_groups(data.edge_index, data.num_nodes)
        with full_precision(data.x) as x:
            return groups, self.gates(x, groups)

    def _edge_groups(self, edge_index: Tensor, num_nodes: int) -> EdgeGroups:
        loaded = None if self.own is None else self.own_graph._version
        return self._groups.get(
            (edge_index,),
            (num_nodes, self.symmetric, loaded),
            lambda: self._checked(edge_groups(edge_index, num_nodes, self.symmetric)),
        )

    def _check_features(self, x: Tensor) -> None:
        if self.in_channels is not None:
            check_width(x, self.in_channels)

    def _check_data(self, data: Data) -> None:
        super()._check_data(data)
        require_edge_index(data._store)
        self._check_features(data.x)

    def _checked(self, groups: EdgeGroups) -> EdgeGroups:
        """Return the groups; refuse a graph without the edges of ``edge_index``."""
        if self.own is not None and (
            self.own.size(0) != groups.num_groups
            or not has_mark(groups.row, groups.col, self.own_graph)
        ):
            raise ValueError(
                f"{type(self).__name__} was made for the graph of its 'edge_index', "
                f"with {self.own.size(0)} undirected edges (got another one, with "
                f"{groups.num_groups}); {self._otherwise}"
            )
        return groups

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, scope={self.scope!r}, symmetric={self.symmetric}"
        )

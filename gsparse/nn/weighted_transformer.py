"""TransformerConv with edge weights."""

import math
from contextvars import ContextVar
from typing import Any, Optional

from torch import Tensor
from torch.nn.functional import dropout
from torch_geometric.nn import TransformerConv
from torch_geometric.typing import OptTensor

from gsparse.kernels import weighted_softmax
from gsparse.nn.fast_layer import with_long_ids

# PyG's forward has no argument for edge weights; a context variable passes them on.
_WEIGHT: ContextVar[Tensor | None] = ContextVar("transformer_weight", default=None)


class WeightedTransformerConv(TransformerConv):
    r"""The layer of the `"Masked Label Prediction: Unified Message Passing Model for
    Semi-Supervised Classification" <https://arxiv.org/abs/2009.03509>`_ paper with a
    factor per edge.

    Like :class:`torch_geometric.nn.TransformerConv`, with
    :math:`\alpha_{ij} \propto w_{ij} \exp(q_i \cdot k_j / \sqrt{d})`: a weight of 0
    equals a removed edge. It stores a tensor of edges times channels, as PyG's layer
    does.
    """

    def forward(
        self,
        x: Any,  # noqa: ANN401
        edge_index: Tensor,
        *args: Any,  # noqa: ANN401
        edge_weight: OptTensor = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        token = _WEIGHT.set(edge_weight)
        try:
            return super().forward(x, with_long_ids(edge_index), *args, **kwargs)
        finally:
            _WEIGHT.reset(token)

    def message(
        self,
        query_i: Tensor,
        key_j: Tensor,
        value_j: Tensor,
        edge_attr: OptTensor,
        index: Tensor,
        ptr: OptTensor,
        size_i: Optional[int],  # noqa: UP045 (PyG reads annotations, not unions)
    ) -> Tensor:
        if self.lin_edge is not None:
            if edge_attr is None:
                raise ValueError("'edge_attr' must be given to a layer with 'edge_dim'")
            edge_attr = self.lin_edge(edge_attr)
            edge_attr = edge_attr.view(-1, self.heads, self.out_channels)
            key_j = key_j + edge_attr
        if edge_attr is not None:
            value_j = value_j + edge_attr
        score = (query_i * key_j).sum(dim=-1) / math.sqrt(self.out_channels)
        size = int(index.max()) + 1 if size_i is None else size_i
        weight = _WEIGHT.get()
        if weight is not None:
            weight = weight.to(score.dtype)
        share = weighted_softmax(score, index, size, weight)
        self._alpha = share
        share = dropout(share, p=self.dropout, training=self.training)
        return value_j * share.unsqueeze(-1)

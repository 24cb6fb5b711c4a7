"""DropEdge: drop random edges in every training step."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.edges import EdgeMethod
from gsparse.kernels.tensor_cache import TensorCache
from gsparse.nn.attention_base import Attention, check_attention
from gsparse.nn.masking import convolutions, edge_weights, refuse_unsupported
from gsparse.nn.pair_scorer import EdgeGroups, edge_groups
from gsparse.nn.stale_caches import caches_aside
from gsparse.nn.weighted_sum import sharing_normalised
from gsparse.nn.wrapper import Wrapper, count_nodes

# ruff: noqa: ANN401 (further arguments of the wrapped model)


class DropEdge(EdgeMethod, Wrapper):
    r"""Wraps a GNN and drops random edges in every training step, from the `"DropEdge:
    Towards Deep Graph Convolutional Networks on Node Classification"
    <https://arxiv.org/abs/1907.10903>`_ paper.

    In every training step each edge is kept with probability :math:`1 - p`. Degrees and
    softmaxes are computed over the remaining edges, and both directions of an edge are
    dropped together. Random numbers come from torch's global generator. A checkpoint of
    the plain model loads into the wrapper; in the other direction, use
    ``plain.load_state_dict(wrapper.model.state_dict())``. Layers with ``cached=True``
    normalise again in every call.

    **When to use it.** To train deep models, and against overfitting: it is a
    regulariser.

    **When not to use it.** To save time or memory: evaluation uses all edges, and there
    is no ``sparsify``. A model of two layers may lose accuracy.

    **Cost.** One random number per edge and step. Memory is one number per edge.

    Args:
        model: Any module called as ``model(x, edge_index, ...)`` whose convolutions
            :func:`~gsparse.nn.edge_weights` supports.
        p: Probability of dropping an edge, in [0, 1).
        attention: ``"fused"``, or ``"reference"`` if second derivatives are needed.

    Raises:
        ValueError: If ``p`` is out of range.
        TypeError: If a convolution of the model takes no weights.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.data import complete
        >>> from gsparse.nn import DropEdge
        >>> data, model = complete(10), DropEdge(GCN(4, 8, 2), p=0.7)
        >>> model(torch.ones(10, 4), data.edge_index).shape
        torch.Size([10, 8])
    """

    when = "training"
    cuts = False

    def __init__(
        self, model: Module, p: float = 0.5, attention: Attention = "fused"
    ) -> None:
        super().__init__()
        check_attention(attention)
        if not 0 <= p < 1:
            raise ValueError(f"'p' must be in [0, 1) (got {p})")
        refuse_unsupported(convolutions(model))
        self.model, self.p, self.attention = model, p, attention
        self._groups: TensorCache[EdgeGroups] = TensorCache(max_entries=8)

    def forward(self, x: Tensor, edge_index: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Run the model; in training, on the remaining edges.

        Shapes:
            - **x:** :math:`(N, F)`
            - **edge_index:** :math:`(2, E)`

        Raises:
            TypeError: If the input is not one homogeneous graph.
            ValueError: If an edge-level argument does not fit ``edge_index``.
        """
        self._check_graph(x, edge_index)
        self._check_lengths(args, kwargs, edge_index.size(1))
        weight, num_nodes = None, count_nodes(x)
        if self.training and self.p > 0:
            groups = self._groups.get(
                (edge_index,),
                num_nodes,
                lambda: edge_groups(edge_index, num_nodes, symmetric=True),
            )
            drawn = torch.rand(groups.num_groups, device=edge_index.device)
            weight = groups.spread((drawn >= self.p).to(torch.get_default_dtype()))
        masked = edge_weights(self.model, edge_index, weight, self.attention)
        with masked, caches_aside(self.model), sharing_normalised():
            return self.model(x, edge_index, *args, **kwargs)

    def extra_repr(self) -> str:
        return f"p={self.p}"

"""DropEdge: random edges are left out of every training step."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.kernels.tensor_cache import TensorCache
from gsparse.nn.fast_gat_conv import Attention, check_attention
from gsparse.nn.masking import convolutions, edge_weights, refuse_unsupported
from gsparse.nn.pair_scorer import EdgeGroups, edge_groups
from gsparse.nn.weighted_sum import sharing_normalised

# ruff: noqa: ANN401 (what else the wrapped model takes is its own)


class DropEdge(Module):
    r"""Wraps a GNN and leaves a random part of the edges out of every training step,
    from the `"DropEdge: Towards Deep Graph Convolutional Networks on Node
    Classification" <https://arxiv.org/abs/1907.10903>`_ paper.

    A regulariser, not a sparsifier: in evaluation all edges are there, so it saves
    nothing and has no ``sparsify``. Degrees and softmaxes are those of the edges that
    are left, and both directions of an edge share their fate. Draws from torch's
    generator. Costs one random number an edge and step.

    Args:
        model: Any module called as ``model(x, edge_index, ...)`` whose convolutions
            :func:`~gsparse.nn.edge_weights` supports.
        p: Probability of leaving an edge out, in [0, 1).
        attention: ``"reference"`` where second derivatives are needed.

    Raises:
        ValueError: If ``p`` is out of range.
        TypeError: If a convolution of the model takes no weights; says which.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.data import complete
        >>> from gsparse.nn import DropEdge
        >>> data, model = complete(10), DropEdge(GCN(4, 8, 2), p=0.7)
        >>> model(torch.ones(10, 4), data.edge_index).shape
        torch.Size([10, 8])
    """

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
        """Run the model, in training with the edges that are left.

        Shapes:
            - **x:** :math:`(N, F)`
            - **edge_index:** :math:`(2, E)`
        """
        weight = None
        if self.training and self.p > 0:
            groups = self._groups.get(
                (edge_index,),
                x.size(0),
                lambda: edge_groups(edge_index, x.size(0), symmetric=True),
            )
            drawn = torch.rand(groups.num_groups, device=edge_index.device)
            weight = groups.spread((drawn >= self.p).to(torch.get_default_dtype()))
        masked = edge_weights(self.model, edge_index, weight, self.attention)
        with masked, sharing_normalised():
            return self.model(x, edge_index, *args, **kwargs)

    def extra_repr(self) -> str:
        return f"p={self.p}"

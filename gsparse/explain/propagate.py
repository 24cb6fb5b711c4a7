"""Propagate features by the normalised adjacency matrix of a GCN."""

import torch
from torch import Tensor
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from gsparse.kernels.spmm import SparseMatrix, spmm


def normalised_adjacency(
    edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int, dtype: torch.dtype
) -> SparseMatrix:
    r"""Build :math:`\hat{A} = \tilde{D}^{-1/2} (A + I) \tilde{D}^{-1/2}`, the matrix of
    :class:`~gsparse.nn.FastGCNConv`.

    Shapes:
        - **edge_index:** :math:`(2, E)`
        - **edge_weight:** :math:`(E,)`
    """
    ends, weight = gcn_norm(edge_index, edge_weight, num_nodes, dtype=dtype)
    size = (num_nodes, num_nodes)
    return SparseMatrix.from_entries(ends[1], ends[0], weight.to(dtype), size)


def propagated(
    x: Tensor, edge_index: Tensor | None, edge_weight: Tensor | None = None
) -> Tensor:
    r"""Compute :math:`\hat{A} X`, or return :math:`X` without a graph.

    Shapes:
        - **x**, **output:** :math:`(N, F)`

    Example:
        >>> import torch
        >>> from gsparse.explain.propagate import propagated
        >>> x, edge_index = torch.tensor([[1.0], [3.0]]), torch.tensor([[0, 1], [1, 0]])
        >>> propagated(x, edge_index).round()
        tensor([[2.],
                [2.]])
    """
    if edge_index is None:
        return x
    matrix = normalised_adjacency(edge_index, edge_weight, x.size(0), x.dtype)
    return spmm(matrix, x)

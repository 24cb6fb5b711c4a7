"""Maximum spanning forests."""

import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import Tensor


def spanning_forest(row: Tensor, col: Tensor, score: Tensor, num_nodes: int) -> Tensor:
    r"""Return the spanning forest of largest total importance.

    Of edges with equal importance the first is preferred. Costs one sort of the edges.

    Args:
        row: One end point of each undirected edge.
        col: The other end point.
        score: Importance of each edge.
        num_nodes: Number of nodes :math:`N`.

    Returns:
        True for the edges of the forest; their number is :math:`N` minus the number of
        components.

    Shapes:
        - **row**, **col**, **score**, **output:** :math:`(M,)`

    Example:
        >>> import torch
        >>> from gsparse.linalg import spanning_forest
        >>> row, col = torch.tensor([[0, 0, 1], [1, 2, 2]])
        >>> spanning_forest(row, col, torch.tensor([1.0, 3.0, 2.0]), num_nodes=3)
        tensor([False,  True,  True])
    """
    # Only the order matters. Costs start at 1, because SciPy treats 0 as no edge.
    order = score.argsort(descending=True, stable=True)
    cost = torch.empty_like(order)
    cost[order] = torch.arange(1, order.numel() + 1, device=order.device)
    ends = row.int().cpu().numpy(), col.int().cpu().numpy()  # SciPy 1.11 needs 32 bits
    graph = coo_array((cost.double().cpu().numpy(), ends), shape=(num_nodes, num_nodes))
    chosen = torch.from_numpy(minimum_spanning_tree(graph.tocsr()).data).long() - 1
    keep = torch.zeros_like(order, dtype=torch.bool)
    keep[order[chosen.to(order.device)]] = True
    return keep

"""Random edges: the baseline that every other method has to beat."""

from torch import Tensor
from torch_geometric.data import Data

from gsparse.edges import Pairs, draw_seed, pair_uniform
from gsparse.transforms.base import EdgeSparsifier, as_function


class RandomEdge(EdgeSparsifier):
    r"""Keeps a uniformly random set of the undirected edges, of exact size.

    Show it beside every other method: on many graphs it is hard to beat, and a curve
    without it says nothing. The weights stay as they are. Each pair draws a number
    from the seed and its end points and the largest survive, so samples are nested in
    the sparsity and independent of the order of the edges. Works on directed graphs,
    where an edge and its reverse share their fate. Costs one pass over the edges.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        seed: Number of the random stream; ``None`` draws a new one per call from
            torch's global generator.

    Example:
        >>> from gsparse.data import complete
        >>> from gsparse.transforms import RandomEdge
        >>> RandomEdge(sparsity=0.6, seed=20717)(complete(5))  # 4 of 10 edges
        Data(edge_index=[2, 8], num_nodes=5, e_id=[8])
    """

    needs = ("seed",)
    needs_undirected = False

    def __init__(self, sparsity: float, seed: int | None = None) -> None:
        super().__init__(sparsity)
        self.seed = seed

    def pair_importance(
        self, data: Data, pairs: Pairs, weight: Tensor | None
    ) -> Tensor:
        return pair_uniform(pairs, draw_seed(self.seed))

    def __repr__(self) -> str:
        return f"RandomEdge(sparsity={self.sparsity}, seed={self.seed})"


def random_edge(
    edge_index: Tensor,
    edge_weight: Tensor | None = None,
    num_nodes: int | None = None,
    *,
    sparsity: float,
    seed: int | None = None,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """:class:`RandomEdge` on bare tensors.

    Returns:
        ``(edge_index, edge_weight, e_id)`` of the surviving entries.

    Shapes:
        - **edge_index:** :math:`(2, E)`
        - **edge_weight:** :math:`(E,)`
    """
    transform = RandomEdge(sparsity, seed=seed)
    return as_function(transform, edge_index, edge_weight, num_nodes)

"""Random edges: the baseline of all edge sparsifiers."""

from torch import Tensor
from torch_geometric.data import Data

from gsparse.edges import Pairs, draw_seed, pair_uniform
from gsparse.transforms.as_function import as_function
from gsparse.transforms.base import EdgeSparsifier
from gsparse.transforms.pair_stream import BlockImportance, PairStream


class RandomEdge(EdgeSparsifier):
    r"""Keeps a uniformly random set of the undirected edges, of exact size.

    Example:
        >>> from gsparse.data import complete
        >>> from gsparse.transforms import RandomEdge
        >>> RandomEdge(sparsity=0.6, seed=20717)(complete(5))  # 4 of 10 edges
        Data(edge_index=[2, 8], num_nodes=5, e_id=[8])

    Edge weights are unchanged. The importance of an edge is a random number that
    depends on the seed and its end points, so samples are nested in the sparsity and
    independent of the order of the edges. Works on directed graphs, in which an edge
    and its reverse are kept or removed together.

    **When to use it.** As the baseline of every other method, and as the method itself
    where the others are no better; it is hard to beat on many graphs.

    **When not to use it.** If isolated nodes do harm (:class:`KNeighbor`), if few edges
    connect the communities (:class:`EffectiveResistance`), or with a trained model
    whose predictions have to stay (:class:`~gsparse.train.EdgeExchange`).

    **Cost.** One pass over the edges. Memory is one number per edge.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        seed: Random seed; ``None`` draws a new one per call from torch's global
            generator.
    """

    folder_work = "scores"

    needs = ("seed",)
    needs_undirected = False

    def __init__(self, sparsity: float, seed: int | None = None) -> None:
        super().__init__(sparsity)
        self.seed = seed

    def pair_importance(
        self, data: Data, pairs: Pairs, weight: Tensor | None
    ) -> Tensor:
        return pair_uniform(pairs, draw_seed(self.seed))

    def block_importance(self, stream: PairStream) -> BlockImportance:
        seed = draw_seed(self.seed)
        return lambda block: pair_uniform(block.pairs, seed)


random_edge = as_function(RandomEdge, "random_edge")

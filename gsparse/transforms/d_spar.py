"""DSpar: sample edges by the degrees of their end points."""

from torch import Tensor
from torch_geometric.data import Data

from gsparse.edges import Pairs
from gsparse.transforms.as_function import as_function
from gsparse.transforms.pair_stream import BlockImportance, PairStream
from gsparse.transforms.sampled import SampledSparsifier, degree


class DSpar(SampledSparsifier):
    r"""Samples edges by the degrees of their end points, from the `"DSpar: An
    Embarrassingly Simple Strategy for Efficient GNN Training and Inference via
    Degree-Based Sparsification" <https://openreview.net/forum?id=SaVEXFuozg>`_ paper.

    Example:
        >>> from gsparse.data import barbell
        >>> from gsparse.transforms import DSpar
        >>> DSpar(sparsity=0.5, seed=51913)(barbell(4))  # 13 edges
        Data(edge_index=[2, 14], num_nodes=8, edge_weight=[14], e_id=[14])

    The importance of an edge is

    .. math::
        s_{uv} = w_{uv} \left(\frac{1}{d_u} + \frac{1}{d_v}\right).

    On a well-connected graph this is at most about twice the effective resistance.

    **When to use it.** On a dense graph without bottlenecks, for a model that is
    trained on the sparse graph. It is the cheapest method that knows the graph, and
    nearly as good as :class:`~gsparse.transforms.EffectiveResistance` there.

    **When not to use it.** If few edges connect the communities of the graph: it does
    not detect them. On sparse graphs, once fewer edges are left than a spanning forest
    has, random edges are as good.

    **Cost.** One pass over the edges. Memory is one number per edge.

    In contrast to the paper, undirected edges are sampled instead of single directions,
    so an undirected graph stays undirected.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        epsilon: Parameter of the paper: :math:`q = 0.16 N \ln N / \epsilon^2` draws
            with replacement.
        reweight: Multiply the weights of the kept edges so that the expected weight of
            every edge is unchanged.
        connected: Always keep a spanning forest of maximum importance.
        seed: Random seed; ``None`` draws a new one per call.
    """

    folder_work = "scores"
    folder_passes = 4

    def pair_importance(
        self, data: Data, pairs: Pairs, weight: Tensor | None
    ) -> Tensor:
        return _importance(1 / degree(pairs, weight), pairs, weight)

    def block_importance(self, stream: PairStream) -> BlockImportance:
        inverse = stream.degree().reciprocal_()
        return lambda block: _importance(inverse, block.pairs, block.weight)


def _importance(inverse: Tensor, pairs: Pairs, weight: Tensor | None) -> Tensor:
    """Compute the importance from the inverse degree of every node.

    Shapes:
        - **inverse:** :math:`(N,)`
        - **weight**, **output:** :math:`(M,)`
    """
    importance = inverse[pairs.row] + inverse[pairs.col]
    # 0 * inf for an edge of weight 0 between nodes of degree 0.
    return importance if weight is None else (weight * importance).nan_to_num(0.0)


d_spar = as_function(DSpar, "d_spar")

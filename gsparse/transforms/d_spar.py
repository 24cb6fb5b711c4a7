"""DSpar: effective resistance guessed from the degrees of the end points."""

from torch import Tensor
from torch_geometric.data import Data

from gsparse.edges import Pairs
from gsparse.transforms.base import as_function
from gsparse.transforms.sampled import SampledSparsifier, degree


class DSpar(SampledSparsifier):
    r"""Samples edges by the degrees of their end points, from the `"DSpar: An
    Embarrassingly Simple Strategy for Efficient GNN Training and Inference via
    Degree-Based Sparsification" <https://openreview.net/forum?id=SaVEXFuozg>`_ paper.

    .. math::
        s_{uv} = w_{uv} \left(\frac{1}{d_u} + \frac{1}{d_v}\right)

    On a graph that mixes fast this is twice the effective resistance or a little
    less, at the cost of one pass over the edges; where communities hang together by
    few edges it misses them, and
    :class:`~gsparse.transforms.EffectiveResistance` is the better choice.

    Differs from the paper in one point: pairs are sampled, not single directions, so
    that an undirected graph stays undirected.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        epsilon: The paper's knob, :math:`q = 0.16 N \ln N / \epsilon^2` draws with
            replacement.
        reweight: Multiply weights so that their expectation stays.
        connected: Keep a maximum spanning forest by importance for sure.
        seed: Number of the random stream; ``None`` draws a new one per call.

    Example:
        >>> from gsparse.data import barbell
        >>> from gsparse.transforms import DSpar
        >>> DSpar(sparsity=0.5, seed=51913)(barbell(4))  # 13 edges
        Data(edge_index=[2, 14], num_nodes=8, edge_weight=[14], e_id=[14])
    """

    def pair_importance(
        self, data: Data, pairs: Pairs, weight: Tensor | None
    ) -> Tensor:
        inverse = 1 / degree(pairs, weight)
        importance = inverse[pairs.row] + inverse[pairs.col]
        # An edge of weight 0 between nodes of degree 0 has 0 * inf here.
        return importance if weight is None else (weight * importance).nan_to_num(0.0)


def d_spar(
    edge_index: Tensor,
    edge_weight: Tensor | None = None,
    num_nodes: int | None = None,
    *,
    sparsity: float | None = None,
    epsilon: float | None = None,
    reweight: bool = True,
    connected: bool = False,
    seed: int | None = None,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """:class:`DSpar` on bare tensors.

    Returns:
        ``(edge_index, edge_weight, e_id)`` of the surviving entries.

    Shapes:
        - **edge_index:** :math:`(2, E)`
        - **edge_weight:** :math:`(E,)`
    """
    transform = DSpar(sparsity, epsilon, reweight, connected, seed)
    return as_function(transform, edge_index, edge_weight, num_nodes)

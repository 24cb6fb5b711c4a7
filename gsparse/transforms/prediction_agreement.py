"""Prediction agreement: edges stay where a trained model sees one class."""

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.edges import Pairs
from gsparse.transforms.base import EdgeSparsifier, as_function
from gsparse.transforms.sampled import degree


class PredictionAgreement(EdgeSparsifier):
    r"""Keeps the edges whose end points a trained model puts into one class, those of
    nodes with few edges first.

    .. math::
        s_{uv} = (p_u \cdot p_v) \left(\frac{1}{d_u} + \frac{1}{d_v}\right)

    :math:`p` are soft predictions, made by any model beforehand. Our own control for
    learned masks, without a paper: what a mask gains over this, it has learned.
    Agreement alone would leave most nodes without an edge; the degrees spread the
    budget. Costs one pass over the edges, after a model has been trained.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        prob: Name of the predictions in the data, rows of which add up to 1.

    Shapes:
        - **data[prob]:** :math:`(N, C)`

    Example:
        >>> import torch
        >>> from gsparse.data import complete
        >>> from gsparse.transforms import PredictionAgreement
        >>> data = complete(4)
        >>> data.pred = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8]])
        >>> PredictionAgreement(sparsity=0.66)(data).edge_index
        tensor([[0, 1, 2, 3],
                [1, 0, 3, 2]])
    """

    when = "trained"
    needs = ("logits",)

    def __init__(self, sparsity: float, prob: str = "pred") -> None:
        super().__init__(sparsity)
        self.prob = prob

    def pair_importance(
        self, data: Data, pairs: Pairs, weight: Tensor | None
    ) -> Tensor:
        p = data.get(self.prob)
        if not isinstance(p, Tensor) or p.dim() != 2 or p.size(0) != data.num_nodes:
            raise ValueError(
                f"PredictionAgreement needs predictions {self.prob!r} of shape [N, C] "
                f"(got {None if p is None else list(p.shape)}); for a trained model: "
                f"data.{self.prob} = model(data.x, data.edge_index).softmax(1)"
            )
        total = p.sum(1)
        if (p < 0).any() or not torch.allclose(
            total, torch.ones_like(total), atol=1e-3
        ):
            raise ValueError(
                f"rows of {self.prob!r} must be probabilities that add up to 1 "
                f"(got sums from {total.min():.3g} to {total.max():.3g})"
            )
        inverse = 1 / degree(pairs, None)
        agree = (p[pairs.row] * p[pairs.col]).sum(1)
        return agree * (inverse[pairs.row] + inverse[pairs.col])

    def __repr__(self) -> str:
        return f"PredictionAgreement(sparsity={self.sparsity}, prob={self.prob!r})"


def prediction_agreement(
    edge_index: Tensor,
    pred: Tensor,
    edge_weight: Tensor | None = None,
    *,
    sparsity: float,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """:class:`PredictionAgreement` on bare tensors.

    Returns:
        ``(edge_index, edge_weight, e_id)`` of the surviving entries.

    Shapes:
        - **edge_index:** :math:`(2, E)`
        - **pred:** :math:`(N, C)`
        - **edge_weight:** :math:`(E,)`
    """
    transform = PredictionAgreement(sparsity)
    return as_function(transform, edge_index, edge_weight, pred.size(0), pred=pred)

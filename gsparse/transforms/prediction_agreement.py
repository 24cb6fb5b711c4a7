"""Prediction agreement: keep edges within the classes predicted by a model."""

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.edges import Pairs
from gsparse.transforms.as_function import as_function
from gsparse.transforms.base import EdgeSparsifier
from gsparse.transforms.sampled import degree


class PredictionAgreement(EdgeSparsifier):
    r"""Keeps edges between nodes for which a trained model predicts the same class.

    Example:
        >>> import torch
        >>> from gsparse.data import complete
        >>> from gsparse.transforms import PredictionAgreement
        >>> data = complete(4)
        >>> data.pred = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8]])
        >>> PredictionAgreement(sparsity=0.66)(data).edge_index
        tensor([[0, 1, 2, 3],
                [1, 0, 3, 2]])

    The importance of an edge is

    .. math::
        s_{uv} = (p_u \cdot p_v) \left(\frac{1}{d_u} + \frac{1}{d_v}\right)

    with the predicted probabilities :math:`p` of any model. The degrees distribute the
    budget over the nodes; with the agreement alone, most nodes would lose all edges.

    **When to use it.** As the baseline of learned masks: it sees the predictions of a
    trained model, but learns nothing.

    **When not to use it.** To keep the predictions of a trained model:
    :class:`~gsparse.train.EdgeExchange` and :class:`~gsparse.nn.KEdge` keep more of
    them.

    **Cost.** One pass over the edges, in addition to the training of the model. Memory
    is one number per edge.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        prob: Name of the predicted probabilities in the data, whose rows sum to 1.

    Shapes:
        - **data[prob]:** :math:`(N, C)`
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
                f"(got {None if p is None else list(p.shape)}); set data.{self.prob} = "
                "model(data.x, data.edge_index).softmax(1) with a trained model"
            )
        total = p.sum(1)
        if (p < 0).any() or not torch.allclose(
            total, torch.ones_like(total), atol=1e-3
        ):
            raise ValueError(
                f"rows of {self.prob!r} must be probabilities that sum to 1 "
                f"(got sums from {total.min():.3g} to {total.max():.3g}); apply softmax"
            )
        inverse = 1 / degree(pairs, None)
        agree = (p[pairs.row] * p[pairs.col]).sum(1)
        return agree * (inverse[pairs.row] + inverse[pairs.col])


prediction_agreement = as_function(
    PredictionAgreement, "prediction_agreement", feature="pred"
)

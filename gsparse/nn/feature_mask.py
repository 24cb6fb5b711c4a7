"""FeatureMask: learn which node features a network does not need."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch_geometric.data import Data

from gsparse.edges import budget, draw_seed
from gsparse.nn.budgeted_mask import OPEN, BudgetedMask
from gsparse.nn.density import RAMP
from gsparse.nn.gate import PlainGate
from gsparse.nn.hard_concrete import HardConcrete
from gsparse.nn.stale_caches import caches_aside
from gsparse.nn.wrapper import check_width
from gsparse.transforms.columns import as_csr, cut_features

# ruff: noqa: ANN401 (further arguments of the wrapped model)

#: Factor from parameters to log-odds. Learning rates that suit weights would move the
#: log-odds too slowly: 0.01 for 200 steps moves a parameter by at most 2.
SPEED = 10.0
SPREAD = (
    0.01  # standard deviation of the initial log-odds; breaks ties between features
)


def gate_features(x: Tensor, gate: Tensor) -> Tensor:
    r"""Multiply every feature by its gate, :math:`x_{ij} z_j`.

    The result is stored like ``x`` and is differentiable in the gates.

    Args:
        x: Features: dense, ``torch.sparse_csr`` or
            :class:`~gsparse.train.SparseFeatures`; for sparse ones only the stored
            values are visited.
        gate: One factor per feature.

    Shapes:
        - **x, output:** :math:`(N, F)`
        - **gate:** :math:`(F,)`

    Example:
        >>> import torch
        >>> from gsparse.nn.feature_mask import gate_features
        >>> gate_features(torch.ones(2, 3), torch.tensor([1.0, 0.5, 0.0]))
        tensor([[1.0000, 0.5000, 0.0000],
                [1.0000, 0.5000, 0.0000]])
    """
    matrix = getattr(x, "matrix", None)  # of gsparse.train.SparseFeatures
    if matrix is not None:
        factor = gate.index_select(0, matrix.pattern.indices)
        return type(x)(matrix.with_values(matrix.values * factor))
    if as_csr(x) is None:
        return x * gate
    col = x.col_indices()
    values = x.values() * gate.index_select(0, col)
    return torch.sparse_csr_tensor(
        x.crow_indices(), col, values, x.shape, check_invariants=False
    )


class FeatureMask(BudgetedMask):
    r"""Wraps a GNN and learns a mask on the columns of its features, with the gates of
    the `"Learning Sparse Neural Networks through L0 Regularization"
    <https://arxiv.org/abs/1712.01312>`_ paper on the inputs.

    Feature :math:`j` has one :class:`~gsparse.nn.HardConcrete` gate
    :math:`z_j \in [0, 1]`, exactly 0 with positive probability, and the model sees
    :math:`x_{ij} z_j` at every node :math:`i`. In training the gates are sampled and
    learned together with the model by gradient descent. In evaluation the mask is 0 or
    1, and the output equals that of a model without the removed columns and their
    weights.

    An augmented Lagrangian pulls the mean probability of an open gate towards
    ``1 - sparsity``, as in :class:`~gsparse.nn.KEdge`. :meth:`penalty` returns it and
    :func:`gsparse.train.fit` adds it to the loss. In evaluation the features with the
    largest :math:`P(z \ne 0)` are kept, at the exact budget, whether the mask is
    trained or not. With ``penalty=`` the loss has a fixed factor times that mean
    instead, as in the paper, and evaluation removes the features for which 0 is the
    most likely of three cases: 0, 1, and anything in between.

    Afterwards train a fresh model on ``sparsify(data)``, or copy the columns
    ``kept_features`` of the first layer's weights. A checkpoint of the plain model
    loads into the wrapper and leaves the gates unchanged; in the other direction, use
    ``plain.load_state_dict(mask.model.state_dict())``. Layers with ``cached=True``
    compute again in every call. It may wrap an edge mask and be combined with weight
    pruners. With 80 % of the features of PubMed removed, the validation accuracy of a
    fresh GCN was 0.830; it was 0.820 at best with
    :class:`~gsparse.transforms.FeatureSelect` and 0.812 with all features (one seed).

    Differences from the paper: only the inputs have gates; the Lagrangian and the exact
    budget are ours. The gate parameters move ten times as fast as weights.

    **When to use it.** If many features are noise, and the useful ones occur at or near
    labelled nodes.

    **When not to use it.** If most features are rare: if no labelled node is close to a
    feature, only the budget moves its gate, and
    :class:`~gsparse.transforms.FeatureSelect`, which needs no labels, is as good.

    **Cost.** One product per stored value and step. Memory is one more copy of the
    feature values.

    Args:
        model: Any module called as ``model(x, edge_index, ...)``.
        in_channels: Number of node features.
        sparsity: Fraction of the features to remove, in [0, 1), to the nearest feature.
        penalty: Factor of the mean number of open gates; replaces ``sparsity``.
        seed: Random seed of the initial log-odds, which decide between features about
            which nothing was learned; ``None`` draws one.
        dense: Convert sparse features to dense ones. Needed for models that do not
            begin with a linear map, such as GIN; they raise an error otherwise.
        ramp: Number of training steps in which the density target falls to
            ``1 - sparsity``. A mask that is evaluated earlier warns once.

    Raises:
        ValueError: Unless exactly one of ``sparsity`` and ``penalty`` is given; if the
            sparsity leaves no feature.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.data import complete
        >>> from gsparse.nn.feature_mask import FeatureMask
        >>> data = complete(10)
        >>> data.x = torch.eye(10)
        >>> model = FeatureMask(GCN(10, 8, 2), in_channels=10, sparsity=0.8, seed=5)
        >>> model.eval()(data.x, data.edge_index).shape
        torch.Size([10, 8])
        >>> model.sparsify(data)
        Data(edge_index=[2, 90], num_nodes=10, x=[10, 2], kept_features=[2])
    """

    def __init__(
        self,
        model: Module,
        in_channels: int,
        sparsity: float | None = None,
        penalty: float | None = None,
        seed: int | None = None,
        dense: bool = False,
        ramp: int = RAMP,
    ) -> None:
        super().__init__(model, sparsity, penalty, ramp)
        if in_channels < 1:
            raise ValueError(f"'in_channels' must be at least 1 (got {in_channels})")
        if sparsity is not None and budget(in_channels, sparsity) == 0:
            raise ValueError(
                f"'sparsity' must leave a feature of {in_channels} (got {sparsity}); "
                "lower it"
            )
        self.dense = dense
        generator = torch.Generator().manual_seed(draw_seed(seed) % 2**63)
        noise = SPREAD * torch.randn(in_channels, generator=generator)
        self.log_odds = Parameter((OPEN + noise) / SPEED)

    def gates(self) -> HardConcrete:
        """Return one gate per feature."""
        return HardConcrete(self.log_odds * SPEED, validate_args=False)

    def forward(self, x: Tensor, edge_index: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Run the model with sampled gates in training and a 0/1 mask in evaluation.

        Args:
            x: Node features.
            edge_index: The graph.
            *args: Passed to the model.
            **kwargs: Passed to the model.

        Shapes:
            - **x:** :math:`(N, F)`
            - **edge_index:** :math:`(2, E)`

        Raises:
            TypeError: If the input is not one homogeneous graph.
            ValueError: If there are not ``in_channels`` features.
        """
        self._check_graph(x, edge_index)
        check_width(x, self.log_odds.numel())
        if self.dense and as_csr(x) is not None:
            x = x.to_dense()
        if self.training:
            gates = self.gates()
            self._opened, gate = [gates.expected_l0.mean()], gates.rsample()
        else:
            gate = self.keep()
        with caches_aside(self.model):  # some layers cache propagated features
            return self.model(
                gate_features(x, gate.to(x.dtype)), edge_index, *args, **kwargs
            )

    def keep(self) -> Tensor:
        """Return a boolean for each feature, True if it is kept.

        Shapes:
            - **output:** :math:`(F,)`
        """
        return self._kept(PlainGate(self.log_odds, self.gates()))

    def penalty(self) -> Tensor:
        """Return the term to add to the loss, with the penalty of a wrapped edge mask.

        See :meth:`gsparse.nn.budgeted_mask.BudgetedMask.penalty`.
        """
        if callable(getattr(self.model, "penalty", None)):
            return self.model.penalty() + super().penalty()  # type: ignore[operator]
        return super().penalty()

    @torch.no_grad()
    def feature_probability(self) -> Tensor:
        r"""Return :math:`P(z \ne 0)` of every feature.

        Shapes:
            - **output:** :math:`(F,)`
        """
        return self.gates().expected_l0

    def sparsify(self, data: Data) -> Data:
        """Return the graph with the features that the model uses in evaluation.

        ``kept_features`` of the result holds their original positions. All nodes and
        edges are kept.
        """
        self._check_data(data)
        check_width(data.x, self.log_odds.numel())
        return cut_features(data, self.keep())

    def extra_repr(self) -> str:
        return f"{self.log_odds.numel()}, {super().extra_repr()}"

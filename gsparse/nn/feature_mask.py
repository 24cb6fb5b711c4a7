"""FeatureMask: learn which node features a network does not need."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch_geometric.data import Data

from gsparse.edges import budget, check_sparsity, draw_seed, keep_top
from gsparse.nn.density import RAMP, check_ramp, hold_density, warn_on_the_way
from gsparse.nn.hard_concrete import HardConcrete
from gsparse.nn.learned_mask import OPEN
from gsparse.nn.stale_caches import caches_aside
from gsparse.nn.wrapper import Wrapper, check_width
from gsparse.transforms.columns import as_csr, cut_features

# ruff: noqa: ANN401 (what else the wrapped model takes is its own)

#: Log-odds per unit of their parameter: learning rates that suit weights would move
#: them too slowly, and 0.01 for 200 steps moves a parameter by 2 at the most.
SPEED = 10.0
SPREAD = 0.01  # of the first log-odds, so that equal ranks are no matter of position


def gate_features(x: Tensor, gate: Tensor) -> Tensor:
    r"""Every feature times its gate, :math:`x_{ij} z_j`, in the storage that ``x`` has;
    differentiable in the gates.

    Args:
        x: Features: dense, ``torch.sparse_csr`` or
            :class:`~gsparse.train.SparseFeatures`, of which only stored values are
            looked at.
        gate: A factor for each.

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


class FeatureMask(Wrapper):
    r"""Wraps a GNN and learns a mask on the columns of its features, with the gates of
    the `"Learning Sparse Neural Networks through L0 Regularization"
    <https://arxiv.org/abs/1712.01312>`_ paper on the inputs.

    Feature :math:`j` has one :class:`~gsparse.nn.HardConcrete` gate
    :math:`z_j \in [0, 1]`, exactly 0 with positive probability, and the model sees
    :math:`x_{ij} z_j` at every node :math:`i`. In training gates are drawn, and learned
    together with the model by gradient descent. In evaluation the mask is 0 or 1, and
    the output equals that of a model without the columns that
    ``self.sparsify(data)`` cuts away and their weights.

    The mean probability of an open gate is held against ``1 - sparsity`` by the
    augmented Lagrangian of :class:`~gsparse.nn.KEdge`, which :meth:`penalty` returns
    and :func:`gsparse.train.fit` adds to the loss. In evaluation the features of
    largest :math:`P(z \ne 0)` stay, at the exact budget, trained or not. With
    ``penalty=`` the loss has a fixed factor times that mean instead, as in the paper,
    and in evaluation those go for which 0 is the likeliest of 0, 1 and anything
    between.

    Afterwards train a fresh model on ``sparsify(data)``, or copy the columns
    ``kept_features`` of the first layer's weights. A checkpoint of the plain model
    loads into the wrapper, whose gates then stay as they are; the way back is
    ``plain.load_state_dict(mask.model.state_dict())``. Layers with ``cached=True``
    compute anew in every call. On PubMed with 80 % of the features
    gone, a fresh GCN had 0.830 of the validation nodes right, with those of
    :class:`~gsparse.transforms.FeatureSelect` 0.820 at best, and with all 0.812 (one
    seed). Combines with masks of edges, which it goes around, and pruners of weights.

    Differs from the paper: the gates stand at the inputs only, and the Lagrangian and
    the exact budget are ours. Their parameters move ten times as fast as weights do.

    Costs one product a stored value and step, and no more memory than the features
    times another factor take. Not of use where a feature is seldom there: one that no
    labelled neighbourhood holds has a gate that nothing but the budget moves, and
    :class:`~gsparse.transforms.FeatureSelect`, which needs no labels, is as good.

    Args:
        model: Any module called as ``model(x, edge_index, ...)``.
        in_channels: Number of node features.
        sparsity: Fraction of the features to remove, in [0, 1), to the nearest one.
        penalty: Factor of the mean number of open gates; instead of ``sparsity``.
        seed: Of the first log-odds, which decide between features that nothing was
            learned of; ``None`` draws one.
        dense: Make sparse features dense: for models that do not begin with a linear
            map, such as GIN. They would lose the gradient, and say so.
        ramp: Training steps in which the target of the density falls to
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

    revision = 1  # raised when a change alters results, so that old rows show as stale

    multiplier: Tensor
    num_steps: Tensor

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
        super().__init__()
        if in_channels < 1:
            raise ValueError(f"'in_channels' must be at least 1 (got {in_channels})")
        if (sparsity is None) == (penalty is None):
            raise ValueError(
                f"give one of 'sparsity' and 'penalty' (got {sparsity} and {penalty})"
            )
        if sparsity is not None:
            check_sparsity(sparsity)
            if budget(in_channels, sparsity) == 0:
                raise ValueError(
                    f"'sparsity' must leave a feature of {in_channels} "
                    f"(got {sparsity}); lower it"
                )
        elif not 0 <= penalty < math.inf:  # type: ignore[operator]
            raise ValueError(
                f"'penalty' must be finite and not negative (got {penalty})"
            )
        check_ramp(ramp)
        self.model, self.ramp = model, ramp
        self.sparsity, self.factor, self.dense = sparsity, penalty or 0.0, dense
        generator = torch.Generator().manual_seed(draw_seed(seed) % 2**63)
        noise = SPREAD * torch.randn(in_channels, generator=generator)
        self.log_odds = Parameter((OPEN + noise) / SPEED)
        self.register_buffer("multiplier", torch.zeros(()))
        self.register_buffer("num_steps", torch.zeros(()))
        self._opened: Tensor | None = None  # density of the last step

    def gates(self) -> HardConcrete:
        """The gates, one for each feature."""
        return HardConcrete(self.log_odds * SPEED, validate_args=False)

    def forward(self, x: Tensor, edge_index: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Run the model with a mask: drawn in training, 0 or 1 in evaluation.

        Args:
            x: Node features.
            edge_index: The graph.
            *args: Handed to the model.
            **kwargs: Handed to the model.

        Shapes:
            - **x:** :math:`(N, F)`
            - **edge_index:** :math:`(2, E)`

        Raises:
            TypeError: If this is not one homogeneous graph.
            ValueError: If there are not ``in_channels`` features.
        """
        self._check_graph(x, edge_index)
        check_width(x, self.log_odds.numel())
        if self.dense and as_csr(x) is not None:
            x = x.to_dense()
        if self.training:
            gates = self.gates()
            self._opened, gate = gates.expected_l0.mean(), gates.rsample()
        else:
            gate = self.keep()
        with caches_aside(self.model):  # some keep propagated features
            return self.model(
                gate_features(x, gate.to(x.dtype)), edge_index, *args, **kwargs
            )

    @torch.no_grad()
    def keep(self) -> Tensor:
        """Which features stay, as a bool for each.

        Shapes:
            - **output:** :math:`(F,)`
        """
        if self.sparsity is not None:
            warn_on_the_way(self, lambda: self.gates().expected_l0.mean())
            return keep_top(self.log_odds.detach(), self.sparsity)
        zero, one = self.gates().prob_zero, self.gates().prob_one
        return (zero <= one) | (zero <= 1 - zero - one)

    def penalty(self) -> Tensor:
        """What is added to the loss of the last training step; 0 if there was none.

        With ``sparsity`` each call also moves the multiplier of the constraint, and
        its target, which falls from 1 within the first ``ramp`` steps. That of a
        wrapped mask of edges is added.
        """
        density, self._opened = self._opened, None
        value = self.multiplier.new_zeros(())
        if callable(getattr(self.model, "penalty", None)):
            value = value + self.model.penalty()  # type: ignore[operator]
        if density is None:
            return value
        if self.sparsity is None:
            return value + density * self.factor
        held = hold_density(
            density,
            self.sparsity,
            self.multiplier,
            self.num_steps,
            self.ramp,
        )
        return value + held

    def train(self, mode: bool = True) -> "FeatureMask":
        """As for any module; a frozen model stays in evaluation mode."""
        super().train(mode)
        if not any(p.requires_grad for p in self.model.parameters()):
            self.model.eval()
        return self

    @torch.no_grad()
    def feature_probability(self) -> Tensor:
        r""":math:`P(z \ne 0)` of every feature.

        Shapes:
            - **output:** :math:`(F,)`
        """
        return self.gates().expected_l0

    def sparsify(self, data: Data) -> Data:
        """The graph with the features that the model looks at in evaluation; their
        first positions are in ``kept_features``. Nodes and edges stay.
        """
        self._check_data(data)
        check_width(data.x, self.log_odds.numel())
        return cut_features(data, self.keep())

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_opened": None}  # part of a graph: not to be copied

    def extra_repr(self) -> str:
        if self.sparsity is None:
            return f"{self.log_odds.numel()}, penalty={self.factor}"
        return f"{self.log_odds.numel()}, sparsity={self.sparsity}"

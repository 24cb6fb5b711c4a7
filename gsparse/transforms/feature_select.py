"""Feature select: columns of the features that vary, are there, or spread stay."""

import copy
from typing import Literal, get_args

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import coalesce

from gsparse.edges import (
    budget,
    check_edge_index,
    check_edge_weight,
    check_sparsity,
    keep_largest,
    rebuild_slices,
    require_edge_index,
)
from gsparse.kernels.spmm import SparseMatrix, spmm
from gsparse.transforms.columns import (
    column_blocks,
    cut_feature_store,
    cut_features,
)
from gsparse.transforms.decision import require_graph

Importance = Literal["variance", "frequency", "propagated"]


def variance(x: Tensor) -> Tensor:
    """Variance of every feature over the nodes, zeros included.

    Shapes:
        - **x:** :math:`(N, F)`, dense or sparse
        - **output:** :math:`(F,)`, float64
    """
    found = [block.var(dim=0, correction=0) for block in column_blocks(x)]
    return torch.cat(found) if x.size(0) else _zeros(x)


def frequency(x: Tensor) -> Tensor:
    """Number of nodes at which a feature is not zero.

    Shapes:
        - **x:** :math:`(N, F)`, dense or sparse
        - **output:** :math:`(F,)`, float64
    """
    found = [(block != 0).sum(dim=0).double() for block in column_blocks(x)]
    return torch.cat(found)


def propagated_energy(
    x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None
) -> Tensor:
    r"""Energy of every feature after one propagation,
    :math:`\lVert (\hat{A} X)_{:, j} \rVert^2`, with
    :math:`\hat{A} = \tilde{D}^{-1/2} (A + I) \tilde{D}^{-1/2}` as in a GCN.

    Shapes:
        - **x:** :math:`(N, F)`, dense or sparse
        - **edge_index:** :math:`(2, E)`
        - **edge_weight:** :math:`(E,)`
        - **output:** :math:`(F,)`, float64
    """
    check_edge_index(edge_index, x.size(0))
    check_edge_weight(edge_weight, edge_index.size(1))
    if edge_weight is None:
        edge_weight = torch.ones_like(edge_index[0])
    # In order, so that the order of the edges cannot change a bit.
    entries, weight = coalesce(
        edge_index.as_subclass(Tensor), edge_weight.double(), x.size(0)
    )
    (col, row), value = gcn_norm(entries, weight, x.size(0))
    order = (row * x.size(0) + col).argsort()
    row, col, value = row[order], col[order], value[order]
    size = (x.size(0), x.size(0))
    matrix = SparseMatrix.from_entries(row, col, value, size)
    found = [spmm(matrix, block).square().sum(dim=0) for block in column_blocks(x)]
    return torch.cat(found)


def keep_features(importance: Tensor, sparsity: float) -> Tensor:
    """Return the features of highest importance at the exact budget, first ties first.

    Shapes:
        - **importance, output:** :math:`(F,)`

    Raises:
        ValueError: If an importance is not finite, or no feature is left.
    """
    if not bool(torch.isfinite(importance).all()):
        bad = int((~torch.isfinite(importance)).nonzero()[0])
        raise ValueError(
            "the importance of every feature must be finite (got "
            f"{importance[bad].item()} of feature {bad}); is 'x' finite?"
        )
    k = budget(importance.numel(), sparsity)
    if k == 0:
        raise ValueError(
            f"'sparsity' must leave a feature of {importance.numel()} "
            f"(got {sparsity}); lower it"
        )
    return keep_largest(importance, k)


class FeatureSelect(BaseTransform):
    r"""Keeps the features of highest importance, whatever the labels, as columns of
    ``x``.

    The importance of feature :math:`j` is, by

    - ``"variance"``: its variance over the nodes;
    - ``"frequency"``: the number of nodes at which it is not zero;
    - ``"propagated"``: :math:`\lVert (\hat{A} X)_{:, j} \rVert^2` with the normalised
      adjacency of a GCN: how much of it one propagation leaves.

    The first layer gets as much smaller as the features do, and so does what is stored
    and loaded. Edges are not looked at except for ``"propagated"`` and never change, so
    this goes before or after any sparsifier of edges (with ``"propagated"`` the order
    matters). Works on directed graphs. Ties go to the first column.

    Costs one pass over the stored values; ``"propagated"`` one product with the
    adjacency, of 64 columns at a time. Not of use where a frequent feature says
    nothing, such as a constant: none of these looks at labels or at a model. Where
    they matter, learn the choice with :class:`~gsparse.nn.FeatureMask`. Fit on the
    training graph of an inductive split and use ``cut`` with the same importances on
    the other: two graphs with importances of their own keep different columns.

    On a :class:`~torch_geometric.data.Batch` all graphs keep the same features, and
    ``kept_features`` holds their columns once for every graph; on
    :class:`~torch_geometric.data.HeteroData` each type of nodes with ``x`` has a budget
    of its own.

    Args:
        sparsity: Fraction of the features to remove, in [0, 1), to the nearest one.
        by: ``"variance"``, ``"frequency"`` or ``"propagated"``.

    Shapes:
        - **data.x:** :math:`(N, F)`, dense, ``torch.sparse_csr`` or
          :class:`~gsparse.train.SparseFeatures`; the storage stays.

    Raises:
        ValueError: If the sparsity is out of range or leaves no feature, or there is no
            such ``by``.

    Example:
        >>> import torch
        >>> from gsparse.data import complete
        >>> from gsparse.transforms.feature_select import FeatureSelect
        >>> data = complete(3)
        >>> data.x = torch.tensor([[0.0, 1, 5, 2], [0, 1, 0, 2], [0, 1, 0, 3]])
        >>> out = FeatureSelect(sparsity=0.5)(data)
        >>> out.kept_features, out.x.shape
        (tensor([2, 3]), torch.Size([3, 2]))
        >>> FeatureSelect(sparsity=0.5, by="frequency")(data).kept_features
        tensor([1, 3])
    """

    revision = 1  # raised when a change alters results, so that old rows show as stale

    def __init__(self, sparsity: float, by: Importance = "variance") -> None:
        check_sparsity(sparsity)
        if by not in get_args(Importance):
            known = ", ".join(get_args(Importance))
            raise ValueError(f"'by' must be one of {known} (got {by!r})")
        self.sparsity, self.by = sparsity, by

    @torch.no_grad()
    def importance(self, data: Data) -> Tensor:
        """Importance of each feature, ``[F]``; larger is kept."""
        require_graph(self, data, Data)
        x = _features(data)
        if self.by == "propagated":
            edge_index = require_edge_index(data._store)
            return propagated_energy(x, edge_index, data.get("edge_weight"))
        return variance(x) if self.by == "variance" else frequency(x)

    @torch.no_grad()
    def cut(self, data: Data, importance: Tensor) -> Data:
        """Select by the result of :meth:`importance`, and cut the columns."""
        require_graph(self, data, Data)
        return cut_features(data, keep_features(importance, self.sparsity))

    @torch.no_grad()
    def forward(self, data: Data | HeteroData | Batch) -> Data | HeteroData | Batch:
        require_graph(self, data, Data | HeteroData)
        if isinstance(data, HeteroData):
            return self._each_type(data)
        return self.cut(data, self.importance(data))

    def _each_type(self, data: HeteroData) -> HeteroData:
        if self.by == "propagated":
            raise ValueError(
                "by='propagated' needs one type of nodes (got HeteroData); use "
                "'variance' or 'frequency'"
            )
        out = copy.copy(data)
        for kind in data.node_types:
            if "x" in data[kind]:
                importance = self.importance(Data(x=data[kind].x))
                cut_feature_store(out[kind], keep_features(importance, self.sparsity))
        if isinstance(data, Batch):
            rebuild_slices(data, out)
        return out

    def __repr__(self) -> str:
        return f"FeatureSelect(sparsity={self.sparsity}, by={self.by!r})"


def feature_select(
    x: Tensor,
    edge_index: Tensor | None = None,
    edge_weight: Tensor | None = None,
    *,
    sparsity: float,
    by: Importance = "variance",
) -> tuple[Tensor, Tensor]:
    """:class:`FeatureSelect` on bare tensors.

    Returns:
        ``(x, kept_features)`` of the surviving columns.

    Shapes:
        - **x:** :math:`(N, F)`
        - **edge_index:** :math:`(2, E)`, for ``"propagated"`` only
        - **edge_weight:** :math:`(E,)`
    """
    data = Data(x=x, edge_index=edge_index, edge_weight=edge_weight)
    out = FeatureSelect(sparsity, by)(data)
    return out.x, out.kept_features


def _features(data: Data) -> Tensor:
    if data.get("x") is None:
        raise ValueError(f"'data' must have features 'x' (got {sorted(data.keys())})")
    return data.x


def _zeros(x: Tensor) -> Tensor:
    return torch.zeros(x.size(1), dtype=torch.float64, device=x.device)

"""Select features by variance, frequency or energy after propagation."""

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
    """Compute the variance of every feature over the nodes, including zeros.

    Shapes:
        - **x:** :math:`(N, F)`, dense or sparse
        - **output:** :math:`(F,)`, float64
    """
    found = [block.var(dim=0, correction=0) for block in column_blocks(x)]
    if x.size(0):
        return torch.cat(found)
    return torch.zeros(x.size(1), dtype=torch.float64, device=x.device)


def frequency(x: Tensor) -> Tensor:
    """Count the nodes at which each feature is not zero.

    Shapes:
        - **x:** :math:`(N, F)`, dense or sparse
        - **output:** :math:`(F,)`, float64
    """
    return torch.cat([(block != 0).sum(dim=0).double() for block in column_blocks(x)])


def propagated_energy(
    x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None
) -> Tensor:
    r"""Compute the energy of every feature after one propagation.

    The energy is :math:`\lVert (\hat{A} X)_{:, j} \rVert^2` with
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
    # Sorted, so that the result does not depend on the order of the edges.
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
    """Select the most important features at the exact budget; of equal ones, the first.

    Shapes:
        - **importance, output:** :math:`(F,)`

    Raises:
        ValueError: If an importance is not finite, or no feature is left.
    """
    if not bool(torch.isfinite(importance).all()):
        bad = int((~torch.isfinite(importance)).nonzero()[0])
        raise ValueError(
            "the importance of every feature must be finite (got "
            f"{importance[bad].item()} for feature {bad}); check that 'x' is finite"
        )
    k = budget(importance.numel(), sparsity)
    if k == 0:
        raise ValueError(
            f"'sparsity' must leave at least one of {importance.numel()} features "
            f"(got {sparsity}); lower it"
        )
    return keep_largest(importance, k)


class FeatureSelect(BaseTransform):
    r"""Removes the least important columns of ``x`` without looking at labels.

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

    The importance of feature :math:`j` is

    - ``"variance"``: its variance over the nodes;
    - ``"frequency"``: the number of nodes at which it is not zero;
    - ``"propagated"``: its energy :math:`\lVert (\hat{A} X)_{:, j} \rVert^2` after one
      propagation by the normalised adjacency of a GCN.

    The features need less memory, and the first layer gets smaller by the same factor.
    Edges are not changed and are used by ``"propagated"`` only, so this transform can
    be combined with any edge sparsifier (with ``"propagated"``, their order matters).
    Works on directed graphs. Of equally important features, the first ones are kept.

    **When to use it.** If the features take most of the memory or of the time of the
    first layer, and no labels are at hand.

    **When not to use it.** If frequent features carry no information, for example
    constants, because neither labels nor a model are used. Learn the selection with
    :class:`~gsparse.nn.FeatureMask` instead.

    **Cost.** One pass over the stored values, or, for ``"propagated"``, one product
    with the adjacency matrix. Memory is one number per feature, and for
    ``"propagated"`` a copy of the features.

    In the inductive setting, use the same importances for both graphs: compute them by
    ``importance`` on the training graph and pass them to ``cut`` for the other graph.

    All graphs of a :class:`~torch_geometric.data.Batch` keep the same features, and
    ``kept_features`` holds them once per graph. In
    :class:`~torch_geometric.data.HeteroData`, each node type with ``x`` has its own
    budget.

    Args:
        sparsity: Fraction of the features to remove, in [0, 1), rounded to the nearest
            feature.
        by: ``"variance"``, ``"frequency"`` or ``"propagated"``.

    Shapes:
        - **data.x:** :math:`(N, F)`, dense, ``torch.sparse_csr`` or
          :class:`~gsparse.train.SparseFeatures`; the storage format is kept

    Raises:
        ValueError: If the sparsity is out of range or leaves no feature, or ``by``
            is unknown.
    """

    revision = 1  # increase it when results change, to mark old rows as stale

    def __init__(self, sparsity: float, by: Importance = "variance") -> None:
        check_sparsity(sparsity)
        if by not in get_args(Importance):
            known = ", ".join(get_args(Importance))
            raise ValueError(f"'by' must be one of {known} (got {by!r})")
        self.sparsity, self.by = sparsity, by

    @torch.no_grad()
    def importance(self, data: Data) -> Tensor:
        """Compute the importance of each feature; larger is kept.

        Shapes:
            - **output:** :math:`(F,)`
        """
        require_graph(self, data, Data)
        x = data.get("x")
        if x is None:
            got = sorted(data.keys())
            raise ValueError(f"'data' must have features 'x' (got {got})")
        if self.by == "propagated":
            edge_index = require_edge_index(data._store)
            return propagated_energy(x, edge_index, data.get("edge_weight"))
        return variance(x) if self.by == "variance" else frequency(x)

    @torch.no_grad()
    def cut(self, data: Data, importance: Tensor) -> Data:
        """Remove columns by the importances that :meth:`importance` returned.

        Shapes:
            - **importance:** :math:`(F,)`
        """
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
                "by='propagated' needs a single node type (got HeteroData); use "
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
    """Apply :class:`FeatureSelect` to tensors instead of a graph.

    Returns:
        The kept columns of ``x``, and their numbers ``kept_features``.

    Shapes:
        - **x:** :math:`(N, F)`
        - **edge_index:** :math:`(2, E)`, for ``"propagated"`` only
        - **edge_weight:** :math:`(E,)`
    """
    data = Data(x=x, edge_index=edge_index, edge_weight=edge_weight)
    out = FeatureSelect(sparsity, by)(data)
    return out.x, out.kept_features

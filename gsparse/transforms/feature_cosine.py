"""Feature cosine: keep edges between nodes with similar features."""

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.nn.functional import normalize
from torch_geometric.data import Data

from gsparse.edges import Pairs
from gsparse.transforms.as_function import as_function
from gsparse.transforms.base import EdgeSparsifier

BLOCK = 1 << 16  # pairs at a time, to avoid a tensor of edges times features


class FeatureCosine(EdgeSparsifier):
    r"""Keeps the edges whose end points have the most similar features.

    Example:
        >>> import torch
        >>> from gsparse.data import complete
        >>> from gsparse.transforms import FeatureCosine
        >>> data = complete(4)
        >>> data.x = torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]])
        >>> FeatureCosine(sparsity=0.66)(data).edge_index
        tensor([[0, 1, 2, 3],
                [1, 0, 3, 2]])

    The importance of an edge is

    .. math::
        s_{uv} = \frac{x_u \cdot x_v}{\lVert x_u \rVert \lVert x_v \rVert},

    and 0 if a node has no features. Works on directed graphs, in which an edge and its
    reverse are kept or removed together.

    **When to use it.** If neighbours with similar features have the same class.

    **When not to use it.** Without comparing it with an MLP and with random edges:
    where features are this telling, they may be sufficient without any edge. Nor if
    classes mix across edges.

    **Cost.** One inner product per pair, of the stored values only if ``x`` is sparse.
    Memory is one number per pair.

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).

    Shapes:
        - **data.x:** :math:`(N, F)`, dense or ``torch.sparse_csr``
    """

    needs_undirected = False

    def pair_importance(
        self, data: Data, pairs: Pairs, weight: Tensor | None
    ) -> Tensor:
        x = data.get("x")
        if not isinstance(x, Tensor) or x.dim() != 2:
            got = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(
                f"FeatureCosine needs features 'x' of shape [N, F] (got {got})"
            )
        x = x.to_csr() if hasattr(x, "to_csr") else x  # SparseFeatures
        products = _sparse if x.layout == torch.sparse_csr else _dense
        return products(x, pairs)


def _dense(x: Tensor, pairs: Pairs) -> Tensor:
    x = normalize(x.double())
    blocks = zip(pairs.row.split(BLOCK), pairs.col.split(BLOCK), strict=True)
    found = [(x[row] * x[col]).sum(1) for row, col in blocks]
    return torch.cat(found) if found else x.new_zeros(0)


def _sparse(x: Tensor, pairs: Pairs) -> Tensor:
    parts = (x.values().double(), x.col_indices(), x.crow_indices())
    rows = csr_matrix(tuple(part.cpu().numpy() for part in parts), shape=tuple(x.shape))
    norm = np.sqrt(rows.multiply(rows).sum(1))
    rows = rows.multiply(1 / np.where(norm == 0, 1, norm)).tocsr()
    ends = [end.cpu().split(BLOCK) for end in (pairs.row, pairs.col)]
    found = [
        torch.from_numpy(np.asarray(rows[u].multiply(rows[v]).sum(1)).ravel())
        for u, v in ((u.numpy(), v.numpy()) for u, v in zip(*ends, strict=True))
    ]
    return torch.cat(found).to(pairs.row.device)


feature_cosine = as_function(FeatureCosine, "feature_cosine", feature="x")

"""A data set whose features any model takes."""

from pathlib import Path

from torch_geometric.data import Data

from gsparse.data import load
from gsparse.train.features import sparse_features as store_sparse


def load_dataset(
    name: str,
    root: str | Path | None = None,
    split: str | None = None,
    seed: int = 0,
    *,
    sparse_features: bool = False,
) -> Data:
    """Load a data set for training; also ``gsparse.load_dataset``.

    As :func:`gsparse.data.load`, which documents files, splits and errors, except that
    sparse features are :class:`~gsparse.train.SparseFeatures`. Every PyG model takes
    these, while most refuse ``torch.sparse_csr`` in their dropout or their messages.

    Args:
        name: Name of the data set, see :func:`gsparse.data.names`.
        root: Folder to search first.
        split: Kind of the split.
        seed: Number of the split of this kind.
        sparse_features: Whether features are never made dense on the way. Those of
            Coauthor Physics would need 1.2 GB, and 0.4 % of them are not zero. Features
            of which more than a quarter are not zero are dense anyway.

    Returns:
        Graph with ``x``, ``y``, ``edge_index`` and masks.

    Example:
        >>> import gsparse
        >>> gsparse.load_dataset("digits")
        Data(x=[1797, 64], edge_index=[2, 48292], y=[1797], ...)
    """
    data = load(name, root, split, seed, sparse_features=sparse_features)
    if sparse_features and data.x is not None:
        data.x = store_sparse(data.x)
    return data

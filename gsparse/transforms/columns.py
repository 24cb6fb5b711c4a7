"""Read and remove columns of dense or sparse node features."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.data.storage import BaseStorage
from torch_geometric.utils import cumsum

from gsparse.edges import num_graphs, rebuild_slices, set_num_nodes
from gsparse.kernels.spmm import SparseMatrix

WIDTH = 64
"""Number of columns in a dense block."""


def column_blocks(x: Tensor) -> Iterator[Tensor]:
    r"""Yield the columns of a feature matrix in dense float64 blocks, at least one.

    Shapes:
        - **x:** :math:`(N, F)`, dense or sparse
        - **each:** :math:`(N, w)` with :math:`w \le 64`
    """
    csr = as_csr(x)
    if csr is None:
        yield from (block.double() for block in x.split(WIDTH, dim=1))
        return
    col, order = csr.col_indices().long().sort(stable=True)
    lengths = csr.crow_indices().diff()
    rows = torch.arange(x.size(0), device=col.device).repeat_interleave(lengths)
    rows, values = rows[order], csr.values()[order].double()
    starts = range(0, max(x.size(1), 1), WIDTH)
    bounds = torch.tensor([*starts, x.size(1)], device=col.device)
    cuts = torch.searchsorted(col, bounds).tolist()
    for first, a, b in zip(starts, cuts[:-1], cuts[1:], strict=True):
        width = min(WIDTH, x.size(1) - first)
        block = values.new_zeros(x.size(0), width)
        block[rows[a:b], col[a:b] - first] = values[a:b]
        yield block


def as_csr(x: Tensor) -> Tensor | None:
    """Return sparse features as ``torch.sparse_csr``, or None if they are dense.

    Raises:
        ValueError: If the features are not a matrix or have another layout.
    """
    if not isinstance(x, Tensor) or x.dim() != 2 or not x.is_floating_point():
        got = type(x).__name__
        if isinstance(x, Tensor):
            got = f"{x.dtype}, {list(x.shape)}"
        raise ValueError(f"'x' must be a floating-point matrix [N, F] (got {got})")
    if hasattr(x, "to_csr"):  # SparseFeatures of gsparse.train
        return x.to_csr()
    if x.layout == torch.sparse_csr:
        return x
    if x.layout != torch.strided:
        raise ValueError(
            f"'x' must be dense or torch.sparse_csr (got {x.layout}); convert it with "
            "x.to_sparse_csr()"
        )
    return None


def cut_features(data: Data, keep: Tensor) -> Data:
    """Return a graph with only the columns of ``x`` selected by ``keep``.

    The input is not modified, and ``x`` keeps its storage format. ``kept_features``
    holds the original columns. A :class:`~torch_geometric.data.Batch` has them once per
    graph, so that each graph of ``to_data_list()`` has them.

    Args:
        data: Graph with features ``x``.
        keep: True for the features to keep.

    Shapes:
        - **data.x:** :math:`(N, F)`
        - **keep:** :math:`(F,)`
    """
    out = copy.copy(data)
    cut_feature_store(out._store, keep)
    set_num_nodes(out, data.num_nodes)
    if isinstance(data, Batch):
        rebuild_slices(data, out)
    return out


def cut_feature_store(store: BaseStorage, keep: Tensor) -> None:
    """Replace the features of a store in place; the caller copies the store first."""
    x = store.x
    if keep.dtype != torch.bool or keep.shape != x.shape[1:]:
        raise ValueError(
            f"'keep' must be a bool tensor of shape [{x.size(1)}] "
            f"(got {keep.dtype}, {list(keep.shape)}); compute the importances of this "
            "graph"
        )
    kept, before = keep.nonzero().view(-1), store.get("kept_features")
    parent = store._parent()
    repeats = num_graphs(parent) if isinstance(parent, Batch) else 1
    if before is None:
        kept = kept.repeat(repeats)
    else:
        kept = before.view(repeats, -1)[:, kept].flatten()
    store.x = _columns(x, keep)
    store.kept_features = kept


def _columns(x: Tensor, keep: Tensor) -> Tensor:
    """Select columns and keep the storage format."""
    csr = as_csr(x)
    if csr is None:
        return x[:, keep]
    keep, col, crow = keep.to(csr.device), csr.col_indices(), csr.crow_indices()
    stays, place = keep[col], keep.cumsum(0).to(col.dtype) - 1
    out = torch.sparse_csr_tensor(
        cumsum(stays.long())[crow.long()].to(crow.dtype),
        place[col[stays]],
        csr.values()[stays],
        (x.size(0), int(keep.sum())),
        check_invariants=False,
    )
    return out if csr is x else type(x)(SparseMatrix.from_csr(out))  # SparseFeatures

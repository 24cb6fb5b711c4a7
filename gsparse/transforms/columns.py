"""Columns of node features, dense or sparse: read some at a time, cut."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.data.storage import BaseStorage

from gsparse.edges import num_graphs, rebuild_slices, set_num_nodes
from gsparse.kernels.spmm import SparseMatrix

WIDTH = 64
"""Columns of the features that are dense at a time."""


def column_blocks(x: Tensor) -> Iterator[Tensor]:
    r"""The columns of a feature matrix, dense in float64, some at a time; at least one
    block.

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
    """Sparse features as ``torch.sparse_csr``; None of dense ones.

    Raises:
        ValueError: If the features are no matrix, or in another layout.
    """
    if not isinstance(x, Tensor) or x.dim() != 2 or not x.is_floating_point():
        got = type(x).__name__
        if isinstance(x, Tensor):
            got = f"{x.dtype}, {list(x.shape)}"
        raise ValueError(f"'x' must be a floating-point matrix [N, F] (got {got})")
    if hasattr(x, "to_csr"):  # of gsparse.train
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
    """The graph with only these columns of ``x``; the input is untouched.

    The storage of the features stays what it was. Their original positions are in
    ``kept_features``; a :class:`~torch_geometric.data.Batch` has them once for every
    graph, one after the other, so that each graph of ``to_data_list()`` has them.

    Args:
        data: A graph with ``x``.
        keep: True for the features that survive.

    Shapes:
        - **keep:** :math:`(F,)`
    """
    out = copy.copy(data)
    cut_feature_store(out._store, keep)
    set_num_nodes(out, data.num_nodes)
    if isinstance(data, Batch):
        rebuild_slices(data, out)
    return out


def cut_feature_store(store: BaseStorage, keep: Tensor) -> None:
    """Replace the features of a store that was copied beforehand."""
    x = store.x
    if keep.dtype != torch.bool or keep.shape != x.shape[1:]:
        raise ValueError(
            f"'keep' must be a bool tensor of shape [{x.size(1)}] "
            f"(got {keep.dtype}, {list(keep.shape)}); are they of this graph?"
        )
    kept, before = keep.nonzero().view(-1), store.get("kept_features")
    repeats = 1
    if isinstance(store._parent(), Batch):
        repeats = num_graphs(store._parent())
    if before is None:
        kept = kept.repeat(repeats)
    else:
        kept = before.view(repeats, -1)[:, kept].flatten()
    store.x = _columns(x, keep)
    store.kept_features = kept


def _columns(x: Tensor, keep: Tensor) -> Tensor:
    """Some columns, in the storage that the features have."""
    csr = as_csr(x)
    if csr is None:
        return x[:, keep]
    keep = keep.to(csr.device)
    col = csr.col_indices()
    stays = keep[col]
    place = keep.cumsum(0).to(col.dtype) - 1
    ends = torch.cat([stays.new_zeros(1, dtype=torch.long), stays.cumsum(0)])
    indptr = ends[csr.crow_indices().long()].to(csr.crow_indices().dtype)
    size = (x.size(0), int(keep.sum()))
    values = csr.values()[stays]
    out = torch.sparse_csr_tensor(
        indptr, place[col[stays]], values, size, check_invariants=False
    )
    if csr is x:
        return out
    return type(x)(SparseMatrix.from_csr(out))  # SparseFeatures

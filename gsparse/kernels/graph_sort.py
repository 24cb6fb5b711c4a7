"""Sort edges into rows by target and by source: counting sorts, and plain torch."""

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.threads import jit


@jit()
def _starts(count: np.ndarray, ptr: np.ndarray) -> None:
    """Compute row pointers from row sizes; ``count`` becomes each row's first place."""
    ptr[0] = 0
    for v in range(count.shape[0]):
        ptr[v + 1] = ptr[v] + count[v]
        count[v] = ptr[v]


@jit()
def _sort_rows(
    source: np.ndarray, target: np.ndarray, entry: np.ndarray, ptr: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sort slots by target and within a row by source: two stable counting sorts."""
    num_nodes, num_edges = ptr.shape[0] - 1, source.shape[0]
    place = np.zeros(num_nodes, ptr.dtype)
    order = np.empty(num_edges, ptr.dtype)
    for e in range(num_edges):
        place[source[e]] += 1
    _starts(place, ptr)
    for e in range(num_edges):
        order[place[source[e]]] = e
        place[source[e]] += 1
    place[:] = 0
    for e in range(num_edges):
        place[target[e]] += 1
    _starts(place, ptr)
    indices = np.empty(num_edges, ptr.dtype)
    edge_id = np.empty(num_edges, ptr.dtype)
    for k in range(num_edges):
        e = order[k]
        slot = place[target[e]]
        place[target[e]] += 1
        indices[slot] = source[e]
        edge_id[slot] = entry[e]
    return indices, edge_id


@jit()
def _transpose(
    ptr: np.ndarray, indices: np.ndarray, t_ptr: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return target and slot of every out-edge, with each row sorted by target."""
    place = np.zeros(t_ptr.shape[0] - 1, ptr.dtype)
    for k in range(indices.shape[0]):
        place[indices[k]] += 1
    _starts(place, t_ptr)
    t_indices = np.empty_like(indices)
    t_perm = np.empty_like(indices)
    for i in range(ptr.shape[0] - 1):
        for k in range(ptr[i], ptr[i + 1]):
            slot = place[indices[k]]
            place[indices[k]] += 1
            t_indices[slot] = i
            t_perm[slot] = k
    return t_indices, t_perm


def sort_cpu(
    source: Tensor, target: Tensor, entry: Tensor, num_nodes: int, dtype: torch.dtype
) -> tuple[Tensor, ...]:
    """Sort the edges and their transpose by counting sorts."""
    indptr = torch.empty(num_nodes + 1, dtype=dtype).numpy()
    t_indptr = np.empty_like(indptr)
    src, dst, ids = (t.to(dtype).contiguous().numpy() for t in (source, target, entry))
    indices, edge_id = _sort_rows(src, dst, ids, indptr)
    t_indices, t_perm = _transpose(indptr, indices, t_indptr)
    made = (indptr, indices, edge_id, t_indptr, t_indices, t_perm)
    return tuple(torch.from_numpy(array) for array in made)


def sort_torch(
    source: Tensor, target: Tensor, entry: Tensor, num_nodes: int, dtype: torch.dtype
) -> tuple[Tensor, ...]:
    """Sort the edges and their transpose in plain torch, on any device."""
    order = torch.argsort(source, stable=True)
    order = order[torch.argsort(target[order], stable=True)]
    source, target = source[order], target[order]
    t_perm = torch.argsort(source, stable=True)
    pointers = []
    for key in (target, source):
        count = torch.bincount(key, minlength=num_nodes)
        pointers.append(torch.cat([count.new_zeros(1), count.cumsum(0)]))
    made = (pointers[0], source, entry[order], pointers[1], target[t_perm], t_perm)
    return tuple(tensor.to(dtype) for tensor in made)

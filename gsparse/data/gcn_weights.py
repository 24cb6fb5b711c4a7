"""Normalised weights of GCN's edges in the full graph, for sampled parts of it."""

import numpy as np
from numpy.typing import NDArray

from gsparse.data.folders.neighbor_folder import row_ranges
from gsparse.data.neighbor_lists import NeighborLists

BLOCK = 1 << 20  # edges read at a time


class GcnWeights:
    r"""The weights :math:`w_{uv} / \sqrt{d_u d_v}` of a graph with self-loops.

    As in PyG's ``gcn_norm``, nodes without a self-loop get one of weight 1, and
    :math:`d_v` is the sum of the weights of the edges to :math:`v`, self-loop included.
    All edges are read once, in blocks.

    Args:
        lists: The graph.
    """

    def __init__(self, lists: NeighborLists) -> None:
        self._lists = lists
        deg = np.zeros(lists.num_nodes)
        self._has_loop = np.zeros(lists.num_nodes, bool)
        for first, last in row_ranges(lists.indptr, BLOCK):
            ptr = lists.indptr[first : last + 1]
            node = np.repeat(np.arange(last - first), np.diff(ptr))
            part = slice(ptr[0], ptr[-1])
            self._has_loop[first + node[lists.indices[part] == first + node]] = True
            weight = None if lists.weight is None else lists.weight[part]
            deg[first:last] = np.bincount(node, weight, last - first)
        deg += ~self._has_loop
        self._root = np.zeros(lists.num_nodes)  # of the reciprocal degree
        np.divide(1.0, np.sqrt(deg), out=self._root, where=deg > 0)

    def of(
        self,
        nodes: NDArray[np.int64],
        target: NDArray[np.int64],
        entries: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        r"""Return the weights of drawn edges and of the self-loops that are added.

        Edges of which :math:`k` of :math:`d` to a node were drawn are multiplied by
        :math:`d / k`.

        Args:
            nodes: The sampled nodes.
            target: Place among them where each edge ends.
            entries: Positions of the edges in the lists.

        Shapes:
            - **nodes:** :math:`(n,)`
            - **target**, **entries:** :math:`(e,)`
            - **output:** :math:`(e + n,)`; 0 for nodes that have a self-loop
        """
        lists, root = self._lists, self._root[nodes]
        weight = root[target] * self._root[lists.indices[entries]]
        if lists.weight is not None:
            weight *= lists.weight[entries]
        degree = lists.indptr[nodes + 1] - lists.indptr[nodes]
        drawn = np.bincount(target, minlength=nodes.size)
        weight *= degree[target] / drawn[target]
        loops = np.where(self._has_loop[nodes], 0.0, root**2)
        return np.concatenate([weight, loops]).astype(np.float32)

"""Spectral sparsification: sample edges by effective resistance."""

from functools import partial
from typing import ClassVar, Literal

from torch import Tensor
from torch_geometric.data import Data

from gsparse.edges import Pairs, draw_seed
from gsparse.linalg import pair_resistance
from gsparse.linalg.pair_sums import FileSums
from gsparse.linalg.resistance import Method
from gsparse.linalg.stream import pair_leverage, streamed_leverage
from gsparse.linalg.stream_columns import StoredColumns, claim
from gsparse.transforms.as_function import as_function
from gsparse.transforms.pair_stream import BlockImportance, PairBlock, PairStream
from gsparse.transforms.sampled import SampledSparsifier

STREAM: Literal["stream"] = "stream"
COLUMNS = "columns"  # folder of solved columns, which outlive an interruption


class EffectiveResistance(SampledSparsifier):
    r"""Samples edges by effective resistance, the sparsifier of the `"Fast Graph
    Attention Networks Using Effective Resistance Based Graph Sparsification"
    <https://arxiv.org/abs/2006.08796>`_ paper, after `"Graph Sparsification by
    Effective Resistances" <https://arxiv.org/abs/0803.0929>`_.

    Example:
        The bridge of a barbell has the largest importance.

        >>> from gsparse.data import barbell
        >>> from gsparse.transforms import EffectiveResistance
        >>> data = barbell(5)
        >>> found = EffectiveResistance(sparsity=0.5, seed=88301).importance(data)
        >>> bridge = (data.edge_index == 4).any(0) & (data.edge_index == 5).any(0)
        >>> bool((found[bridge] > 0.999).all() and (found[~bridge] < 0.401).all())
        True

    With every edge a conductor of :math:`w` siemens and the resistance :math:`R_{uv}`
    between its end points, the importance is the leverage

    .. math::
        s_{uv} = w_{uv} R_{uv} \in [0, 1], \qquad \sum_{uv} s_{uv} = N - c

    for :math:`c` components. It is the probability that a random spanning forest
    contains the edge: 1 for bridges and small for edges in dense communities. If the
    weights are multiplied (the default), the expected Laplacian is unchanged, and
    :math:`O(N \log N / \epsilon^2)` edges preserve every quadratic form within :math:`1
    \pm \epsilon`.

    **When to use it.** On dense graphs, and where a bottleneck has to stay, for a model
    that is trained on the sparse graph.

    **When not to use it.** Below :math:`N - c` edges, because the graph is split into
    more components and there is no such bound, for example on PubMed with 80 % of its
    edges removed. Nor if a trained model is to stay as it is
    (:class:`~gsparse.train.EdgeExchange`).

    **Cost.** A few Laplacian solves: seconds for millions of edges
    (:func:`~gsparse.linalg.effective_resistance`). Memory is linear in the edges.
    :class:`~gsparse.transforms.DSpar` needs one pass over the edges and gives similar
    results on graphs without bottlenecks.

    In contrast to the paper, ``sparsity`` sets the number of edges exactly;
    ``epsilon`` gives the paper's draws with replacement. The resistances of the input
    graph are used for all layers (the variant "const" of the paper).

    Args:
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        epsilon: Parameter of the paper: :math:`q = 0.16 N \ln N / \epsilon^2` draws
            with replacement.
        method: Method to compute the resistances, see
            :func:`~gsparse.linalg.effective_resistance`, or ``"stream"``, which reads
            the edges in blocks and is the only one for graph folders.
        reweight: Multiply the weights of the kept edges so that the expected weight of
            every edge is unchanged.
        connected: Always keep a spanning forest of maximum importance; an error is
            raised if the budget is smaller than the forest.
        seed: Random seed; ``None`` draws a new one per call.
    """

    revision = 2  # resistances at bottlenecks, and a choice by the graph only
    folder_settings: ClassVar = {"method": STREAM}
    folder_work = "columns"
    resumes = COLUMNS
    foster: float | None = None
    """Sum of the leverages of the last graph folder, divided by its true value."""

    bytes_per_node = 480  # seven vectors of eight columns, and the pieces

    def __init__(
        self,
        sparsity: float | None = None,
        epsilon: float | None = None,
        method: Method | Literal["stream"] = "auto",
        reweight: bool = True,
        connected: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(sparsity, epsilon, reweight, connected, seed)
        self.method = method

    def pair_importance(
        self, data: Data, pairs: Pairs, weight: Tensor | None
    ) -> Tensor:
        if self.method == STREAM:
            ends, seed = (pairs.row, pairs.col), draw_seed(self.seed)
            found = pair_leverage(*ends, weight, pairs.num_nodes, seed=seed)
            self.method_used = STREAM
            return found.to(pairs.row.device)
        result = pair_resistance(
            pairs.row,
            pairs.col,
            weight,
            pairs.num_nodes,
            method=self.method,
            seed=draw_seed(self.seed),
        )
        self.method_used, resistance = result.method, result.resistance
        # 0 * inf for a pair of weight 0 that nothing else connects.
        return resistance if weight is None else (weight * resistance).nan_to_num(0.0)

    def block_importance(self, stream: PairStream) -> BlockImportance:
        if self.method != STREAM:
            raise ValueError(
                f"{type(self).__name__} needs method={STREAM!r} for a graph folder "
                f"(got {self.method!r}), or apply it to open_graph(folder).data()"
            )
        graph, seed = stream.folder.header.checksum, int(draw_seed(self.seed))
        about = {"graph": graph, "seed": seed, "revision": self.revision}
        folder = claim(stream.scratch / COLUMNS, about)
        stream.split.open(folder, seed)
        columns = partial(StoredColumns, folder=folder, split=stream.split)
        sums = FileSums(stream.scratch / "sums", stream.num_pairs)
        found = streamed_leverage(stream, sums, seed=seed, columns=columns)
        self.method_used, self.foster = STREAM, found.foster

        def importance(block: PairBlock) -> Tensor:
            row, col = block.pairs.row, block.pairs.col
            return found.of(block.start, row, col, block.weight)

        return importance


spectral_sparsify = as_function(EffectiveResistance, "spectral_sparsify")

"""FastGAT: a graph attention network on a spectrally sparsified graph."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GATConv, GATv2Conv

from gsparse.edges import apply_edge_mask, draw_seed
from gsparse.kernels.tensor_cache import TensorCache
from gsparse.nn.attention_base import Attention, check_attention, check_module
from gsparse.nn.masking import edge_weights
from gsparse.nn.stale_caches import caches_aside
from gsparse.nn.wrapper import Wrapper, count_nodes, refuse_wrong_lengths
from gsparse.transforms import EffectiveResistance
from gsparse.transforms.effective_resistance import Method

# ruff: noqa: ANN401 (further arguments of the wrapped model)


class FastGAT(Wrapper):
    r"""Wraps a GAT so that it runs on a sparsified graph, from the `"Fast Graph
    Attention Networks Using Effective Resistance Based Graph Sparsification"
    <https://arxiv.org/abs/2006.08796>`_ paper.

    Each distinct graph is sparsified once by
    :class:`~gsparse.transforms.EffectiveResistance`; attention is then computed on the
    remaining edges only, with the fused kernels. The output equals that of the model
    on ``self.sparsify(data)``. Training, evaluation and checkpoints work as before:
    a checkpoint of the plain model loads into the wrapper, and ``.model`` is that
    model, unchanged; to load a checkpoint of the wrapper into a plain model, use
    ``plain.load_state_dict(wrapper.model.state_dict())``. Layers with ``cached=True``
    normalise again in every call.

    With ``reweight=True`` the new weights :math:`w'` enter the attention as
    :math:`\alpha_{ij} \propto w'_{ij} \exp(s_{ij})`. The default ignores them, which
    was more accurate: by 1.0 points of test accuracy on PubMed and 0.8 on Computers
    with 80 % of the edges removed (mean of 3 seeds), and also on validation nodes
    (``docs/fastgat.md``). It is not known whether the paper's code uses them.

    Do not use it with mini-batches, where every batch is a new graph: sparsify the
    graph once with the transform instead.

    Args:
        model: A module called as ``model(x, edge_index, ...)`` whose convolutions are
            ``GATConv`` or ``GATv2Conv``, PyG's or ours.
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        epsilon: The paper's parameter, see
            :class:`~gsparse.transforms.EffectiveResistance`.
        method: How resistances are computed.
        reweight: Whether the attention uses the new weights.
        connected: Whether to always keep a spanning forest.
        seed: Random seed; ``None`` draws one for this wrapper.
        attention: ``"fused"``, or ``"reference"`` if second derivatives are needed.

    Raises:
        TypeError: If the model contains no attention layer.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GAT
        >>> from gsparse.data import complete
        >>> from gsparse.nn import FastGAT
        >>> data = complete(10)
        >>> model = FastGAT(GAT(4, 8, num_layers=2, heads=2), sparsity=0.6, seed=71)
        >>> model(torch.ones(10, 4), data.edge_index).shape
        torch.Size([10, 8])
        >>> model.sparsify(data).num_edges, data.num_edges
        (36, 90)
    """

    def __init__(
        self,
        model: Module,
        sparsity: float | None = None,
        epsilon: float | None = None,
        method: Method = "auto",
        reweight: bool = False,
        connected: bool = False,
        seed: int | None = None,
        attention: Attention = "fused",
    ) -> None:
        super().__init__()
        check_attention(attention)
        check_module(model)
        if not any(isinstance(m, GATConv | GATv2Conv) for m in model.modules()):
            raise TypeError(
                f"FastGAT needs a model with GATConv or GATv2Conv layers "
                f"(got {type(model).__name__}); for other models apply "
                "gsparse.transforms.EffectiveResistance to the data"
            )
        self.model = model
        self.attention = attention
        self.sparsifier = EffectiveResistance(
            sparsity, epsilon, method, reweight, connected, draw_seed(seed)
        )
        self._cuts: TensorCache[Data] = TensorCache(max_entries=8)
        # The graph of each node, for batches that were given to sparsify().
        self._batches: TensorCache[dict[str, Tensor]] = TensorCache(max_entries=1024)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        *args: Any,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the model on the sparsified graph.

        Args:
            x: Node features.
            edge_index: The full graph, both directions of every edge.
            *args: Further positional arguments of the model. If it takes only two, they
                are ``edge_weight`` and ``edge_attr``.
            edge_weight: Edge weights, used by the attention.
            batch: Graph of each node. If given, every graph has its own budget; it is
                passed on if the model takes it. It may be omitted for a batch that was
                given to :meth:`sparsify`, as long as that ``edge_index`` tensor is the
                same and unchanged.
            **kwargs: Further arguments of the model. ``edge_attr``, ``edge_type`` and
                other tensors with one row per edge are cut to the remaining edges.

        Shapes:
            - **x:** :math:`(N, F)`
            - **edge_index:** :math:`(2, E)`
            - **edge_weight:** :math:`(E,)`
            - **batch:** :math:`(N,)`

        Raises:
            TypeError: If the input is not one homogeneous graph.
            ValueError: If an edge-level argument does not fit ``edge_index``.
        """
        self._check_tracing()
        self._check_graph(x, edge_index)
        given = {"edge_weight": edge_weight, "batch": batch}
        given = _joined(given, self._named(args, kwargs, edge_index.size(1)))
        refuse_wrong_lengths(given, edge_index.size(1))
        edge_weight, batch = given.pop("edge_weight"), given.pop("batch")
        num_nodes, form = count_nodes(x), self._form()
        if batch is not None and "batch" in form.names:
            given["batch"] = batch
        if form.weight in form.required and form.weight is not None:
            given.setdefault(form.weight, None)  # given weights go to the layers
        if batch is None and len(self._batches):
            batch = self._batches.get((edge_index,), None, dict).get("batch")
        cut = self._cuts.get(
            (edge_index, edge_weight, batch),
            num_nodes,
            lambda: self._cut(edge_index, edge_weight, num_nodes, batch),
        )
        if cut.num_edges != edge_index.size(1):
            self._check_explainer()
        given = _of_the_cut(given, cut.e_id, edge_index.size(1), num_nodes)
        weight = cut.get("edge_weight")
        weight = None if weight is None else weight.to(x.dtype)
        with (
            edge_weights(self.model, cut.edge_index, weight, self.attention),
            caches_aside(self.model),
        ):
            return self.model(x, cut.edge_index, **given)

    def sparsify(self, data: Data) -> Data:
        """Return the graph that the model runs on when it is given ``data``.

        Each graph of a :class:`~torch_geometric.data.Batch` has its own budget. Later
        calls with the same, unchanged ``edge_index`` tensor use these budgets even
        without ``batch``; copies of the wrapper need ``batch`` again.

        Args:
            data: A graph or a batch of graphs.
        """
        if isinstance(data, Batch):
            known = self._batches.get((data.edge_index,), None, dict)
            known["batch"] = data.batch
        return self.sparsifier(data)

    def _named(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], num_edges: int
    ) -> dict[str, Any]:
        """Return the model's further arguments by name, with weights as
        ``edge_weight``.
        """
        form = self._form()
        given = _joined(form.name(args), kwargs)
        other = form.weight
        if other not in (None, "edge_weight"):
            value = given.get(other)
            if isinstance(value, Tensor) and value.shape == (num_edges,):
                given["edge_weight"] = given.pop(other)
        return given

    def _check_explainer(self) -> None:
        """Refuse an explainer, whose mask belongs to the edges of the full graph."""
        if any(getattr(it, "_explain", None) for it in self.model.modules()):
            raise RuntimeError(
                "FastGAT cannot be explained, since its layers see only the kept edges "
                "(got an explainer's edge mask); explain wrapper.model on "
                "wrapper.sparsify(data)"
            )

    def _cut(
        self,
        edge_index: Tensor,
        edge_weight: Tensor | None,
        num_nodes: int,
        batch: Tensor | None,
    ) -> Data:
        data = Data(edge_index=edge_index, num_nodes=num_nodes)
        if edge_weight is not None:
            data.edge_weight = edge_weight
        return self.sparsify(data) if batch is None else self._cut_each(data, batch)

    def _cut_each(self, data: Data, batch: Tensor) -> Data:
        """Cut each graph of a batch with its own budget."""
        row, col = data.edge_index
        if batch.shape != (data.num_nodes,) or not torch.equal(batch[row], batch[col]):
            raise ValueError(
                f"'batch' must hold the graph of each of the {data.num_nodes} nodes, "
                f"and no edge may join two graphs (got {list(batch.shape)})"
            )
        keep = torch.zeros_like(row, dtype=torch.bool)
        weight: Tensor | None = None
        for number in batch.unique():
            inside, places = batch == number, (batch[row] == number).nonzero().view(-1)
            local = inside.cumsum(0) - 1
            part = Data(num_nodes=int(inside.sum()))
            part.edge_index = local[data.edge_index[:, places]]
            if "edge_weight" in data:
                part.edge_weight = data.edge_weight[places]
            cut = self.sparsifier(part)
            keep[places[cut.e_id]] = True
            if "edge_weight" in cut:
                if weight is None:
                    weight = cut.edge_weight.new_zeros(row.numel())
                weight[places[cut.e_id]] = cut.edge_weight
        return apply_edge_mask(data, keep, weight)

    def extra_repr(self) -> str:
        return f"sparsifier={self.sparsifier}"


def _joined(some: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """Merge positional and keyword arguments; refuse an argument that is given
    twice.
    """
    twice = [key for key in others if some.get(key) is not None]
    if twice:
        raise TypeError(f"FastGAT was given {twice[0]!r} twice")
    return some | others


def _of_the_cut(
    given: dict[str, Any], e_id: Tensor, num_edges: int, num_nodes: int
) -> dict[str, Any]:
    """Return the arguments with edge-level tensors cut to the remaining edges.

    As in PyG, the length decides, and the name if there are as many nodes as edges.
    """

    def is_edge_level(name: str, value: Any) -> bool:
        if not isinstance(value, Tensor) or value.shape[:1] != (num_edges,):
            return False
        named = "edge" in name and not name.startswith("edge_label")
        return named or (num_edges != num_nodes and name not in ("x", "batch"))

    return {
        name: value[e_id] if is_edge_level(name, value) else value
        for name, value in given.items()
    }

"""FastGAT: a graph attention network on a spectrally sparsified graph."""

from typing import Any

from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GATv2Conv

from gsparse.edges import draw_seed
from gsparse.kernels.tensor_cache import TensorCache
from gsparse.nn.fast_gat_conv import Attention, check_attention
from gsparse.nn.masking import edge_weights
from gsparse.transforms import EffectiveResistance
from gsparse.transforms.effective_resistance import Method

# ruff: noqa: ANN401 (what else the wrapped model takes is its own)


class FastGAT(Module):
    r"""Wraps a GAT so that it runs on a sparsified graph, from the `"Fast Graph
    Attention Networks Using Effective Resistance Based Graph Sparsification"
    <https://arxiv.org/abs/2006.08796>`_ paper.

    Each distinct graph is sparsified once by
    :class:`~gsparse.transforms.EffectiveResistance`; attention is then computed on the
    surviving edges only, with the fused kernels. The output equals that of the model
    on ``self.sparsify(data)``. Training, evaluation and checkpoints work as before:
    a checkpoint of the plain model loads into the wrapper, and ``.model`` is that
    model, unchanged.

    With ``reweight=True`` the new weights :math:`w'` enter the attention as
    :math:`\alpha_{ij} \propto w'_{ij} \exp(s_{ij})`. The default ignores them, which
    was more accurate: by 1.0 points of test accuracy on PubMed and 0.8 on Computers at
    80 % removed, mean of 3 seeds, and by validation too (``docs/fastgat.md``). Whether
    the paper's code uses them could not be found out. Does not pay for
    mini-batches, where every batch is a new graph: cut the graph once with the
    transform instead.

    Args:
        model: A module called as ``model(x, edge_index, ...)`` whose convolutions are
            ``GATConv`` or ``GATv2Conv``, PyG's or ours.
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        epsilon: The paper's knob, see
            :class:`~gsparse.transforms.EffectiveResistance`.
        method: How resistances are computed.
        reweight: Let the new weights enter the attention.
        connected: Keep a spanning forest for sure.
        seed: Number of the random stream; ``None`` draws one for this wrapper.
        attention: ``"fused"``, or ``"reference"`` where second derivatives are needed.

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
        self._register_load_state_dict_pre_hook(_accept_plain_checkpoint)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the model on the sparsified graph.

        Args:
            x: Node features.
            edge_index: The full graph, both directions of every edge.
            edge_weight: Its weights, also used by the attention.
            edge_attr: Edge features; those of the surviving edges are handed on.
            **kwargs: Handed to the model.

        Shapes:
            - **x:** :math:`(N, F)`
            - **edge_index:** :math:`(2, E)`
            - **edge_weight:** :math:`(E,)`
        """
        cut = self._cuts.get(
            (edge_index, edge_weight),
            x.size(0),
            lambda: self._cut(edge_index, edge_weight, x.size(0)),
        )
        if edge_attr is not None:
            kwargs["edge_attr"] = edge_attr[cut.e_id]
        weight = cut.get("edge_weight")
        weight = None if weight is None else weight.to(x.dtype)
        with edge_weights(self.model, cut.edge_index, weight, self.attention):
            return self.model(x, cut.edge_index, **kwargs)

    def sparsify(self, data: Data) -> Data:
        """The graph that the model runs on when it is given ``data``."""
        return self.sparsifier(data)

    def _cut(
        self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int
    ) -> Data:
        data = Data(edge_index=edge_index, num_nodes=num_nodes)
        if edge_weight is not None:
            data.edge_weight = edge_weight
        return self.sparsify(data)

    def extra_repr(self) -> str:
        return f"sparsifier={self.sparsifier}"


def _accept_plain_checkpoint(state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Let the wrapped model's own checkpoint load into the wrapper."""
    for key in list(state):
        inner = key.removeprefix(prefix)
        if key.startswith(prefix) and not inner.startswith("model."):
            state[f"{prefix}model.{inner}"] = state.pop(key)

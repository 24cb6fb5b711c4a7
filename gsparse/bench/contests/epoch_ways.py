"""Training epochs of a two-layer model in PyG's ways, and in ours."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data
from torch_geometric.utils import (
    add_remaining_self_loops,
    remove_self_loops,
    to_torch_csr_tensor,
)

from gsparse.bench.contests.plain_pyg import PlainModel
from gsparse.train import Recipe, sparse_features
from gsparse.train.fit import seeded
from gsparse.train.fit_config import FitConfig, make_optimizer
from gsparse.train.recipes import num_classes

SPARSE_ALONE, FUSED, BOTH = "sparse features", "fused", "sparse features, fused"
SPARSE = 0.25
"""Features are stored sparse if a smaller fraction of them is non-zero."""
MOST_BYTES = 4e9
"""Bytes of the features of all edges from which on SAGE does not gather them."""


@dataclass(frozen=True)
class Way:
    """One of the ways to run PyG's layers.

    Args:
        csr: Whether the features are ``torch.sparse_csr``.
        adjacency: Whether the edges are a sparse matrix, as of ``T.ToSparseTensor``.
        compiled: Whether the model goes through ``torch.compile``.
    """

    csr: bool = False
    adjacency: bool = False
    compiled: bool = False

    @property
    def name(self) -> str:
        """The method of the rows."""
        words = ["PyG compiled" if self.compiled else "PyG"]
        words += ["x as CSR"] * self.csr + ["sparse adjacency"] * self.adjacency
        return ", ".join(words)


def ways(model: str, is_sparse: bool) -> Iterator[Way]:
    """Yield the ways that a model supports.

    SAGE aggregates features before its first product, so they cannot be CSR; GCN with a
    sparse adjacency cannot be compiled. Dense features are not compiled where CSR ones
    are possible.

    Args:
        model: One of ``MODELS``.
        is_sparse: Whether few of the features are non-zero.
    """
    matrices = (False,) if model == "gat" else (False, True)
    can_csr = is_sparse and model != "sage"
    for csr in (False, True) if can_csr else (False,):
        for adjacency in matrices:
            yield Way(csr, adjacency)
            if csr == can_csr and not (adjacency and model == "gcn"):
                yield Way(csr, adjacency, compiled=True)


class Epoch:
    """One step of full-batch training: forward, loss, backward, and a step of Adam.

    Args:
        model: The model.
        inputs: Its features and edges.
        data: Holds the labels and the training nodes.
        config: Settings of the optimiser, which is a fused Adam for all contenders.
        compiled: Whether to call the model through ``torch.compile``.
    """

    def __init__(
        self,
        model: Module,
        inputs: tuple[Tensor, Tensor],
        data: Data,
        config: FitConfig,
        compiled: bool = False,
    ) -> None:
        self.model, self.inputs, self.data = model, inputs, data
        self.compiles = compiled
        self.call = torch.compile(model) if compiled else model
        self.optimizer = make_optimizer(model, config)

    def loss(self) -> Tensor:
        """Return the cross entropy of the training nodes."""
        mask = self.data.train_mask
        return cross_entropy(self.call(*self.inputs)[mask], self.data.y[mask])

    def __call__(self, _: int) -> None:
        self.model.train()
        self.optimizer.zero_grad()
        self.loss().backward()
        self.optimizer.step()


class PlainEpoch(Epoch):
    """An epoch of PyG's layers.

    Args:
        way: How they are run.
        data: A graph with dense features.
        chosen: The recipe.
    """

    def __init__(self, way: Way, data: Data, chosen: Recipe) -> None:
        # PyG's advice: a compiled model has no self-loops to remove and add.
        stored_loops = way.compiled and chosen.model == "gat"
        edges = data.edge_index
        if stored_loops:
            edges, _ = add_remaining_self_loops(edges, num_nodes=data.num_nodes)
        if way.adjacency and chosen.model == "gcn":
            edges, _ = remove_self_loops(edges)  # PyG would add to their weights
        if way.adjacency:
            edges = to_torch_csr_tensor(edges.flip(0), size=(data.num_nodes,) * 2)
        with seeded(0):
            model = PlainModel(
                chosen, data.x.size(1), num_classes(data.y), way.csr, not stored_loops
            )
        x = data.x.to_sparse_csr() if way.csr else data.x
        super().__init__(model, (x, edges), data, chosen.fit, way.compiled)
        gathers = chosen.model == "sage" and not way.adjacency
        self.gathered = 4 * data.num_edges * data.x.size(1) if gathers else 0

    def __call__(self, turn: int) -> None:
        if self.gathered > MOST_BYTES:
            raise MemoryError(
                f"features of all edges take {self.gathered / 1e9:.0f} GB"
            )
        super().__call__(turn)


class OurEpoch(Epoch):
    """An epoch with one or both of our levers.

    Args:
        method: ``SPARSE_ALONE``, ``FUSED`` or ``BOTH``.
        data: A graph with dense features.
        chosen: The recipe.
    """

    def __init__(self, method: str, data: Data, chosen: Recipe) -> None:
        if method == SPARSE_ALONE:
            with seeded(0):
                model: Module = PlainModel(chosen, data.x.size(1), num_classes(data.y))
        else:
            model = chosen.build(data, 0)
        x = data.x if method == FUSED else sparse_features(data.x, SPARSE)
        super().__init__(model, (x, data.edge_index), data, chosen.fit)

"""Data and results that experiments of one process share."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import NamedTuple, TypeVar

from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.graphs import Graphs, load_graphs
from gsparse.bench.experiment.masks import (
    FittedMask,
    draw_ticket,
    fit_learned,
    within,
)
from gsparse.bench.experiment.methods import (
    cuts,
    has_edge_terms,
    is_learned,
    method_class,
)
from gsparse.nn import DropEdge
from gsparse.train import fit, predict_logits
from gsparse.transforms.base import EdgeSparsifier
from gsparse.transforms.by_name import make_sparsifier

T = TypeVar("T")
Place = tuple[object, ...]
Own = tuple[str | None, int | None, float | None]
"""Backbone, layers and DropEdge of a model."""


class Rated(NamedTuple):
    """Importances of the edges of the fit and the test graph, and their cost."""

    fit: Tensor
    test: Tensor
    seconds: float
    method: str | None
    """Method that the transform chose, if it has a choice."""


class Sparsified(NamedTuple):
    """The graphs of a run with the edges of its method removed."""

    fit: Data
    test: Data
    seconds: float
    """Time to rate and to cut the edges."""
    rating_method: str | None = None
    """Method that the transform chose to rate the edges, if it has a choice."""
    mask: FittedMask | None = None
    kept: float | None = None
    """Fraction of all nodes that keep the class of the dense model, if it was used."""


class Workspace:
    """Loads graphs and rates their edges, and keeps the last result of each.

    Args:
        root: Folder of the data sets; ``None`` for the default folders.
        given: Graphs in memory by their fingerprint, for experiments without a file.
    """

    def __init__(
        self, root: Path | None = None, given: Mapping[str, Data] | None = None
    ) -> None:
        self.root, self.given = root, given or {}
        self._graphs: tuple[tuple, Graphs] | None = None
        self._rated: tuple[tuple, Rated] | None = None
        self._warm: set[tuple[str, str]] = set()
        self._dense: dict[tuple[Place, Place], Module] = {}
        self._masks: dict[tuple[Place, Place], FittedMask] = {}
        self._searched: dict[tuple[Place, Place], Sparsified] = {}

    def dense(self, config: Config, seed: int) -> Module:
        """Return the model trained with all edges, which must not be changed.

        Weights at rest are those of the experiment's own model, which DropEdge may
        help to train; all others have the standard model beside them.
        """
        kind = config.teacher_model or config.model
        own = _own_weights(config)

        def train() -> Module:
            backbone, num_layers, drop_edge = own
            trained = replace(
                config, model=kind, backbone=backbone, num_layers=num_layers
            )
            chosen, data = trained.recipe(), self.graphs(config, seed).fit
            model = chosen.build(data, seed)
            settings = within(chosen.fit, config.epochs)
            learner = model if drop_edge is None else DropEdge(model, drop_edge)
            fit(learner, data, config=settings, seed=seed)
            return model

        return _once_for_place(self._dense, _dense_key(config, seed, own, kind), train)

    def keep_dense(self, config: Config, seed: int, model: Module) -> None:
        """Keep the model of a finished run that :meth:`dense` would train again.

        These are those of Dense and of DropEdge, from scratch and from the labels.
        """
        usual = replace(config.as_dense(), method=config.method)
        if replace(usual, sparsity=config.sparsity) != config:
            return
        drop_edge = None
        if config.method == "DropEdge":
            drop_edge, model = config.sparsity, model.get_submodule("model")
        elif config.method != "Dense":
            return
        own = config.backbone, config.num_layers, drop_edge
        key = _dense_key(config, seed, own, config.model)
        _once_for_place(self._dense, key, lambda: model)

    def graphs(self, config: Config, seed: int) -> Graphs:
        """Return the data of a run with its split."""
        key = _place(config, seed)
        if self._graphs is None or self._graphs[0] != key:
            self._graphs = None  # frees the old one before the new one is loaded
            self._graphs = key, load_graphs(config, seed, self.root, self.given)
        return self._graphs[1]

    def sparsify(self, config: Config, seed: int) -> Sparsified:
        """Rate the edges, unless it was done for another sparsity, and cut."""
        graphs = self.graphs(config, seed)
        if not cuts(config.method):
            return Sparsified(graphs.fit, graphs.test, 0.0)
        method = method_class(config.method)
        if is_learned(config.method):
            mask = self._mask(config, seed, graphs)
            test = mask.cut
            if graphs.fit is not graphs.test:
                test = mask.module.sparsify(graphs.test)
            kept = getattr(mask.history, "kept", None)
            return Sparsified(mask.cut, test, mask.seconds, mask=mask, kept=kept)
        if method.trains:
            self._refuse_two_graphs(config, graphs, "another method")
            start = perf_counter()
            cut = draw_ticket(config, seed, graphs.fit)
            return Sparsified(cut, cut, perf_counter() - start)
        if "model" in method.needs:
            return self._exchange(config, seed, graphs)
        if "logits" in method.needs:
            graphs = self._with_predictions(config, seed, graphs)
        transform = make_sparsifier(
            config.method,
            sparsity=config.sparsity,
            reweight=config.reweight,
            seed=seed,
        )
        rated = self._importances(config, seed, transform, graphs)
        start = perf_counter()
        test = transform.cut(graphs.test, rated.test)
        fit = test
        if graphs.fit is not graphs.test:
            fit = transform.cut(graphs.fit, rated.fit)
        seconds = rated.seconds + perf_counter() - start
        return Sparsified(fit, test, seconds, rated.method)

    def _exchange(self, config: Config, seed: int, graphs: Graphs) -> Sparsified:
        """Search edges for the dense model; one search for all trainings."""

        def search() -> Sparsified:
            model, start = self.dense(config, seed), perf_counter()
            hard = config.recipe().fit.metric == "accuracy"
            exchange = method_class(config.method)(config.sparsity, seed, hard=hard)
            test = exchange.search(model, graphs.test)
            fit = test
            if graphs.fit is not graphs.test:
                fit = exchange.search(model, graphs.fit)
            seconds = perf_counter() - start
            return Sparsified(fit.data, test.data, seconds, kept=test.kept)

        return _once_for_place(self._searched, _key(config, seed), search)

    def _importances(
        self,
        config: Config,
        seed: int,
        transform: EdgeSparsifier,
        graphs: Graphs,
    ) -> Rated:
        """Return importances, the same for all sparsities and reweightings."""
        key: tuple = (*_place(config, seed), config.method)
        if config.teacher != "none":
            key += (config.model, config.epochs, *_own_weights(config))
        if self._rated is None or self._rated[0] != key:
            first = (config.dataset, config.method)
            if first not in self._warm:  # compilation is not the method's cost
                self._warm.add(first)
                transform.importance(graphs.test)
            start = perf_counter()
            test = transform.importance(graphs.test)
            same = graphs.fit is graphs.test
            fit = test if same else transform.importance(graphs.fit)
            seconds = perf_counter() - start
            chosen = transform.method_used
            self._rated = key, Rated(fit, test, seconds, chosen)
        return self._rated[1]

    def _with_predictions(self, config: Config, seed: int, graphs: Graphs) -> Graphs:
        """Return the graphs with the predictions of the dense model on each."""
        model, found = self.dense(config, seed), {}
        for data in (graphs.fit, graphs.test):
            if id(data) not in found:
                found[id(data)] = copy.copy(data)
                found[id(data)].pred = predict_logits(model, data).softmax(1)
        return graphs._replace(fit=found[id(graphs.fit)], test=found[id(graphs.test)])

    def _refuse_two_graphs(self, config: Config, graphs: Graphs, use: str) -> None:
        if graphs.fit is not graphs.test:
            raise ValueError(
                f"{config.method} learns a mask of one graph (got split "
                f"{config.split}, which has two); use {use}"
            )

    def _mask(self, config: Config, seed: int, graphs: Graphs) -> FittedMask:
        """Return a mask fitted to the graph; one for all trainings of the weights."""
        if has_edge_terms(config.method, config.teacher, config.edge_terms):
            self._refuse_two_graphs(config, graphs, "--edge-terms without")

        def fit_mask() -> FittedMask:
            teacher = None if config.teacher == "none" else self.dense(config, seed)
            return fit_learned(config, seed, graphs.fit, teacher)

        return _once_for_place(self._masks, _key(config, seed), fit_mask)


def _place(config: Config, seed: int) -> Place:
    """Return what determines the graphs of a run."""
    names = config.dataset, config.graph_fingerprint, config.split, config.device
    return (*names, seed)


def _own_weights(config: Config) -> Own:
    """Return backbone, layers and DropEdge of the weights that are left at rest."""
    if config.training != "rest":
        return None, None, None
    return config.backbone, config.num_layers, config.drop_edge


def _dense_key(config: Config, seed: int, own: Own, kind: str) -> tuple[Place, Place]:
    """Return graph and model of weights that were trained with all edges."""
    width = config.hidden_channels
    return _place(config, seed), (config.epochs, width, config.hops, *own, kind)


def _key(config: Config, seed: int) -> tuple[Place, Place]:
    """Return graph and method, and what else edges depend on that a model chooses."""
    place = (*_place(config, seed), config.method)
    model = (config.model, config.hidden_channels, config.epochs, config.hops)
    used = (config.sparsity, config.teacher == "none", config.edge_terms)
    return place, (*model, *used, *_own_weights(config))


def _once_for_place(
    found: dict[tuple[Place, Place], T], key: tuple[Place, Place], make: Callable[[], T]
) -> T:
    """Return the result of a key, made once while the graph and the method stay."""
    if key not in found:
        for old in [it for it in found if it[0] != key[0]]:
            del found[old]
        found[key] = make()
    return found[key]

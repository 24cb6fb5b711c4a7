"""Data sets and scores of a process, kept so that neighbours in a grid share them."""

import copy
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.experiment.config import INDUCTIVE, Config
from gsparse.bench.experiment.facts import fingerprint
from gsparse.bench.experiment.masks import (
    FittedMask,
    draw_ticket,
    fit_learned,
    within,
)
from gsparse.bench.experiment.methods import (
    UNCUT,
    learned_masks,
)
from gsparse.data import inductive, load
from gsparse.edges import undirected_pairs
from gsparse.linalg import spanning_forest
from gsparse.train import class_scores, fit, sparse_features
from gsparse.transforms.by_name import make_sparsifier


class Graphs(NamedTuple):
    """The graph to fit on and the one to test on; the same unless inductive."""

    fit: Data
    test: Data
    features_fingerprint: str
    num_pairs: int
    num_pairs_spanning: int
    """Edges of a spanning forest of the test graph: nodes minus components."""


class Scored(NamedTuple):
    """Scores of the fit and the test graph, what they cost, and how they were found."""

    fit: Tensor
    test: Tensor
    seconds: float
    method: str | None


class Sparsified(NamedTuple):
    """The graphs of a run with the edges of its method removed."""

    fit: Data
    test: Data
    seconds: float
    """Of scoring and cutting together."""
    score_method: str | None = None
    """What the scoring chose, where it had a choice and said so in its log."""
    mask: FittedMask | None = None


class _Choices(logging.Filter):
    """Hears which method the resistances were found by, and hides what it heard."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self.level = level
        self.method: str | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        found = re.search(r"by method '(\w+)'", record.getMessage())
        self.method = found[1] if found else self.method
        return record.levelno >= self.level


@contextmanager
def _listening(name: str) -> Iterator[_Choices]:
    """Hear a logger at level INFO, while others hear what they would anyway."""
    logger = logging.getLogger(name)
    own_level, ear = logger.level, _Choices(logger.getEffectiveLevel())
    logger.addFilter(ear)
    logger.setLevel(min(ear.level, logging.INFO))
    try:
        yield ear
    finally:
        logger.setLevel(own_level)
        logger.removeFilter(ear)


class Workspace:
    """Loads graphs and scores their edges, and remembers the last of each.

    Args:
        root: Folder of the data sets; None for the usual places.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self._graphs: tuple[tuple, Graphs] | None = None
        self._scored: tuple[tuple, Scored] | None = None
        self._warm: set[tuple[str, str]] = set()
        self._dense: dict[tuple, Module] = {}
        self._masks: dict[tuple, FittedMask] = {}

    def dense(self, config: Config, seed: int) -> Module:
        """The model that was trained with all edges; not to be changed."""
        kind = config.teacher_model or config.model
        width = config.hidden_channels
        place = (
            config.dataset,
            config.split,
            config.device,
            seed,
            config.epochs,
            width,
            config.hops,
        )
        key = (*place, kind)
        if key not in self._dense:
            kept = {k: v for k, v in self._dense.items() if k[:-1] == place}
            standard = replace(config, model=kind, backbone=None, num_layers=None)
            chosen, data = standard.recipe(), self.graphs(config, seed).fit
            model = chosen.build(data, seed)
            settings = within(chosen.fit, config.epochs)
            fit(model, data, config=settings, seed=seed)
            self._dense = kept | {key: model}
        return self._dense[key]

    def graphs(self, config: Config, seed: int) -> Graphs:
        """The data of a run with its split."""
        key = (config.dataset, config.split, config.device, seed)
        if self._graphs is None or self._graphs[0] != key:
            self._graphs = None  # frees the old one before the new one is loaded
            self._graphs = key, load_graphs(config, seed, self.root)
        return self._graphs[1]

    def sparsify(self, config: Config, seed: int) -> Sparsified:
        """Score, unless it was done for another sparsity, and cut."""
        graphs = self.graphs(config, seed)
        if config.method in UNCUT:
            return Sparsified(graphs.fit, graphs.test, 0.0)
        if config.method in learned_masks():
            mask = self._mask(config, seed, graphs)
            return Sparsified(mask.cut, mask.cut, mask.seconds, mask=mask)
        if config.method == "EdgeLottery":
            self._refuse_two_graphs(config, graphs)
            start = perf_counter()
            cut = draw_ticket(config, seed, graphs.fit)
            return Sparsified(cut, cut, perf_counter() - start)
        if config.method == "PredictionAgreement":
            graphs = self._with_predictions(config, seed, graphs)
        transform = make_sparsifier(
            config.method,
            sparsity=config.sparsity,
            reweight=config.reweight,
            seed=seed,
        )
        scored = self._scores(config, seed, transform.score, graphs)
        start = perf_counter()
        test = transform.cut(graphs.test, scored.test)
        fit = test
        if graphs.fit is not graphs.test:
            fit = transform.cut(graphs.fit, scored.fit)
        seconds = scored.seconds + perf_counter() - start
        return Sparsified(fit, test, seconds, scored.method)

    def _scores(
        self,
        config: Config,
        seed: int,
        score: Callable[[Data], Tensor],
        graphs: Graphs,
    ) -> Scored:
        """Scores, the same for every sparsity and with or without new weights."""
        key: tuple = (config.dataset, config.split, config.device, seed, config.method)
        if config.teacher != "none":
            key += (config.model, config.epochs)
        if self._scored is None or self._scored[0] != key:
            first = (config.dataset, config.method)
            if first not in self._warm:  # compilation is not the method's cost
                self._warm.add(first)
                score(graphs.test)
            with _listening("gsparse.linalg.resistance") as ear:
                start = perf_counter()
                test = score(graphs.test)
                fit = test if graphs.fit is graphs.test else score(graphs.fit)
                seconds = perf_counter() - start
            self._scored = key, Scored(fit, test, seconds, ear.method)
        return self._scored[1]

    def _with_predictions(self, config: Config, seed: int, graphs: Graphs) -> Graphs:
        """The graphs with what the dense model predicts on each."""
        model, found = self.dense(config, seed), {}
        for data in (graphs.fit, graphs.test):
            if id(data) not in found:
                found[id(data)] = copy.copy(data)
                found[id(data)].pred = class_scores(model, data).softmax(1)
        return graphs._replace(fit=found[id(graphs.fit)], test=found[id(graphs.test)])

    def _refuse_two_graphs(self, config: Config, graphs: Graphs) -> None:
        if graphs.fit is not graphs.test:
            raise ValueError(
                f"{config.method} learns a mask of one graph (got split "
                f"{config.split}, which has two)"
            )

    def _mask(self, config: Config, seed: int, graphs: Graphs) -> FittedMask:
        """A mask fitted to the graph; the same for all weights that it serves."""
        self._refuse_two_graphs(config, graphs)
        place = (config.dataset, config.split, config.device, seed, config.method)
        alone = config.teacher == "none"
        key = (*place, config.model, config.sparsity, config.epochs, alone)
        if key not in self._masks:
            kept = {k: v for k, v in self._masks.items() if k[:5] == place}
            teacher = None if alone else self.dense(config, seed)
            self._masks = kept | {key: fit_learned(config, seed, graphs.fit, teacher)}
        return self._masks[key]


def load_graphs(config: Config, seed: int, root: Path | None = None) -> Graphs:
    """Load a data set with the split of a run.

    Random splits follow the seed. In the inductive setting the graph to fit on holds
    the training and validation nodes and the edges between them.
    """
    is_inductive = config.split.startswith(INDUCTIVE)
    kind = config.split.removeprefix(f"{INDUCTIVE}-")
    test = load(config.dataset, root=root, split=kind, seed=seed, sparse_features=True)
    mark = fingerprint(test.x)
    pairs = undirected_pairs(test.edge_index, test.num_nodes)
    any_score = torch.ones(pairs.row.numel())
    forest = spanning_forest(pairs.row, pairs.col, any_score, pairs.num_nodes)
    if is_inductive:
        fit = _on_device(inductive(test, include_val=True).train, config.device)
    test = _on_device(test, config.device)
    num_pairs, num_spanning = pairs.row.numel(), int(forest.sum())
    return Graphs(fit if is_inductive else test, test, mark, num_pairs, num_spanning)


def _on_device(data: Data, device: str) -> Data:
    """The graph where it is trained, its features stored as :func:`fit` wants them."""
    data = data.to(device)
    data.x = sparse_features(data.x)
    return data

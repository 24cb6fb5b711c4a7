"""Seconds of a run from the sizes of its graph and model, without loading anything.

The constants are fitted to the rows in ``docs/results``, of one thread of a Xeon: 63 %
of 946 experiments are predicted within a factor of 2, and sums of tables within 2.3.
"""

from typing import TYPE_CHECKING

from gsparse.bench.experiment.methods import is_learned, method_class
from gsparse.bench.experiment.own_model import is_own_model
from gsparse.data import card

if TYPE_CHECKING:
    from gsparse.bench.experiment.config import Config

LAYER, NODE, ENTRY, EDGE = 8e-4, 1.5e-8, 4e-9, 4e-8
"""Seconds of an epoch per layer; per node, layer and unit; per feature of a node (at
most 64, as most are 0); per edge and layer."""

EDGE_UNIT = {"gcn": 3e-10, "sage": 3e-10, "gat": 1.4e-9}
"""Seconds of an epoch per edge, layer and unit."""

PLAIN = {"scratch": 0.7, "finetune": 0.35, "rest": 0.04, "joint": 1.0}
"""Seconds of a run with a sparsifier over those of the dense run, by the training. The
graph is smaller, and the dense model is trained once for all runs of a process."""

LEARNED = {"scratch": 1.0, "finetune": 0.5, "rest": 1.5, "joint": 1.0}
"""The same for learned masks, which are fitted once for all trainings."""

PRUNED = 0.65
"""The same for pruners of weights."""

TIMES = {
    "DropEdge": 1.5,
    "EdgeExchange": 1.3,
    "EdgeGates": 1.3,
    "EdgeLottery": 40.0,
    "NeuralSparse": 4.0,
    "PTDNet": 1.8,
    "SparseGAT": 1.3,
    "AutoPrune": 1.6,
    "CombinatorialBrainSurgeon": 1.6,
    "GradualThreshold": 1.6,
    "ProbMask": 6.0,
    "Supermask": 2.6,
    "SynFlow": 2.2,
    "WeightLottery": 5.6,
}
"""Factors of the methods that take longer than others of their kind."""


def times_dense(config: "Config") -> float:
    """Return the seconds of a run over those of the dense run.

    Example:
        >>> from gsparse.bench import Config
        >>> times_dense(Config("Cora", "public", "gcn", "RandomEdge", 0.5))
        0.7
    """
    found = 1.0
    if method_class(config.method) is not None:
        kind = LEARNED if is_learned(config.method) else PLAIN
        found = kind[config.training] * TIMES.get(config.method, 1.0)
    if config.pruner is not None:
        found *= PRUNED * TIMES.get(config.pruner, 1.0)
    return found


def epoch_seconds(
    config: "Config", num_nodes: int, num_edges: int, num_features: int
) -> float:
    """Return the seconds of an epoch, with its validation, of a standard model.

    Args:
        config: The experiment; only its model is read.
        num_nodes: Number of nodes.
        num_edges: Number of directed edges.
        num_features: Number of features.
    """
    options = config.recipe().options
    units = int(options.get("hidden_channels", 64)) * int(options.get("heads", 1))
    layers = int(options.get("num_layers", 2))
    per_edge = 0.0
    if config.model != "mlp":
        per_edge = EDGE + EDGE_UNIT[config.model] * units
    per_node = NODE * layers * units + ENTRY * min(num_features, 64)
    return layers * LAYER + per_node * num_nodes + per_edge * layers * num_edges


def rough_seconds(config: "Config") -> float | None:
    """Return the seconds of a run of a standard model on a data set with a card.

    Returns:
        None if the sizes or the speed are unknown: for other devices, for graphs and
        models without a card, and for runs on receptive fields.
    """
    is_known = config.graph_fingerprint is None and not is_own_model(config.model)
    if config.device != "cpu" or not is_known or config.hops is not None:
        return None
    entry = card(config.dataset)
    if entry.num_edges is None:
        return None
    sizes = entry.num_nodes, entry.num_edges, entry.num_features
    return _epochs(config) * epoch_seconds(config, *sizes) * times_dense(config)


def _epochs(config: "Config") -> float:
    """Return the usual number of epochs: the more patience, the later it stops."""
    settings = config.recipe().fit
    most = settings.epochs if config.epochs is None else config.epochs
    return most * min(1.0, 0.25 + 2.2 * settings.patience / most)

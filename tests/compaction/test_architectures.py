"""Random models after pruning and compaction: equal on other graphs, or refused."""

import os
import warnings
from collections import Counter

import pytest
import torch

from gsparse.compaction import compact
from tests.compaction.architectures import graph, network, prune

ALL = 200
COUNT = ALL if os.environ.get("GSPARSE_ALL_ARCHITECTURES") else 40
OTHERS = [(13, 30), (6, 4), (1, 0), (1, 2), (25, 70)]  # nodes and edges


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


def differs(model, small, seed, number):
    """Whether the outputs differ on a graph, where the model has any."""
    num_nodes, num_edges = OTHERS[number]
    x, edge_index = graph(seed + number, num_nodes, num_edges)
    x = 3 * x - number
    try:
        expected = model(x, edge_index)
    except ValueError:  # statistics of one node
        return False
    error = (small(x, edge_index) - expected).abs().max()
    return not bool(error <= 1e-6 * expected.abs().max() + 1e-12)


def outcome(seed):
    model, example = network(seed), graph(seed, 9, 20)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            prune(model, example, seed)
            small = compact(model, example)
    except (ValueError, RuntimeError):
        return "refused"
    with torch.no_grad():
        if any(differs(model, small, seed, number) for number in range(len(OTHERS))):
            return "wrong"
    return "smaller" if size(small) < size(model) else "unchanged"


@pytest.fixture(scope="module")
def outcomes():
    return {seed: outcome(seed) for seed in range(30_000, 30_000 + COUNT)}


def test_compacted_models_are_equal_on_other_graphs(outcomes):
    assert [seed for seed, found in outcomes.items() if found == "wrong"] == []


def test_most_models_become_smaller(outcomes):
    counts = Counter(outcomes.values())
    assert counts["smaller"] >= 0.8 * COUNT, counts

"""A recommendation for each outcome of the measurements."""

from dataclasses import replace

import pytest
import torch

from gsparse.data import complete, path
from gsparse.deploy.advice import advise, saving
from gsparse.deploy.epoch_cost import FEWER, FUSED, PYG, EpochCost
from gsparse.deploy.graph_facts import graph_facts
from gsparse.deploy.quick_scores import QuickScore, QuickScores

DENSE_FACTS, SPARSE_FACTS = graph_facts(complete(40)), graph_facts(path(40))
COSTS = (EpochCost(PYG, 1.0), EpochCost(FUSED, 0.5), EpochCost(FEWER, 0.2))


def entry(name, sparsity, gain, std_error=0.01):
    return QuickScore(name, sparsity, 0.8 + gain, gain, std_error, (torch.zeros(2),))


def scores(mlp=-0.2, cut=-0.1, milder=-0.05, chosen="DSpar"):
    cuts = (entry("RandomEdge", 0.8, cut), entry("DSpar", 0.8, cut))
    return QuickScores(
        metric="accuracy",
        num_nodes=100,
        num_fits=1,
        mlp=entry("MLP", 1.0, mlp),
        dense=entry("GCN", 0.0, 0.0, 0.0),
        cuts=cuts,
        chosen=chosen,
        milder=entry(chosen, 0.5, milder),
    )


@pytest.mark.parametrize(
    ("found", "action", "sparsity", "words"),
    [
        (scores(mlp=-0.009), "drop the graph", 0.0, "Drop the graph: an MLP is 0.9"),
        (scores(mlp=0.02), "drop the graph", 0.0, "2.0 points better"),
        (scores(cut=-0.009), "cut", 0.8, "Remove 80% of the edges with DSpar"),
        (
            scores(cut=0.0, chosen="RandomEdge"),
            "cut",
            0.8,
            "random edges do as well as chosen ones",
        ),
        (scores(milder=-0.01), "cut", 0.5, "Remove 50% of the edges with DSpar"),
        (scores(), "train a mask", 0.8, "EdgeExchange, or KEdge"),
    ],
)
def test_each_outcome_has_its_advice(found, action, sparsity, words):
    advice = advise(DENSE_FACTS, found, COSTS)
    assert (advice.action, advice.sparsity) == (action, sparsity)
    assert advice.method == found.chosen
    assert words in advice.reason


def test_few_nodes_leave_the_use_of_the_graph_open():
    found = replace(scores(), mlp=entry("MLP", 1.0, -0.028, 0.048))
    text = advise(DENSE_FACTS, found, COSTS).reason
    assert text.startswith("Perhaps drop the graph: an MLP is 2.8 points worse (± 4.8)")
    assert "100 validation nodes cannot tell" in text


def test_a_cut_that_saves_no_time_is_not_advised():
    slow = (*COSTS[:2], EpochCost(FEWER, 0.46))
    advice = advise(DENSE_FACTS, scores(cut=0.0), slow)
    assert (advice.action, advice.sparsity) == ("keep all edges", 0.0)
    assert "only 8% shorter" in advice.reason
    assert advise(DENSE_FACTS, scores(mlp=0.0), slow).action == "drop the graph"


def test_the_gain_over_random_edges_is_said_if_it_is_seen():
    found = scores(cut=0.0)
    reason = advise(DENSE_FACTS, found, COSTS).reason
    assert "random edges score about the same" in reason
    better = replace(found.cuts[1], terms=(torch.tensor([0.04, 0.04]),))
    found = replace(found, cuts=(found.cuts[0], better))
    reason = advise(DENSE_FACTS, found, COSTS).reason
    assert "at 80% random edges are 4.0 points worse (± 0.0)" in reason


def test_without_scores_the_facts_decide():
    assert advise(DENSE_FACTS, None, COSTS).method == "DSpar"
    assert advise(SPARSE_FACTS, None, COSTS).method == "RandomEdge"
    assert advise(DENSE_FACTS, None, COSTS).action == "unknown"
    directed = replace(DENSE_FACTS, undirected=False)
    assert advise(directed, None, COSTS).method == "RandomEdge"


def test_a_graph_without_edges_needs_none():
    facts = replace(SPARSE_FACTS, num_edges=0)
    assert advise(facts, None, COSTS).action == "no edges"


def test_a_saving_needs_both_times():
    assert saving(COSTS) == pytest.approx(0.6)
    assert saving((*COSTS[:2], EpochCost(FEWER, None, skipped="too large"))) is None
    assert saving(()) is None

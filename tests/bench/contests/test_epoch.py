"""All contenders of an epoch compute the same; the fastest rows are found."""

import pytest
import torch
from torch_geometric.data import Data

from gsparse.bench.contests import epoch as contest
from gsparse.bench.contests.contest import Problem
from gsparse.bench.contests.epoch_rows import FEWER, fastest
from gsparse.bench.contests.epoch_ways import Way, ways
from gsparse.data import random_graph


@pytest.fixture(params=[True, False], ids=["sparse x", "dense x"])
def problem(request, monkeypatch):
    """A graph with a self-loop, under the name of one without a recipe of its own."""
    data = random_graph(num_nodes=60, p=0.2, seed=35117)
    generator = torch.Generator().manual_seed(35117)
    x = torch.rand(60, 40, generator=generator)
    if request.param:
        x *= torch.rand(60, 40, generator=generator) < 0.1
    loop = torch.tensor([[7], [7]])
    data = Data(
        x=x,
        edge_index=torch.cat([data.edge_index, loop], dim=1),
        y=torch.arange(60) % 4,
        train_mask=torch.arange(60) < 40,
    )
    monkeypatch.setattr(contest, "make_data", lambda name, root: data)
    monkeypatch.setattr(torch, "compile", lambda model: model)
    return request.param


@pytest.mark.parametrize("model", contest.MODELS)
def test_equal_weights_give_equal_losses(problem, model):
    found = contest.contenders(Problem("tiny", model))
    epochs = {c.method: c.runs["train_epoch_seconds"] for c in found}
    for epoch in epochs.values():
        epoch.model.load_state_dict(epochs["PyG"].model.state_dict())
        epoch.model.eval()
    losses = {0.0: [], 0.8: [], 1.0: []}
    for it in found:
        losses[it.settings["sparsity"]].append(epochs[it.method].loss())
    for some in losses.values():
        torch.testing.assert_close(some, [some[0]] * len(some), rtol=1e-5, atol=1e-6)
    first = [some[0].item() for some in losses.values()]
    assert len({round(loss, 4) for loss in first}) == 3
    ours = {c.method for c in found if not c.is_peer}
    levers = {"fused", "ours, fewer edges", "no edges"}
    levers |= {"sparse features, fused"} if problem else set()
    levers |= {"sparse features"} if problem and model != "sage" else set()
    assert ours == levers


@pytest.mark.parametrize("model", contest.MODELS)
def test_epochs_learn(problem, model):
    for contender in contest.contenders(Problem("tiny", model)):
        epoch = contender.runs["train_epoch_seconds"]
        before = epoch.loss().item()
        for turn in range(20):
            epoch(turn)
        epoch.model.eval()
        assert epoch.loss().item() < before, contender.method


def test_ways_of_each_model():
    assert list(ways("gat", False)) == [Way(), Way(compiled=True)]
    assert [way.name for way in ways("gat", True)] == [
        "PyG",
        "PyG, x as CSR",
        "PyG compiled, x as CSR",
    ]
    assert not any(way.csr for way in ways("sage", True))
    assert Way(adjacency=True, compiled=True) in ways("sage", False)
    assert Way(adjacency=True, compiled=True) not in ways("gcn", False)


def test_features_of_all_edges_are_not_gathered_if_they_are_too_many(
    problem, monkeypatch
):
    monkeypatch.setattr("gsparse.bench.contests.epoch_ways.MOST_BYTES", 10)
    found = {c.method: c for c in contest.contenders(Problem("tiny", "sage"))}
    with pytest.raises(MemoryError, match="features of all edges take 0 GB"):
        found["PyG"].runs["train_epoch_seconds"](0)
    found["PyG, sparse adjacency"].runs["train_epoch_seconds"](0)


def test_the_fastest_rows_are_compared():
    rows = [
        {"method": name, "train_epoch_seconds": s, "sparsity": z, "is_peer": peer}
        | {"model": "gat"}
        for name, s, z, peer in (
            ("PyG", 0.9, 0.0, True),
            ("PyG, x as CSR", 0.6, 0.0, True),
            ("PyG compiled", None, 0.0, True),
            ("PyG" + FEWER, 0.2, 0.5, True),
            ("fused", 0.2, 0.0, False),
            ("ours" + FEWER, 0.1, 0.5, False),
        )
    ]
    assert fastest(rows, is_peer=True, sparsity=0.0) is rows[1]
    assert fastest(rows, is_peer=True, sparsity=0.0, compiled=True) is None
    assert fastest(rows, is_peer=False, sparsity=0.5) is rows[5]
    text = "gat: PyG, x as CSR 600 ms; ours 3.0x; 50% removed 6.0x"
    assert contest.summary(rows) == text

"""Processes of torch.distributed train one model on shares of the nodes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from gsparse.data import chung_lu, convert_graph, open_neighbors
from gsparse.distributed import broadcast_state, check_same, shared_mean

TIMEOUT = 120
SIZE = 3
SCRIPT = """
import json, sys
from copy import deepcopy
import numpy as np
import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from gsparse.data import NeighborSampler, open_graph
from gsparse.distributed import broadcast_state, check_same, shared_mean
from gsparse.prune import Magnitude, Pruner
from gsparse.train import SAGE, sparse_features
from torch_geometric.data import Data

rank, size, place = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
dist.init_process_group(
    "gloo", init_method=f"file://{place}/store", rank=rank, world_size=size
)
found = {}

def error(function, *args, **options):
    try:
        function(*args, **options)
    except Exception as it:
        return f"{type(it).__name__}: {it}"
    return None

def model(seed, width=8):
    torch.manual_seed(seed)
    return SAGE(5, width, 3, dropout=0.0)

folder = open_graph(f"{place}/g")
x = np.load(f"{place}/x.npy", mmap_mode="r")
y = torch.arange(90) % 3
data = folder.data()
groups = {n: dist.new_group([*range(n)]) for n in range(1, size + 1)}
for world, group in groups.items():
    if rank >= world:
        continue
    net = model(rank)
    pruner = Pruner(net, Magnitude(), sparsity=0.5)
    broadcast_state(net, pruner, group=group)
    whole = deepcopy(net)
    shared = DistributedDataParallel(net, process_group=group)
    options = dict(x=x, y=y, seed=5, rank=rank, world_size=world)
    sampler = NeighborSampler(folder, [-1, -1], 8, range(3, 20), **options)
    gaps, counts, plain = [], [], []
    for i, batch in enumerate(sampler):
        n = batch.batch_size
        losses = cross_entropy(
            shared(batch.x, batch.edge_index)[:n], batch.y[:n], reduction="none"
        )
        shared.zero_grad()
        loss = shared_mean(losses, group)
        loss.backward()
        seeds = torch.from_numpy(
            sampler.input_nodes[sampler._places(0)[8 * i : 8 * i + 8]]
        )
        whole.zero_grad()
        out = whole(torch.from_numpy(np.array(x)), data.edge_index)
        expected = cross_entropy(out[seeds], y[seeds])
        expected.backward()
        mean = loss.detach().clone()
        dist.all_reduce(mean, group=group)
        gap = abs(float(mean / world - expected))
        for one, two in zip(net.parameters(), whole.parameters(), strict=True):
            gap = max(gap, float((one.grad - two.grad).abs().max()))
        largest = max(float(it.grad.abs().max()) for it in whole.parameters())
        gaps.append(gap)
        counts.append(n)
        plain.append(largest)
    found[f"world {world}"] = [gaps, counts, plain]

one = model(rank)
found["models differ"] = error(check_same, one)
found["one group"] = error(check_same, one, group=groups[1]) if rank == 0 else None
broadcast_state(one)
found["same"] = error(check_same, one, torch.ones(2), data)
pruner = Pruner(one, Magnitude(), sparsity=0.5)
pruner.num_steps = 4 - rank
found["pruners differ"] = error(check_same, one, pruner)
broadcast_state(one, pruner)
found["steps"] = pruner.num_steps
found["masks"] = int(sum(it.sum() for n, it in one.state_dict().items() if "mask" in n))
with torch.no_grad():
    it = next(n for n in one.state_dict() if "mask" in n)
    if rank == 2:
        one.state_dict()[it].view(-1)[0].logical_not_()
found["masks differ"] = error(check_same, one)
one_type = torch.int32 if rank else torch.float  # zeros have the same bytes
found["types differ"] = error(check_same, torch.zeros(2, dtype=one_type))
found["lengths differ"] = error(check_same, {"a": 1} | ({"b": 2} if rank == 1 else {}))
found["numbers differ"] = error(check_same, 7, rank // 2)
large = np.arange(5000.0)
large[2500] += rank // 2
found["arrays differ"] = error(check_same, large)
sparse = torch.eye(4).to_sparse_csr()
sparse.values()[3] += rank
found["features differ"] = error(check_same, Data(x=sparse))
wrapped = sparse_features(torch.eye(64) * (1 + rank))
found["wrapped differ"] = error(check_same, Data(x=wrapped))
found["objects"] = error(check_same, object() if rank == 1 else 7)
found["widths differ"] = error(broadcast_state, model(0, 8 + rank // 2))
found["no losses"] = error(shared_mean, torch.ones(0))
found["means"] = error(shared_mean, torch.ones(()))
found["no state"] = error(broadcast_state, 7)
print("FOUND" + json.dumps(found))
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Run three processes, and smaller groups of them, and return their results."""
    place = tmp_path_factory.mktemp("training")
    folder = convert_graph(chung_lu(90, 400, exponent=2.5, seed=3), place / "g")
    open_neighbors(folder)
    draw = torch.Generator().manual_seed(77)
    np.save(place / "x.npy", torch.randn(90, 5, generator=draw).numpy())
    script = place / "script.py"
    script.write_text(SCRIPT)
    started = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(SIZE), str(place)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for rank in range(SIZE)
    ]
    try:
        texts = [it.communicate(timeout=TIMEOUT) for it in started]
    finally:
        for it in started:
            it.kill()
            it.wait()
    assert [it.returncode for it in started] == [0] * SIZE, [it[1] for it in texts]
    return [json.loads(out.split("FOUND")[1]) for out, _ in texts]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_gradients_are_those_of_the_whole_batch(found, world):
    """Batches of 8, 8 and 1 seeds; the shares are uneven, some of them empty."""
    counts = []
    for rank in range(world):
        gaps, share, largest = found[rank][f"world {world}"]
        assert max(gaps) < 1e-5
        assert min(largest) > 1e-2
        counts.append(share)
    assert [sum(it) for it in zip(*counts, strict=True)] == [8, 8, 1]
    if world == 3:
        assert counts == [[3, 3, 1], [3, 3, 0], [2, 2, 0]]


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (
            "models differ",
            "RuntimeError: SAGE['layers.0.lin_l.weight'] must be the same in all "
            "processes (it differs between the first process and process 1)",
        ),
        ("pruners differ", "Pruner 1['num_steps'] must be the same in all processes"),
        ("masks differ", "(it differs between the first process and process 2)"),
        ("types differ", "Tensor must be the same in all processes"),
        ("lengths differ", "dict['b'] must be the same in all processes"),
        ("numbers differ", "int 1 must be the same in all processes (it differs"),
        ("arrays differ", "ndarray must be the same in all processes"),
        ("features differ", "Data['x'][3] must be the same in all processes"),
        ("wrapped differ", "Data['x'][3] must be the same in all processes"),
        ("objects", "TypeError: an object must be a tensor, an array, a number or"),
        ("widths differ", "process 2 cannot take the state of the first one"),
        ("no losses", "'values' must hold a loss in some process (got none)"),
        ("means", "'values' must have one loss per node"),
        ("no state", "TypeError: 'objects' must have state_dict()"),
    ],
)
def test_all_processes_refuse(found, case, text):
    for it in found:
        assert text in it[case]


def test_states_are_copied_from_the_first_process(found):
    assert [it["same"] for it in found] == [None] * SIZE
    assert [it["steps"] for it in found] == [4] * SIZE
    assert len({it["masks"] for it in found}) == 1
    assert found[0]["masks"] > 0
    assert found[0]["one group"] is None


@pytest.mark.parametrize("function", [shared_mean, broadcast_state, check_same])
def test_a_group_is_needed(function):
    text = rf"must be initialized for {function.__name__}\(\)"
    with pytest.raises(RuntimeError, match=text):
        function(torch.ones(3))

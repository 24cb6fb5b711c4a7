"""The training loops of the guide to large graphs run as they are printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gsparse.data import NeighborSampler, convert_graph, open_graph, planted_partition
from gsparse.train import SAGE

TEXT = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()
TIMEOUT = 120
SHARED = """
found = torch.cat([it.detach().view(-1) for it in model.parameters()])
print("DIGEST", rank, found.double().sum().item())
dist.destroy_process_group()
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    data = planted_partition(300, 4, seed=50101)
    convert_graph(data, tmp_path / "graph")
    np.save(tmp_path / "x.npy", data.x.numpy())
    np.save(tmp_path / "y.npy", data.y.numpy())
    np.save(tmp_path / "train.npy", np.arange(300) % 2 == 0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loops():
    section = re.search(r"^## Train on a folder\n(.*?)^## ", TEXT, re.M | re.S)[1]
    found = re.findall(r"^```python\n(.*?)^```", section, re.M | re.S)
    assert len(found) == 2
    return found


def test_one_process_learns(place):
    names = {}
    with torch.random.fork_rng():
        torch.manual_seed(4721)
        exec(loops()[0], names)
    test = torch.arange(1, 300, 2)
    options = {"input_nodes": test, "shuffle": False, "x": names["x"], "y": names["y"]}
    (batch,) = NeighborSampler(open_graph("graph"), [-1, -1], 150, **options)
    assert isinstance(names["model"], SAGE)
    with torch.no_grad():
        out = names["model"].eval()(batch.x, batch.edge_index)[:150]
    assert (out.argmax(dim=1) == batch.y[:150]).float().mean() > 0.8  # by chance 0.25


@pytest.mark.slow
def test_two_processes_end_with_one_model(place):
    NeighborSampler(open_graph("graph"), [1])  # writes the neighbours
    script = place / "script.py"
    first, second = loops()
    first = first.split("model = ")[0]  # up to the model
    second = second.replace(
        'init_process_group("gloo")',
        f'init_process_group("gloo", init_method="file://{place}/store", '
        "rank=int(sys.argv[1]), world_size=2)",
    )
    script.write_text("import sys\n" + first + second + SHARED)
    started = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    try:
        texts = [it.communicate(timeout=TIMEOUT) for it in started]
    finally:
        for it in started:
            it.kill()
            it.wait()
    assert [it.returncode for it in started] == [0, 0], texts
    one, two = (out.split("DIGEST")[1].split()[1] for out, _ in texts)
    assert one == two

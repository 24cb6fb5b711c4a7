"""GAT layers: PyG's eager and compiled, torch's, ours.

Ours is also shown against a plain copy: the bytes that a training step must at least
gather, per second.
"""

from collections.abc import Callable
from functools import cache, partial
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import GATConv, GATv2Conv

from gsparse.bench.contests.contest import Contender, Contest, Problem
from gsparse.bench.tables.rows import Row
from gsparse.data import chung_lu, load
from gsparse.kernels import gat_attention_reference, graph_of
from gsparse.nn import FastGATConv, FastGATv2Conv

SYNTHETIC = {
    "chung_lu_200k": (20_000, 200_000),
    "chung_lu_2m": (100_000, 2_000_000),
    "chung_lu_23m": (233_000, 23_000_000),
    "toy": (4_000, 200_000),
    "tiny": (400, 4_000),
}
"""Nodes and directed edges of the synthetic graphs."""

COMPILED = "pyg compiled"
TOO_MANY = 1_000_000_000
"""Values in an ``[E, H, C]`` tensor above which only ours runs."""


def contenders(problem: Problem) -> list[Contender]:
    """Return a forward pass and a training step of each layer.

    ``quick`` leaves out the compiled one.
    """
    device = torch.device(problem.device)
    x, edge_index = make_input(problem.graph, problem.root, device)
    heads, channels = _shape(problem.size)
    layers = make_layers(problem.size, x.size(1), edge_index, device)
    if not problem.quick:
        torch.compiler.reset()  # torch keeps a limited number of versions of a function
        layers |= {COMPILED: torch.compile(layers["pyg"])}
    if edge_index.size(1) * heads * channels > TOO_MANY:
        layers = {"ours": layers["ours"]}
    grad = torch.ones(x.size(0), heads * channels, device=device)

    def train(layer: Callable[[Tensor], Tensor], _: int) -> None:
        layer(x).backward(grad)

    @torch.inference_mode()
    def infer(layer: Callable[[Tensor], Tensor], _: int) -> None:
        layer(x)

    settings = {"shape": problem.size, "in_channels": x.size(1)}
    facts: Row = {"num_nodes": x.size(0), "num_edges": edge_index.size(1)}
    facts["gather_bytes"] = gather_bytes(x, edge_index, heads, channels)
    facts["copy_bytes_per_second"] = copy_bandwidth(device)
    return [
        Contender(
            method,
            {
                "train_step_seconds": partial(train, layer),
                "infer_seconds": partial(infer, layer),
            },
            settings,
            is_peer=method in ("pyg", COMPILED),
            facts=facts,
            compiles=method == COMPILED,
        )
        for method, layer in layers.items()
    ]


def make_input(
    name: str, root: str | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return 64 random features of each node, and the edges of a graph."""
    if name in SYNTHETIC:
        data = chung_lu(*SYNTHETIC[name], exponent=2.5, seed=28411)
    else:
        data = load(name, root)
    generator = torch.Generator().manual_seed(52817)
    x = torch.randn(data.num_nodes, 64, generator=generator)
    return x.to(device), data.edge_index.to(device)


def make_layers(
    shape: str, in_channels: int, edge_index: Tensor, device: torch.device
) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return layers of equal weights as functions of ``x``.

    Args:
        shape: ``"8x8"`` for 8 heads of 8 channels; ``"v2:8x8"`` for GATv2, of which
            there is no version in plain torch.
        in_channels: Number of features.
        edge_index: The edges.
        device: Device of the weights.
    """
    heads, channels = _shape(shape)
    second = shape.startswith("v2:")
    with torch.random.fork_rng():
        torch.manual_seed(60913)
        plain = (GATv2Conv if second else GATConv)(in_channels, channels, heads=heads)
        ours = (FastGATv2Conv if second else FastGATConv)(
            in_channels, channels, heads=heads
        )
    ours.load_state_dict(plain.state_dict())
    layer: Any = plain.to(device)
    ours = ours.to(device)

    def reference(x: Tensor) -> Tensor:
        hidden = layer.lin(x).view(-1, heads, channels)
        source, target = (
            (hidden * layer.att_src).sum(-1),
            (hidden * layer.att_dst).sum(-1),
        )
        graph = graph_of(edge_index, x.size(0), "replace")
        out = gat_attention_reference(graph, source, target, hidden)
        return out.flatten(1) + layer.bias

    found: dict[str, Callable[[Tensor], Tensor]] = {
        "pyg": lambda x: layer(x, edge_index)
    }
    if not second:
        found["reference"] = reference
    return found | {"ours": lambda x: ours(x, edge_index)}


def _shape(text: str) -> tuple[int, int]:
    heads, channels = text.removeprefix("v2:").split("x")
    return int(heads), int(channels)


def gather_bytes(x: Tensor, edge_index: Tensor, heads: int, channels: int) -> int:
    """Return the least bytes that a training step gathers.

    Each edge takes a row of the messages forward and a row of the gradient backward.
    """
    edges = edge_index.size(1) + x.size(0)
    row, score = heads * channels * 4, heads * 4
    return edges * (row + score + 4) + edges * (row + 3 * score + 4)


@cache
def copy_bandwidth(device: torch.device, size: int = 64_000_000) -> float:
    """Return the bytes that ``Tensor.copy_`` reads and writes a second, best of 5."""
    source = torch.ones(size, device=device)
    target = torch.empty_like(source)
    times = []
    for _ in range(6):
        start = perf_counter()
        target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(perf_counter() - start)
    return 2 * 4 * size / min(times[1:])


def summary(rows: list[Row]) -> str:
    """Compare the bytes that ours gathers a second with those of a copy."""
    lines = [f"a copy moves {rows[0]['copy_bytes_per_second'] / 1e9:.1f} GB/s"]
    for row in rows:
        if row["method"] == "ours" and row["train_step_seconds"]:
            speed = row["gather_bytes"] / row["train_step_seconds"]
            share = speed / row["copy_bytes_per_second"]
            lines.append(f"{row['shape']}: ours {speed / 1e9:.1f} GB/s, {share:.0%}")
    return "; ".join(lines)


CONTEST = Contest(
    name="attention",
    about="GAT layers: PyG's eager and compiled, torch's, ours",
    contenders=contenders,
    graphs=("PubMed", "tolokers", "cornell5", "chung_lu_2m"),
    sizes=("8x8", "4x64"),
    quick_graphs=("tiny",),
    quick_sizes=("8x8",),
    keys=("shape",),
    columns={
        "train_step_seconds": "train ms",
        "infer_seconds": "infer ms",
        "train_peak_bytes": "train MB",
        "infer_peak_bytes": "infer MB",
    },
    repeats=5,
    toy="toy",
    on_cuda=True,
    summary=summary,
)

"""GAT layers side by side: PyG's, plain torch, and ours. Seconds, bytes, bandwidth.

Run it as a module. Contenders take turns in one process, so
that a busy machine is unfair to all; medians are compared. Peak memory is measured in
a fresh process for each. The anchor is the bandwidth of a plain copy: ours is shown
as the bytes it must at least gather, per second, against it.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch import Tensor
from torch_geometric.nn import GATConv, GATv2Conv

from gsparse.bench.contests.attention_memory import peak_of_fresh_process
from gsparse.bench.tables.measurement import append_rows, measurement
from gsparse.bench.tables.rows import Row
from gsparse.data import chung_lu, load
from gsparse.kernels import Graph, gat_attention_reference, graph_of
from gsparse.nn import FastGATConv, FastGATv2Conv

Contender = Callable[[Tensor], Tensor]

#: Synthetic graphs: nodes and directed edges. Other names are data sets.
SYNTHETIC = {
    "chung_lu_200k": (20_000, 200_000),
    "chung_lu_2m": (100_000, 2_000_000),
    "chung_lu_23m": (233_000, 23_000_000),
}
GRAPHS = ("PubMed", "tolokers", "cornell5", "chung_lu_2m")
SHAPES = ("8x8", "4x64")
CONTENDERS = ("pyg", "reference", "ours")
#: Above this many values in an ``[E, H, C]`` tensor PyG and torch are left out.
TOO_MANY = 2_500_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its table, append its rows to a file."""
    options = _parser().parse_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    copied = copy_bandwidth(device)
    _say(f"{torch.get_num_threads()} threads; a copy moves {copied / 1e9:.1f} GB/s\n")
    _say(format_head())
    for name in options.graphs.split(","):
        x, edge_index = make_input(name, options.features, options.root, device)
        for shape in options.shapes.split(","):
            chosen = [c for c in options.contenders.split(",") if c in CONTENDERS]
            rows = compare(name, shape, x, edge_index, chosen, options.rounds)
            for row in rows:
                if options.memory:
                    row |= peak_of_fresh_process(_request(options, row))
                row["copy_bytes_per_second"] = copied
            _say(format_rows(rows))
            append_rows(options.out, rows)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="attention")
    parser.add_argument("--graphs", default=",".join(GRAPHS), help="names, with commas")
    parser.add_argument("--shapes", default=",".join(SHAPES), help="headsxchannels")
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--threads", type=int, help="threads of torch and ours")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--features",
        action="store_true",
        help="the data set's own x instead of 64 random channels",
    )
    parser.add_argument("--memory", action="store_true", help="peak of fresh processes")
    parser.add_argument("--root", type=Path, help="folder of the data sets")
    parser.add_argument("--out", type=Path, help="file for one JSON line a contender")
    return parser


def _request(options: argparse.Namespace, row: Row) -> Row:
    return {
        "name": row["dataset"],
        "features": options.features,
        "root": None if options.root is None else str(options.root),
        "shape": row["shape"],
        "contender": row["method"],
        "device": options.device,
    }


def make_input(
    name: str, features: bool, root: Path | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Node features and edges of a graph; 64 random channels unless ``features``."""
    if name in SYNTHETIC:
        num_nodes, num_edges = SYNTHETIC[name]
        data = chung_lu(num_nodes, num_edges, exponent=2.5, seed=28411)
    else:
        data = load(name, root)
    if features and data.x is not None:
        x = data.x.float()
    else:
        generator = torch.Generator().manual_seed(52817)
        x = torch.randn(data.num_nodes, 64, generator=generator)
    return x.to(device), data.edge_index.to(device)


def make_contender(
    contender: str,
    shape: str,
    in_channels: int,
    edge_index: Tensor,
    device: str = "cpu",
) -> Contender:
    """A layer with equal weights for every contender, as a function of ``x``.

    ``shape`` is ``"8x8"`` for 8 heads of 8 channels; ``"v2:8x8"`` is GATv2.
    """
    second = shape.startswith("v2:")
    heads, channels = (int(n) for n in shape.removeprefix("v2:").split("x"))
    with torch.random.fork_rng():
        torch.manual_seed(60913)
        plain = (GATv2Conv if second else GATConv)(in_channels, channels, heads=heads)
        ours = (FastGATv2Conv if second else FastGATConv)(
            in_channels, channels, heads=heads
        )
    ours.load_state_dict(plain.state_dict())
    plain, ours = plain.to(device), ours.to(device)
    if contender == "pyg":
        return lambda x: plain(x, edge_index)
    if contender == "ours":
        return lambda x: ours(x, edge_index)
    if second:
        raise ValueError("the torch reference is timed for GAT only")
    return lambda x: _reference(plain, x, graph_of(edge_index, x.size(0), "replace"))


def _reference(layer: GATConv, x: Tensor, graph: Graph) -> Tensor:
    hidden = layer.lin(x).view(-1, layer.heads, layer.out_channels)
    scores = [(hidden * att).sum(-1) for att in (layer.att_src, layer.att_dst)]
    out = gat_attention_reference(graph, scores[0], scores[1], hidden)
    return out.flatten(1) + layer.bias


def compare(
    name: str,
    shape: str,
    x: Tensor,
    edge_index: Tensor,
    contenders: Sequence[str],
    rounds: int,
) -> list[Row]:
    """Time training steps and inference, everybody in turn; one row a contender."""
    heads, channels = (int(n) for n in shape.removeprefix("v2:").split("x"))
    device, width = x.device, heads * channels
    if edge_index.size(1) * width > TOO_MANY:
        contenders = [c for c in contenders if c == "ours"]
    if shape.startswith("v2:"):
        contenders = [c for c in contenders if c != "reference"]
    layers = {
        c: make_contender(c, shape, x.size(1), edge_index, str(device))
        for c in contenders
    }
    grad = torch.ones(x.size(0), width, device=device)
    seconds: dict[str, list[tuple[float, float]]] = {c: [] for c in layers}
    for turn in range(rounds + 1):
        for contender, layer in layers.items():
            times = (timed(layer, x, grad), timed(layer, x, None))
            if turn > 0:  # the first compiles, and builds what is kept
                seconds[contender].append(times)
    return [
        measurement(
            "attention",
            name,
            contender,
            {"shape": shape, "in_channels": x.size(1)},
            device=str(device),
            num_nodes=x.size(0),
            num_edges=edge_index.size(1),
            train_step_seconds=median(train for train, _ in times),
            infer_seconds=median(infer for _, infer in times),
            gather_bytes=gather_bytes(x, edge_index, heads, channels),
        )
        for contender, times in seconds.items()
    ]


def timed(layer: Contender, x: Tensor, grad: Tensor | None) -> float:
    """Seconds of a forward pass, and of the backward pass if there is ``grad``."""
    _wait(x.device)
    start = perf_counter()
    with torch.inference_mode(grad is None):
        out = layer(x)
    if grad is not None:
        out.backward(grad)
    _wait(x.device)
    return perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def gather_bytes(x: Tensor, edge_index: Tensor, heads: int, channels: int) -> int:
    """Least bytes a GAT training step gathers: a row of x, a row of the gradient."""
    edges = edge_index.size(1) + x.size(0)
    row, score = heads * channels * 4, heads * 4
    return edges * (row + score + 4) + edges * (row + 3 * score + 4)


def copy_bandwidth(device: torch.device, size: int = 64_000_000) -> float:
    """Bytes a second read and written by ``Tensor.copy_``, best of five."""
    source = torch.ones(size, device=device)
    target = torch.empty_like(source)
    times = []
    for _ in range(6):
        _wait(device)
        start = perf_counter()
        target.copy_(source)
        _wait(device)
        times.append(perf_counter() - start)
    return 2 * 4 * size / min(times[1:])


def format_head() -> str:
    """Column titles."""
    return (
        f"{'graph':14}{'shape':>8}{'layer':>11}{'train ms':>10}{'infer ms':>10}"
        f"{'train x':>9}{'infer x':>9}{'peak MB':>9}{'peak x':>8}"
        f"{'GB/s':>7}{'of copy':>9}"
    )


def format_rows(rows: list[Row]) -> str:
    """One line a contender, with its ratios to PyG's layer."""
    lines, first = [], rows[0]
    for row in rows:
        train, infer = row["train_step_seconds"], row["infer_seconds"]
        line = f"{row['dataset']:14}{row['shape']:>8}{row['method']:>11}"
        line += f"{1e3 * train:>10.1f}{1e3 * infer:>10.1f}"
        line += f"{first['train_step_seconds'] / train:>8.1f}x"
        line += f"{first['infer_seconds'] / infer:>8.1f}x"
        if "train_peak_bytes" in row:
            peak = row["train_peak_bytes"]
            line += f"{peak / 1e6:>9.0f}{peak / first['train_peak_bytes']:>8.2f}"
        else:
            line += " " * 17
        if row["method"] == "ours":
            speed = row["gather_bytes"] / train
            line += f"{speed / 1e9:>7.1f}{speed / row['copy_bytes_per_second']:>8.0%}"
        lines.append(line)
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())

"""A pruned linear layer three ways: dense, torch's CSR weight, and ours.

Run it as a module. Contenders take turns in one process,
so that a busy machine is unfair to all; medians are compared. The places of the weights
are random, so that hardly any input is unused: the hardest case for ours.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch import Tensor
from torch.nn.functional import linear

from gsparse.bench.experiment.facts import versions
from gsparse.bench.tables.measurement import append_rows, measurement
from gsparse.bench.tables.rows import Row
from gsparse.kernels.sparse_weight import SparseWeight, sparse_linear

Contender = Callable[[], Tensor]

#: Rows of the features, inputs, outputs: first layers on PubMed and Cora, a hidden one
#: on as many nodes as Physics has, and a wide one.
SHAPES = (
    "19717x500x16",
    "19717x500x64",
    "2708x1433x16",
    "34493x256x256",
    "10000x512x512",
)
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
CONTENDERS = ("dense", "torch_csr", "ours")
#: How many times as fast as the dense layer is worth another form of the weight.
WORTH = 1.1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its table, append its rows to a file."""
    options = _parser().parse_args(arguments)
    _say(f"{versions()}\nload of the last minute: {os.getloadavg()[0]:.1f}")
    for threads in options.threads.split(","):
        _say(f"\n{threads} threads\n{format_head()}")
        for shape in options.shapes.split(","):
            rows = []
            for sparsity in options.sparsity.split(","):
                with num_threads(int(threads)):
                    found = compare(shape, float(sparsity), options.rounds)
                append_rows(options.out, found)
                _say(format_rows(found))
                rows += found
            _say(verdict(shape, rows))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sparse_weights")
    parser.add_argument(
        "--shapes", default=",".join(SHAPES), help="rowsxinputsxoutputs"
    )
    parser.add_argument("--sparsity", default=",".join(map(str, SPARSITIES)))
    parser.add_argument("--threads", default="1,2", help="numbers, with commas")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--out", type=Path, help="file for one JSON line a contender")
    return parser


@contextmanager
def num_threads(wanted: int) -> Iterator[None]:
    """So many threads for torch and ours."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_input(shape: str, sparsity: float) -> tuple[Tensor, Tensor]:
    """Random features, and a weight with exactly that share of zeros."""
    rows, inputs, outputs = (int(n) for n in shape.split("x"))
    generator = torch.Generator().manual_seed(37619)
    x = torch.randn(rows, inputs, generator=generator)
    weight = torch.randn(outputs, inputs, generator=generator)
    order = torch.randperm(weight.numel(), generator=generator)
    weight.view(-1)[order[: round(sparsity * weight.numel())]] = 0.0
    return x, weight


def make_contenders(x: Tensor, weight: Tensor) -> dict[str, Contender]:
    """The product ``x @ weight.T`` of everybody; what is done once is done here."""
    csr, sparse = weight.to_sparse_csr(), SparseWeight.from_dense(weight)
    return {
        "dense": lambda: linear(x, weight),
        "torch_csr": lambda: torch.sparse.mm(csr, x.t()).t(),
        "ours": lambda: sparse_linear(x, sparse),
    }


def compare(shape: str, sparsity: float, rounds: int) -> list[Row]:
    """Time everybody in turn; one row a contender."""
    x, weight = make_input(shape, sparsity)
    runs = make_contenders(x, weight)
    held = weight_bytes(weight)
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for turn in range(rounds + 1):
        for name in CONTENDERS:
            start = perf_counter()
            with torch.inference_mode():
                runs[name]()
            if turn > 0:  # the first compiles
                seconds[name].append(perf_counter() - start)
    return [
        measurement(
            "sparse_weights",
            "random",
            name,
            {"shape": shape, "weight_sparsity": sparsity},
            infer_seconds=median(times),
            weight_bytes=held[name],
            load=os.getloadavg()[0],
        )
        for name, times in seconds.items()
    ]


def weight_bytes(weight: Tensor) -> dict[str, int]:
    """Of all tensors that a contender holds for its weight."""
    csr, sparse = weight.to_sparse_csr(), SparseWeight.from_dense(weight)
    ours = (value for value in vars(sparse).values() if isinstance(value, Tensor))
    theirs = csr.crow_indices(), csr.col_indices(), csr.values()
    held: dict[str, Iterable[Tensor]] = {
        "dense": [weight],
        "torch_csr": theirs,
        "ours": ours,
    }
    return {name: sum(tensor.nbytes for tensor in held[name]) for name in CONTENDERS}


def pays_from(rows: Iterable[Row]) -> float | None:
    """Least sparsity from which on ours is worth it at all that were measured."""
    seconds = {(r["weight_sparsity"], r["method"]): r["infer_seconds"] for r in rows}
    found = None
    for sparsity in sorted({sparsity for sparsity, _ in seconds}, reverse=True):
        if seconds[sparsity, "dense"] < WORTH * seconds[sparsity, "ours"]:
            break
        found = sparsity
    return found


def verdict(shape: str, rows: Sequence[Row]) -> str:
    """Where a sparse weight does not pay, in words."""
    least, tried = pays_from(rows), sorted({row["weight_sparsity"] for row in rows})
    if least is None:
        return f"{shape}: does not pay at any sparsity up to {tried[-1]:.0%}"
    below = [sparsity for sparsity in tried if sparsity < least]
    loses = f"; does not pay at {below[-1]:.0%} and below" if below else ""
    return f"{shape}: pays from {least:.0%} zeros on{loses}"


def format_head() -> str:
    """Column titles."""
    return (
        f"{'shape':16}{'zeros':>6}{'dense ms':>10}{'CSR ms':>9}{'ours ms':>9}"
        f"{'dense/ours':>12}{'CSR/ours':>10}{'bytes':>8}"
    )


def format_rows(rows: Sequence[Row]) -> str:
    """One line for the contenders of one weight."""
    by_name = {row["method"]: row for row in rows}
    dense, csr, ours = (by_name[name]["infer_seconds"] for name in CONTENDERS)
    memory = by_name["ours"]["weight_bytes"] / by_name["dense"]["weight_bytes"]
    return (
        f"{rows[0]['shape']:16}{rows[0]['weight_sparsity']:>6.0%}"
        f"{1e3 * dense:>10.2f}{1e3 * csr:>9.2f}{1e3 * ours:>9.2f}"
        f"{dense / ours:>11.2f}x{csr / ours:>9.2f}x{memory:>8.2f}"
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())

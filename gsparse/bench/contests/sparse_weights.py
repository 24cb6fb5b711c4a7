"""A pruned linear layer: dense, with torch's CSR weight, and ours.

The weights are in random places, so that hardly any input is unused: the hardest case
for ours.
"""

import os
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import linear

from gsparse.bench.contests.contest import Contender, Contest, Problem
from gsparse.bench.tables.rows import Row
from gsparse.kernels.sparse_weight import SparseWeight, sparse_linear

SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
WORTH = 1.1
"""Speed-up over the dense layer from which on another form of the weight pays."""


def contenders(problem: Problem) -> list[Contender]:
    """Return the product of each form of the weight at each sparsity."""
    found = []
    for sparsity in (0.5, 0.95) if problem.quick else SPARSITIES:
        settings = {"shape": problem.size, "weight_sparsity": sparsity}
        products, held = make_products(*make_input(problem.size, sparsity))
        for method, run in products.items():
            found.append(
                Contender(
                    method,
                    {"infer_seconds": partial(_infer, run)},
                    settings,
                    is_peer=method == "torch_csr",
                    facts={"weight_bytes": held[method]},
                    check=lambda _: {"load": os.getloadavg()[0]},
                )
            )
    return found


@torch.inference_mode()
def _infer(run: Callable[[], Tensor], _: int) -> Tensor:
    return run()


def make_input(shape: str, sparsity: float) -> tuple[Tensor, Tensor]:
    """Return random features, and a weight with exactly that fraction of zeros.

    Args:
        shape: Rows of the features, inputs and outputs, such as ``"2708x1433x16"``.
        sparsity: Fraction of zeros.
    """
    rows, inputs, outputs = (int(n) for n in shape.split("x"))
    generator = torch.Generator().manual_seed(37619)
    x = torch.randn(rows, inputs, generator=generator)
    weight = torch.randn(outputs, inputs, generator=generator)
    order = torch.randperm(weight.numel(), generator=generator)
    weight.view(-1)[order[: round(sparsity * weight.numel())]] = 0.0
    return x, weight


def make_products(
    x: Tensor, weight: Tensor
) -> tuple[dict[str, Callable[[], Tensor]], dict[str, int]]:
    """Return ``x @ weight.T`` in all ways, and the bytes of each form of the weight."""
    csr, sparse = weight.to_sparse_csr(), SparseWeight.from_dense(weight)
    tensors = {
        "dense": [weight],
        "torch_csr": [csr.crow_indices(), csr.col_indices(), csr.values()],
        "ours": [it for it in vars(sparse).values() if isinstance(it, Tensor)],
    }
    return {
        "dense": lambda: linear(x, weight),
        "torch_csr": lambda: torch.sparse.mm(csr, x.t()).t(),
        "ours": lambda: sparse_linear(x, sparse),
    }, {name: sum(t.nbytes for t in found) for name, found in tensors.items()}


def pays_from(rows: list[Row]) -> float | None:
    """Return the least sparsity from which on ours is worth it wherever measured."""
    seconds = {(r["weight_sparsity"], r["method"]): r["infer_seconds"] for r in rows}
    found = None
    for sparsity in sorted({sparsity for sparsity, _ in seconds}, reverse=True):
        dense, ours = (seconds.get((sparsity, name)) for name in ("dense", "ours"))
        if dense is None or ours is None or dense < WORTH * ours:
            break
        found = sparsity
    return found


def verdict(shape: str, rows: list[Row]) -> str:
    """Say from which sparsity on a sparse weight pays, and where it does not."""
    least, tried = pays_from(rows), sorted({row["weight_sparsity"] for row in rows})
    if least is None:
        return f"{shape}: does not pay at any sparsity up to {tried[-1]:.0%}"
    below = [sparsity for sparsity in tried if sparsity < least]
    loses = f"; does not pay at {below[-1]:.0%} and below" if below else ""
    return f"{shape}: pays from {least:.0%} zeros on{loses}"


def summary(rows: list[Row]) -> str:
    """Return the verdict on each shape."""
    shapes = dict.fromkeys(row["shape"] for row in rows)
    return "\n".join(verdict(s, [r for r in rows if r["shape"] == s]) for s in shapes)


CONTEST = Contest(
    name="sparse_weights",
    about="a pruned linear layer: dense, torch's CSR, and ours",
    contenders=contenders,
    graphs=("random",),
    # First layers on PubMed and Cora, a hidden one on Physics, and a wide one.
    sizes=(
        "19717x500x16",
        "19717x500x64",
        "2708x1433x16",
        "34493x256x256",
        "10000x512x512",
    ),
    quick_graphs=("random",),
    quick_sizes=("300x40x8",),
    keys=("shape", "weight_sparsity"),
    columns={
        "infer_seconds": "infer ms",
        "weight_bytes": "weight MB",
        "infer_peak_bytes": "peak MB",
    },
    repeats=5,
    summary=summary,
)

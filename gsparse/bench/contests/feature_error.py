"""How far the features of a trained GAT move when its graph is sparsified.

Run it as a module. FastGAT's second claim: a spectral
sparsifier within (1 +- epsilon) changes what every layer computes by a multiple of
epsilon. Here a GAT is trained on the full graph, then run with the same weights on
sparsified ones: ||H - H'|| / ||H|| (Frobenius) of the first layer's output and of the
class scores, beside random edges of the same number.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.tables.measurement import append_rows, measurement
from gsparse.bench.tables.rows import Row
from gsparse.data import load
from gsparse.train import fit, recipe, sparse_features
from gsparse.transforms import EffectiveResistance, RandomEdge

GRAPHS = ("PubMed", "Computers", "tolokers", "cornell5")
EPSILONS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


@torch.inference_mode()
def outputs(model: Module, data: Data) -> tuple[Tensor, Tensor]:
    """Output of the first layer, and of the model."""
    found: list[Tensor] = []
    layers: Any = model.layers
    handle = layers[0].register_forward_hook(lambda *call: found.append(call[-1]))
    try:
        last = model.eval()(data.x, data.edge_index, data.get("edge_weight"))
    finally:
        handle.remove()
    return found[0], last


def distance(found: Tensor, expected: Tensor) -> float:
    """Relative error in the Frobenius norm."""
    return float((found - expected).norm() / expected.norm())


def measure(
    name: str, epsilons: Sequence[float], seeds: int, root: Path | None = None
) -> list[Row]:
    """Train once on a graph, then run on sparsified ones.

    Args:
        name: A data set.
        epsilons: Of :class:`~gsparse.transforms.EffectiveResistance`.
        seeds: How many samples of each; errors are averaged.
        root: Folder of the data sets.

    Returns:
        One row for each epsilon and way of sampling.
    """
    data = load(name, root)
    data.x = sparse_features(data.x)
    chosen = recipe(name, "gat")
    model = chosen.build(data, 0)
    fit(model, data, config=chosen.fit, seed=0)
    expected = outputs(model, data)
    spectral = EffectiveResistance(epsilon=epsilons[0], seed=0)
    score = spectral.score(data)
    rows = []
    for epsilon in epsilons:
        errors: dict[str, list[tuple[float, ...]]] = {}
        for seed in range(seeds):
            weighted = EffectiveResistance(epsilon=epsilon, seed=seed).cut(data, score)
            plain = weighted.clone()
            del plain.edge_weight
            sparsity = 1 - weighted.num_edges / data.num_edges
            random = RandomEdge(sparsity=sparsity, seed=seed)(data)
            for method, cut in (
                ("EffectiveResistance, weights used", weighted),
                ("EffectiveResistance, weights ignored", plain),
                ("RandomEdge", random),
            ):
                error = map(distance, outputs(model, cut), expected)
                errors.setdefault(method, []).append((*error, sparsity))
        settings: Row = {"model": "gat", "epsilon": epsilon, "num_samples": seeds}
        for method, found in errors.items():
            first, last, removed = zip(*found, strict=True)
            rows.append(
                measurement(
                    "feature_error",
                    name,
                    method,
                    settings,
                    sparsity=fmean(removed),
                    first_layer_error=fmean(first),
                    output_error=fmean(last),
                    output_error_std=stdev(last) if len(last) > 1 else 0.0,
                )
            )
    return rows


def format_rows(rows: Sequence[Row]) -> str:
    """A line for each epsilon: what is removed, then the errors of each sampling."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines = [
        f"{rows[0]['dataset']}: first layer / class scores, by " + "; ".join(methods)
    ]
    for epsilon in dict.fromkeys(row["epsilon"] for row in rows):
        mine = [row for row in rows if row["epsilon"] == epsilon]
        line = f"  eps {epsilon:<5g} removed {mine[0]['sparsity']:>5.1%}"
        for row in mine:
            line += f"   {row['first_layer_error']:.3f} / {row['output_error']:.3f}"
        lines.append(line)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each graph, print its table, append its rows to a file."""
    parser = argparse.ArgumentParser(prog="feature_error")
    parser.add_argument("--graphs", default=",".join(GRAPHS), help="names, with commas")
    default = ",".join(map(str, EPSILONS))
    parser.add_argument("--epsilons", default=default, help="with commas")
    parser.add_argument("--seeds", type=int, default=3, help="samples of each")
    parser.add_argument("--root", type=Path, help="folder of the data sets")
    parser.add_argument("--out", type=Path, help="file for the rows")
    options = parser.parse_args(arguments)
    epsilons = [float(epsilon) for epsilon in options.epsilons.split(",")]
    for name in options.graphs.split(","):
        rows = measure(name, epsilons, options.seeds, options.root)
        sys.stdout.write(format_rows(rows) + "\n")
        sys.stdout.flush()
        append_rows(options.out, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

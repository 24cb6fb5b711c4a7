"""What sampling by resistance keeps where a graph hangs together by few edges.

Run it as a module. Three parts: ``cuts`` cuts graphs with
planted bottlenecks and counts what stays connected, with the smallest and the largest
generalised eigenvalue of the Laplacians; ``models`` trains GATs where labels are told
beyond a bottleneck; ``scores`` compares resistances with degrees on real graphs, where
they should agree: `"Hitting and commute times in large graphs are often misleading"
<https://arxiv.org/abs/1003.1266>`_.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from math import log
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cholesky, eigvalsh, solve_triangular
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_scipy_sparse_matrix

from gsparse.bench.contests.bottleneck_models import format_models, model_rows
from gsparse.bench.contests.bottleneck_scores import SCORED, format_scores, score_row
from gsparse.bench.contests.planted_graphs import PLANTED, between_parts
from gsparse.bench.tables.measurement import append_rows, measurement
from gsparse.bench.tables.rows import Row
from gsparse.edges import undirected_pairs
from gsparse.linalg import Laplacian
from gsparse.transforms import DSpar, EffectiveResistance, RandomEdge
from gsparse.transforms.base import EdgeSparsifier

METHODS = (
    "EffectiveResistance",
    "DSpar",
    "RandomEdge",
    "EffectiveResistance, connected",
    "DSpar, connected",
)
PARTS = ("cuts", "models", "scores")
SPARSITIES = {"road_grid": (0.2, 0.4)}
"""Where 2 N ln N edges are more than there are."""
ROUNDING = 1e-9


class Connection(NamedTuple):
    """What of a graph hangs together after a cut."""

    num_components: int
    planted_connected: bool | None
    """Whether the edges left between the parts connect them; None without parts."""
    planted_edges: int | None
    """Edges left between the parts."""


def default_sparsities(name: str, data: Data) -> tuple[float, ...]:
    """The share to remove that leaves 2 N ln N edges, or what is possible."""
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    left = 2 * pairs.num_nodes * log(pairs.num_nodes)
    return SPARSITIES.get(name) or (1 - left / pairs.num_pairs,)


def connection(data: Data) -> Connection:
    """Count components, and look whether the parts are still connected."""
    found = _components(data.edge_index, data.num_nodes)
    if data.get("part") is None:
        return Connection(found, None, None)
    between = data.edge_index[:, between_parts(data)]
    num_parts = int(data.part.max()) + 1
    parts = _components(data.part[between], num_parts)
    return Connection(found, parts == 1, between.size(1) // 2)


def _components(edge_index: Tensor, num_nodes: int) -> int:
    pairs = undirected_pairs(edge_index, num_nodes)
    return Laplacian(pairs.row, pairs.col, None, num_nodes).num_components


class Spectrum:
    r"""Generalised eigenvalues of the Laplacian of a cut graph and of this graph.

    On vectors orthogonal to constants :math:`x^T \tilde L x / x^T L x` does not change
    when a constant is added to ``x``, so the last node is held at 0 and its row and
    column are left out. Dense: a few thousand nodes at most.

    Args:
        data: A connected graph.
    """

    def __init__(self, data: Data) -> None:
        self._factor = cholesky(_grounded(data), lower=True)

    def extremes(self, cut: Data) -> tuple[float, float]:
        r"""Smallest and largest :math:`\lambda` with :math:`\tilde L x = \lambda L x`.

        Args:
            cut: The graph after the cut, its weights in ``edge_weight``.

        Returns:
            Both eigenvalues; the smallest is 0 where the cut graph is disconnected.
        """
        half = solve_triangular(self._factor, _grounded(cut), lower=True)
        matrix = solve_triangular(self._factor, half.T, lower=True)
        values = eigvalsh(matrix, overwrite_a=True, check_finite=False)
        smallest = float(values[0])
        return (smallest if smallest > ROUNDING else 0.0), float(values[-1])


def _grounded(data: Data) -> NDArray[np.float64]:
    weight = data.get("edge_weight")
    weight = None if weight is None else weight.double()
    A = to_scipy_sparse_matrix(data.edge_index, weight, data.num_nodes).toarray()
    A = A.astype(np.float64)
    return (np.diag(A.sum(1)) - A)[:-1, :-1]


def make_method(method: str, sparsity: float, seed: int) -> EdgeSparsifier:
    """A sparsifier by one of the names in :data:`METHODS`."""
    if method == "RandomEdge":
        return RandomEdge(sparsity, seed=seed)
    name, *connected = method.split(", ")
    kind = {"EffectiveResistance": EffectiveResistance, "DSpar": DSpar}[name]
    return kind(sparsity, connected=bool(connected), seed=seed)


def cut_rows(
    name: str,
    data: Data,
    sparsities: Sequence[float],
    seeds: int,
    spectra: int,
) -> list[Row]:
    """Cut a graph by every method, sparsity and seed.

    Scores are computed once for each graph and method. Random edges, which keep their
    weights, all get the one weight that keeps the expected Laplacian.

    Args:
        name: Name of the graph in the rows.
        data: The graph.
        sparsities: Shares of the edges to remove.
        seeds: Number of cuts of each.
        spectra: Eigenvalues are computed for so many of the seeds.

    Returns:
        One row for each cut.
    """
    spectrum = Spectrum(data) if spectra else None
    before = connection(data)
    rows = []
    for method in METHODS:
        score = make_method(method, sparsities[0], 0).score(data)
        for sparsity in sparsities:
            for seed in range(seeds):
                transform = make_method(method, sparsity, seed)
                random = method == "RandomEdge"
                cut = transform(data) if random else transform.cut(data, score)
                if random:
                    share = data.num_edges / cut.num_edges
                    cut.edge_weight = torch.full((cut.num_edges,), share)
                after = connection(cut)
                found: Row = after._asdict()
                found["planted_edges_before"] = before.planted_edges
                if spectrum is not None and seed < spectra:
                    extremes = spectrum.extremes(cut)
                    found |= {"smallest_eigenvalue": extremes[0]}
                    found |= {"largest_eigenvalue": extremes[1]}
                rows.append(
                    measurement(
                        "bottlenecks",
                        name,
                        method,
                        {"seed": seed, "sparsity_target": sparsity},
                        sparsity=1 - cut.num_edges / data.num_edges,
                        num_nodes=data.num_nodes,
                        num_pairs_before=data.num_edges // 2,
                        num_pairs_after=cut.num_edges // 2,
                        **found,
                    )
                )
    return rows


def format_cuts(rows: Sequence[Row]) -> str:
    """One line for each graph, method and sparsity."""
    lines = [
        f"{'graph':21}{'method':31}{'removed':>8}{'whole':>9}{'parts':>9}"
        f"{'pieces':>8}{'between':>12}{'smallest':>10}{'largest':>9}"
    ]
    keys = [(row["dataset"], row["sparsity_target"], row["method"]) for row in rows]
    for key in dict.fromkeys(keys):
        mine = [row for row, its in zip(rows, keys, strict=True) if its == key]
        whole = f"{sum(row['num_components'] == 1 for row in mine)}/{len(mine)}"
        line = f"{key[0]:21}{key[2]:31}{mine[0]['sparsity']:>8.1%}{whole:>9}"
        if mine[0]["planted_edges"] is None:
            parts, between = "-", "-"
        else:
            parts = f"{sum(row['planted_connected'] for row in mine)}/{len(mine)}"
            left = fmean(row["planted_edges"] for row in mine)
            between = f"{left:.1f}/{mine[0]['planted_edges_before']}"
        pieces = fmean(row["num_components"] for row in mine)
        line += f"{parts:>9}{pieces:>8.1f}{between:>12}"
        seen = [row for row in mine if "largest_eigenvalue" in row]
        if seen:
            low = fmean(row["smallest_eigenvalue"] for row in seen)
            high = fmean(row["largest_eigenvalue"] for row in seen)
            line += f"{low:>10.3f}{high:>9.2f}"
        lines.append(line)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts, print their tables, append their rows to a file."""
    options = _parser().parse_args(arguments)
    parts = options.parts.split(",")
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise ValueError(f"'parts' must be of {PARTS} (got {sorted(unknown)})")
    if "cuts" in parts:
        for name in options.graphs.split(","):
            data = PLANTED[name]()
            sparsities = options.sparsity or default_sparsities(name, data)
            rows = cut_rows(name, data, sparsities, options.seeds, options.spectra)
            _report(format_cuts(rows), rows, options.out)
    if "models" in parts:
        sparsities = options.sparsity or (0.5, 0.7, 0.9)
        rows = model_rows(sparsities, options.model_seeds)
        _report(format_models(rows), rows, options.out)
    if "scores" in parts:
        names = options.datasets.split(",")
        rows = [score_row(name, options.root) for name in names]
        _report(format_scores(rows), rows, options.out)
    return 0


def _report(text: str, rows: Iterable[Row], out: Path | None) -> None:
    sys.stdout.write(text + "\n\n")
    sys.stdout.flush()
    append_rows(out, rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bottleneck_cuts")
    add = parser.add_argument
    add("--parts", default=",".join(PARTS), help="with commas")
    add("--graphs", default=",".join(PLANTED), help="of the cuts, with commas")
    add("--sparsity", type=_numbers, help="with commas")
    add("--seeds", type=int, default=100, help="cuts of each")
    add("--spectra", type=int, default=3, help="seeds with eigenvalues")
    add("--model-seeds", type=int, default=10, help="trained models of each")
    add("--datasets", default=",".join(SCORED), help="of the scores, with commas")
    add("--root", type=Path, help="folder of the data sets")
    add("--out", type=Path, help="file for one JSON line per cut")
    return parser


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))


if __name__ == "__main__":
    sys.exit(main())

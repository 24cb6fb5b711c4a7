"""A training epoch of a two-layer model: PyG at its best against ours at its best.

PyG runs in every way that its users have: dense features or CSR ones, edges as a list
or as a sparse adjacency matrix, eager or compiled. Our levers are separate contenders,
so that none takes the gain of another: sparse features under PyG's layers, our layers
on dense features, and both. The best storage of each also runs on the sparsified graph
("fewer edges"), and ours on the graph without any edge ("no edges"), the floor that no
sparsifier can beat.

Left out, since they gained nothing or at most 5 %: sorted edges, a sparse adjacency in
GAT, and ``torch.compile`` of our layers.
"""

from functools import partial
from time import perf_counter

import torch
from torch_geometric.data import Data

from gsparse.bench.contests.attention import SYNTHETIC, make_input
from gsparse.bench.contests.contest import Contender, Contest, Problem
from gsparse.bench.contests.epoch_rows import BYTES, FEWER, SECONDS, fastest
from gsparse.bench.contests.epoch_ways import (
    BOTH,
    FUSED,
    SPARSE,
    SPARSE_ALONE,
    Epoch,
    OurEpoch,
    PlainEpoch,
    ways,
)
from gsparse.bench.contests.table import WIDTH
from gsparse.bench.papers.fastgat import SPARSITY, SPLIT
from gsparse.bench.tables.rows import Row
from gsparse.data import load
from gsparse.train import recipe
from gsparse.transforms import EffectiveResistance

GRAPHS = (*SPARSITY, "PubMed", "chung_lu_2m")
MODELS = ("gat", "gcn", "sage")
OTHER_SPARSITY = 0.8
CLASSES, SEED = 8, 73009


def contenders(problem: Problem) -> list[Contender]:
    """Return an epoch of each contender, on each of the graphs that it runs on.

    ``quick`` leaves out the compiled ones.
    """
    torch.compiler.reset()  # torch keeps a limited number of versions of a function
    data = make_data(problem.graph, problem.root)
    is_known = problem.graph not in SYNTHETIC  # the others have general settings
    chosen = recipe(problem.graph if is_known else "Computers", problem.size)
    sparsity = sparsity_of(problem.graph)
    transform = EffectiveResistance(sparsity=sparsity, reweight=False, seed=0)
    transform(data)  # compiles
    start = perf_counter()
    cut = transform(data)
    preprocess: Row = {"preprocess_seconds": perf_counter() - start}
    is_sparse = int(data.x.count_nonzero()) < SPARSE * data.x.numel()

    def entry(name: str, graph: Data, removed: float, epoch: Epoch) -> Contender:
        facts: Row = {"num_nodes": graph.num_nodes, "num_edges": graph.num_edges}
        facts |= {"num_features": graph.x.size(1)}
        return Contender(
            name,
            {SECONDS: epoch},
            {"model": chosen.model, "split": SPLIT, "sparsity": removed},
            is_peer=isinstance(epoch, PlainEpoch),
            facts=facts | (preprocess if removed == sparsity else {}),
            compiles=epoch.compiles,
        )

    rivals = [
        way
        for way in ways(chosen.model, is_sparse)
        if not (way.compiled and problem.quick)
    ]
    can_csr = any(way.csr for way in rivals)
    levers = [SPARSE_ALONE] * can_csr + [FUSED] + [BOTH] * is_sparse
    bare = data.clone()
    bare.edge_index = data.edge_index[:, :0]
    found = [
        entry(way.name, data, 0.0, PlainEpoch(way, data, chosen)) for way in rivals
    ]
    found += [entry(it, data, 0.0, OurEpoch(it, data, chosen)) for it in levers]
    for way in rivals:
        if way.csr == can_csr:
            epoch = PlainEpoch(way, cut, chosen)
            found.append(entry(way.name + FEWER, cut, sparsity, epoch))
    best = levers[-1]
    fewer = entry("ours" + FEWER, cut, sparsity, OurEpoch(best, cut, chosen))
    none = entry("no edges", bare, 1.0, OurEpoch(best, bare, chosen))
    return [*found, fewer, none]


def make_data(name: str, root: str | None) -> Data:
    """Return a graph with features, labels and training nodes.

    Synthetic graphs have 64 random features and random labels.
    """
    if name not in SYNTHETIC:
        return load(name, root, split=SPLIT, seed=0)
    x, edge_index = make_input(name, root, torch.device("cpu"))
    generator = torch.Generator().manual_seed(SEED)
    y = torch.randint(CLASSES, (x.size(0),), generator=generator)
    mask = torch.rand(x.size(0), generator=generator) < 0.6
    return Data(x=x, edge_index=edge_index, y=y, train_mask=mask)


def sparsity_of(graph: str) -> float:
    """Return the fraction of the edges that are removed."""
    return SPARSITY.get(graph, OTHER_SPARSITY)


def summary(rows: list[Row]) -> str:
    """Compare the fastest of PyG on the full graph with the fastest of ours."""
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        best = partial(fastest, mine)
        pyg = best(is_peer=True, sparsity=0.0)
        if pyg is None:
            continue
        text = f"{model}: {pyg['method']} {1e3 * pyg[SECONDS]:.0f} ms"
        for removed in sorted({row["sparsity"] for row in mine}):
            ours = best(is_peer=False, sparsity=removed)
            if ours is not None:
                ratio = pyg[SECONDS] / ours[SECONDS]
                name = f"{removed:.0%} removed" if removed else "ours"
                text += f"; {name} {ratio:.1f}x"
        lines.append(text[:WIDTH])
    return "\n".join(lines)


CONTEST = Contest(
    name="epoch",
    about="a training epoch: PyG at its best, ours by lever",
    contenders=contenders,
    graphs=GRAPHS,
    sizes=MODELS,
    quick_sizes=("gat",),
    keys=("model",),
    baseline="PyG",
    columns={SECONDS: "epoch ms", BYTES: "peak MB"},
    repeats=10,
    limit=600.0,
    warm_up=4,
    toy="digits",
    summary=summary,
)

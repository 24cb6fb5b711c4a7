"""Commands that make the published rows, by the sections of ``docs/results``.

The audit expands them into their runs, so that the documents cannot name others.
"""

import re
from functools import partial

from gsparse.bench.commands import Command
from gsparse.bench.tables.documents import Blocks, Results

WIDTH = 100
_EDGES = "--method EffectiveResistance --method RandomEdge"
_EDGES_DSPAR = "--method EffectiveResistance --method DSpar --method RandomEdge"
_CITATION = "--dataset PubMed --dataset Cora --dataset CiteSeer"
_DENSER = (
    "--dataset Physics --dataset Computers --dataset GitHub --dataset tolokers "
    "--dataset cornell5 --split 60-20-20"
)
_FAMILIES = "python -m gsparse.bench.contests resistance_families --repeats 20"
_JOINED = ",".join(
    f"joined by {bridges}, {nodes} nodes"
    for nodes in ("1,000", "6,000")
    for bridges in (1, 2, 8, 64)
)
_OTHERS = (
    "cliques, weak links of 1e-2,cliques, weak links of 1e-4,"
    "cliques, weak links of 1e-6,cliques, weak links of 1e-8,"
    "ring of 30 cliques of 30,ring of 200 cliques of 20,ring of 1,000 cliques of 10,"
    "grid of 1,000 x 100,lollipop, 100 + 100,star of 1,000,a fifth of the weights 0,"
    "weights over 1e4,weights over 1e12,weights over 1e12, a fifth 0,"
    "PubMed,Computers,tolokers"
)


def _contest(words: str, threads: int | None = None, about: str = "") -> Command:
    environment = "" if threads is None else f"OMP_NUM_THREADS={threads} "
    return Command(f"{environment}python -m gsparse.bench.contests {words}", about)


COMMANDS: dict[str, tuple[Command, ...]] = {
    "fastgat": (
        Command(
            f"gsparse bench {_CITATION} --model gat --model gcn {_EDGES_DSPAR} "
            "--sparsity 0.5,0.8 --seeds 10 --table fastgat",
            "citation graphs, public split",
        ),
        Command(
            f"gsparse bench {_DENSER} --model gat {_EDGES} --sparsity 0.5,0.8,0.9 "
            "--seeds 5 --table fastgat",
            "denser graphs, GAT",
        ),
        Command(
            f"gsparse bench {_DENSER} --model gat --model gcn {_EDGES_DSPAR} "
            "--sparsity 0.8,0.9 --seeds 5 --table fastgat",
            "denser graphs, GCN, and DSpar with GAT",
        ),
        Command(
            "gsparse bench --dataset PubMed --dataset Computers --model gat "
            "--weights use --method EffectiveResistance --method DSpar --sparsity 0.8 "
            "--seeds 3 --table fastgat",
            "the new edge weights in the attention",
        ),
        Command("gsparse reproduce fastgat --full", "ten seeds of the cut per graph"),
    ),
    "converged": (
        Command(
            f"gsparse bench {_CITATION} --model gcn --epochs 2000 {_EDGES_DSPAR} "
            "--sparsity 0.5,0.8 --seeds 10 --table converged",
            "GCN on citation graphs, trained until scores stop rising",
        ),
    ),
    "cut": (
        Command(
            "gsparse bench --dataset Physics --dataset Computers --dataset GitHub "
            "--dataset tolokers --split 60-20-20 --model gat "
            "--method EffectiveResistance --sparsity 0.5,0.8 --seeds 100-102 --tune "
            "--table cut",
            "how many edges may go, on validation nodes of seeds that report nothing",
        ),
        Command(
            "gsparse bench --dataset cornell5 --split 60-20-20 --model gat "
            "--method EffectiveResistance --sparsity 0.3,0.5 --seeds 100-102 --tune "
            "--table cut"
        ),
    ),
    "inductive": (
        Command(
            "gsparse bench --dataset Computers --split inductive-60-20-20 --model gat "
            f"--model gcn {_EDGES} --sparsity 0.8,0.9 --seeds 5 --table inductive"
        ),
    ),
    "kedge": (
        Command("gsparse reproduce kedge-pubmed --full"),
        Command("gsparse reproduce kedge-citation --full"),
        Command("gsparse reproduce kedge-graphs --full"),
    ),
    "claims": tuple(
        Command(f"gsparse reproduce {name} --full")
        for name in (
            *(
                "kedge-labels",
                "kedge-depth",
                "prune-citation",
                "structured",
                "implicit",
            ),
            *("incremental", "interactions"),
        )
    ),
    "measurements": (
        _contest("attention --graphs PubMed,chung_lu_2m --memory"),
        _contest("attention --graphs tolokers,cornell5 --repeats 3 --memory"),
        _contest(
            "attention --graphs chung_lu_23m --contenders ours --repeats 3 --memory"
        ),
        _contest(
            "epoch --sizes gat --graphs tolokers,PubMed --threads 1,2 "
            "--allocators default,kept --repeats 7"
        ),
        _contest(
            "epoch --sizes gat --graphs Computers,cornell5,GitHub,Physics "
            "--threads 1,2 --allocators default,kept --repeats 3"
        ),
        _contest(
            "epoch --sizes gat --graphs chung_lu_2m --threads 1,2 "
            "--allocators default,kept --repeats 3"
        ),
        _contest(
            "epoch --sizes gcn,sage --graphs tolokers,PubMed --threads 2 "
            "--allocators kept --repeats 5"
        ),
        _contest("mask_fits", 1, "whole fits of masks"),
        _contest("short_fits", 1, "masks fitted for few epochs"),
        _contest("training_steps", 1),
        _contest("training_steps --graphs tolokers,cornell5 --sizes gcn", 1),
        _contest("compact_models", 1, "models that were made smaller"),
        _contest("scaling", about="epoch time against nodes"),
        _contest("large --threads 1", about="graph folders of 1e6 to 1e8 edges"),
        _contest("feature_error", about="features against epsilon"),
        _contest("bottleneck_cuts", 1, "planted bottlenecks"),
        _contest("bottleneck_cuts --graphs joined_random_graphs --sizes 0.667", 1),
        _contest("bottleneck_models", 1),
        _contest("bottleneck_scores", 1),
        _contest("sparse_features", 1),
        _contest("sparse_weights --threads 1,2", 2),
        _contest("resistance --graphs PubMed,tolokers,Physics --repeats 3 --limit 30"),
        _contest("resistance --graphs chung_lu --repeats 1 --limit 20 --memory"),
        _contest("laplacian_solvers"),
        Command(f"OMP_NUM_THREADS=1 {_FAMILIES} --limit 30 --graphs '{_JOINED}'"),
        Command(f"OMP_NUM_THREADS=1 {_FAMILIES} --limit 30 --graphs '{_OTHERS}'"),
        Command(
            f"OMP_NUM_THREADS=1 {_FAMILIES} --limit 10 --contenders jl,auto --graphs "
            "'joined by 2, 100,000 nodes,joined by 64, 100,000 nodes'"
        ),
    ),
}


def published_commands() -> list[Command]:
    """Return all commands, in the order of the documents."""
    return [command for group in COMMANDS.values() for command in group]


def format_command(command: Command) -> str:
    """Format a command as a line of code, folded between its options."""
    place = "docs/results"
    if command.graphs:
        place = f"{place}/{command.table}.jsonl"
    text = f"{command.text} --out {place}"
    lines = [f"# {command.about}"] if command.about else []
    line = ""
    for part in re.split(r" (?=--)", text):
        if line and len(line) + len(part) > WIDTH:
            lines.append(f"{line} \\")
            line = "  "
        line += part if not line.strip() else f" {part}"
    return "\n".join([*lines, line])


def _group(results: Results, name: str) -> str:
    text = "\n".join(map(format_command, COMMANDS[name]))
    return f"```\n{text}\n```"


BLOCKS: Blocks = {f"commands-{name}": partial(_group, name=name) for name in COMMANDS}

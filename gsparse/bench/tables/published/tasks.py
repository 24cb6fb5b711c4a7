"""Tables of tasks learned in turn and of planted interactions."""

from statistics import fmean

from gsparse.bench.tables.documents import Blocks, Results
from gsparse.bench.tables.grid_table import markdown, points
from gsparse.bench.tables.rows import select
from gsparse.train.incremental.fit_tasks import METHODS

NAMES = {
    "Cora": "Cora, five binary",
    "Cora-disjoint": "Cora, three disjoint",
    "CS": "CS, five disjoint",
    "Twitch": "Twitch DE, EN, FR",
}
MOST_TASKS = 5
SCORES = {
    "AEH": "AEH",
    "GEH": "8-GEH",
    "EAH": "EAH",
    "Saliency": "saliency of i times saliency of j",
}


def _tasks(results: Results) -> str:
    """Return scores after the last task, what was forgotten, and the storage."""
    lines = []
    for dataset, name in NAMES.items():
        here = select(results("incremental"), {"dataset": dataset})
        whole = fmean(it["storage"] for it in select(here, {"method": "Separate"}))
        for method in METHODS:
            rows = select(here, {"method": method})
            keys = [f"score_{i + 1}" for i in range(MOST_TASKS)]
            by_task = [
                f"{100 * fmean(it[key] for it in rows):.1f}" if key in rows[0] else ""
                for key in keys
            ]
            forgotten = 100 * fmean(it["forgetting"] for it in rows)
            share = 100 * fmean(it["storage"] for it in rows) / whole
            cells = [name, f"`{method}`", points(rows, 5), *by_task]
            lines.append([*cells, f"{forgotten:.1f}", f"{share:.0f} %"])
    titles = ["tasks", "method", "mean", *map(str, range(1, MOST_TASKS + 1))]
    return markdown([*titles, "forgotten, points", "of separate models"], lines)


def _planted(results: Results) -> str:
    """Return how many planted pairs each score finds, and the rank of the last."""
    here = select(results("interactions"), {"dataset": "planted rows"})
    lines = []
    for method, name in SCORES.items():
        rows = sorted(select(here, {"method": method}), key=lambda it: it["seed"])
        found = fmean(it["found"] for it in rows)
        ranks = ", ".join(str(it["worst_rank"]) for it in rows)
        lines.append([name, f"{found:.1f}", ranks])
    return markdown(("score", "found of 3", "last rank, by seed"), lines)


def _seconds(results: Results) -> str:
    """Return the seconds for all pairs of PubMed, and those of its training."""
    (row,) = select(results("interactions"), {"dataset": "PubMed"})
    pairs, seconds, before = (
        row[key] for key in ("num_pairs", "seconds", "train_seconds")
    )
    return (
        f"all {pairs:,} pairs take {seconds:.0f} s on one core of a busy machine, "
        f"after {before:.0f} s of training"
    )


BLOCKS: Blocks = {
    "incremental": _tasks,
    "interactions-rows": _planted,
    "interactions-seconds": _seconds,
}

"""Compare two sparsifiers from Python: rows on disk, a table from the rows."""

import tempfile
from pathlib import Path

from gsparse.bench import configs, format_blocks, grid_rows, run_grid, summarise, tasks

if __name__ == "__main__":  # worker processes, if you take more jobs, import this file
    grid = tasks(
        configs(
            datasets=["digits"],
            models=["gcn"],
            methods=["EffectiveResistance", "RandomEdge"],
            sparsities=[0.8],
            epochs=30,  # enough to see the loop; leave it out for the recipe's own
        ),
        seeds=range(2),
    )
    with tempfile.TemporaryDirectory() as folder:
        rows_file = Path(folder) / "bench.jsonl"
        for outcome in run_grid(grid, rows_file):
            task = outcome.task
            print(task.config.key.method, task.seed, outcome.error or "done")
        print(format_blocks(summarise(grid_rows(grid, rows_file))))

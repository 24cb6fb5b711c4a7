"""Compare two sparsifiers from Python: write rows to a file, and print a table."""

import tempfile
from pathlib import Path

from gsparse.bench import configs, format_blocks, grid_rows, run_grid, summarise, tasks

if __name__ == "__main__":  # with more jobs, worker processes import this file
    grid = tasks(
        configs(
            datasets=["digits"],
            models=["gcn"],
            methods=["EffectiveResistance", "RandomEdge"],
            sparsities=[0.8],
            epochs=30,  # omit it to use the epochs of the recipe
        ),
        seeds=range(2),
    )
    with tempfile.TemporaryDirectory() as folder:
        rows_file = Path(folder) / "bench.jsonl"
        for outcome in run_grid(grid, rows_file):
            task = outcome.task
            print(task.config.key.method, task.seed, outcome.error or "done")
        print(format_blocks(summarise(grid_rows(grid, rows_file))))

"""A self-contained HTML page of recorded rows: sentences, plots, tables, commands."""

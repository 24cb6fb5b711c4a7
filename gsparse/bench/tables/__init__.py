"""Rows of results, their summaries, and tables, plots and documents made of them."""

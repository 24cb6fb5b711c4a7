"""Whole rows, columns, heads, tiles and units."""

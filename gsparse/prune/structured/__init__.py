"""Structures: rows, columns, heads, tiles and units that are removed whole."""

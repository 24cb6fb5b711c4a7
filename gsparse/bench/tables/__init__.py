"""Rows of results, what they say together, and how that is shown."""

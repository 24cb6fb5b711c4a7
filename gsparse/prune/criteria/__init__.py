"""Importance of single weights, and of groups of them: one file a method."""

"""Incremental learning of tasks: rank updates and five baselines."""

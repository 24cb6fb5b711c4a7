"""Pruners that learn their masks while the model is trained."""

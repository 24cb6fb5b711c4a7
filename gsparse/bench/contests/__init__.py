"""Timing contests: contenders that take turns, and one command for all of them."""

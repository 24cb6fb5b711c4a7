"""Compiled loops for Laplacians, eliminations and spanning trees."""

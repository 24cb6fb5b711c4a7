"""Loops behind Laplacians, eliminations and spanning trees."""

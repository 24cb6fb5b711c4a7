"""Graph folders: undirected graphs on disk that are read in blocks."""

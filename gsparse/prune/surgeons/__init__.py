"""Second-order pruning: what goes, and how the rest answers."""

"""Tasks in turn: one network by rank updates, and five other ways."""

"""What a pruned model becomes: stored, quantised, exported, saved."""

"""Second-order pruners: the choice of weights and the update of the others."""

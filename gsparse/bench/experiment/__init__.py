"""One experiment and a grid of them: what is run, how, and on which machine."""

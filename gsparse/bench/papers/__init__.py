"""Claims of papers and their measurements, one module per paper.

Each has ``CLAIM``, its graphs ``DATA``, the ``MINUTES`` of a quick and of a full run on
one core, the name ``TABLE`` of its rows, ``runs(quick)``, what has to be trained, and
``findings(out, quick, root)``, what that shows.
"""

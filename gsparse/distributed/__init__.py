"""The same methods with many processes.

:func:`sparsify_folder` divides the work on a graph folder among the processes of
``torch.distributed``.
"""

from gsparse.distributed.folders import sparsify_folder

__all__ = ["sparsify_folder"]

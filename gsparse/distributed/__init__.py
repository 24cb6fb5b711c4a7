"""The same methods with many processes.

:func:`sparsify_folder` divides the work on a graph folder among the processes of
``torch.distributed``; :mod:`gsparse.distributed.spark` sparsifies edge tables of Apache
Spark.
"""

from gsparse.distributed import spark
from gsparse.distributed.folders import sparsify_folder

__all__ = ["spark", "sparsify_folder"]

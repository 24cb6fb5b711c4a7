"""The same methods with many processes.

:func:`sparsify_folder` divides the work on a graph folder among the processes of
``torch.distributed``; :func:`shared_mean`, :func:`broadcast_state` and
:func:`check_same` are for training with them; :mod:`gsparse.distributed.spark`
sparsifies edge tables of Apache Spark.
"""

from gsparse.distributed import spark
from gsparse.distributed.folders import sparsify_folder
from gsparse.distributed.training import broadcast_state, check_same, shared_mean

__all__ = [
    "broadcast_state",
    "check_same",
    "shared_mean",
    "spark",
    "sparsify_folder",
]

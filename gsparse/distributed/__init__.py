"""Methods of the package on several machines.

``gsparse.distributed.spark`` sparsifies edge tables of Apache Spark.
"""

from gsparse.distributed import spark

__all__ = ["spark"]

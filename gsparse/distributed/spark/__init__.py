"""Edge sparsifiers on tables of Apache Spark; needs the extra ``spark``."""

from gsparse.distributed.spark.cut_table import sparsify

__all__ = ["sparsify"]

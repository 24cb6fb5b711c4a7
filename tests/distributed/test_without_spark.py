"""Without PySpark, the error names the extra, and nothing else needs it."""

import subprocess
import sys

import pytest

from gsparse.distributed.spark import sparsify
from gsparse.transforms import RandomEdge


def test_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"pip install 'gsparse-gnn\[spark\]'"
    ):
        sparsify(None, RandomEdge(0.5))


def test_importing_the_room_does_not_import_pyspark():
    code = "import gsparse.distributed, sys; print('pyspark' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr

"""Prints a digest of the edges that effective resistance keeps, for other processes."""

import hashlib
import sys

import torch

from gsparse.data import chung_lu
from gsparse.transforms import EffectiveResistance


def digest(method, sparsity=0.6):
    """SHA-256 of the positions of the kept edges, its first 16 digits."""
    data = chung_lu(1500, 40_000, seed=31_607)
    cut = EffectiveResistance(sparsity=sparsity, method=method, seed=91_033)(data)
    return hashlib.sha256(cut.e_id.numpy().astype("<i8").tobytes()).hexdigest()[:16]


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    print(digest(sys.argv[2]))

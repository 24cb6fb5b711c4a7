"""Nearest-neighbour graph of handwritten digits, a data set without a download."""

import numpy as np
import torch
from torch_geometric.data import Data

from gsparse.data.erdos_renyi import both_directions

NUM_NEIGHBORS = 20


def digits() -> Data:
    r"""Build the nearest-neighbour graph of 1,797 handwritten digits.

    The images are the test part of *Optical Recognition of Handwritten Digits*
    (E. Alpaydin and C. Kaynak, 1998, https://doi.org/10.24432/C50P49, CC BY 4.0), which
    is included in scikit-learn. Two images are connected if one is among the 20 nearest
    neighbours of the other (by the squared distance of the 64 pixels; ties go to the
    smaller node id).

    Returns:
        Undirected graph with ``x`` (grey levels from 0 to 1) and ``y``, without masks.

    Raises:
        ImportError: If scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits  # heavy, and not a core dependency
    except ImportError as error:
        raise ImportError(
            "data set 'digits' needs scikit-learn; pip install 'gsparse-gnn[cli]'"
        ) from error
    bunch = load_digits()
    pixels = bunch.data.astype(np.int64)
    num_nodes = len(pixels)

    square = (pixels**2).sum(axis=1)
    distance = square[:, None] + square - 2 * (pixels @ pixels.T)
    np.fill_diagonal(distance, distance.max() + 1)
    near = np.argsort(distance, axis=1, kind="stable")[:, :NUM_NEIGHBORS]
    key = np.repeat(np.arange(num_nodes), NUM_NEIGHBORS), near.flatten()
    low, high = np.minimum(*key), np.maximum(*key)
    row, col = np.divmod(np.unique(low * num_nodes + high), num_nodes)
    return Data(
        x=torch.from_numpy(pixels / 16).float(),
        edge_index=both_directions(row, col, num_nodes),
        y=torch.from_numpy(bunch.target).long(),
        num_nodes=num_nodes,
    )

"""Nearest-neighbour graph of handwritten digits, a data set without a download."""

import gzip

import numpy as np
import torch
from torch_geometric.data import Data

from gsparse.data.cards import cards_folder
from gsparse.data.erdos_renyi import both_directions

NUM_NEIGHBORS = 20


def digits() -> Data:
    r"""Build the nearest-neighbour graph of 1,797 handwritten digits.

    The images are the test part of *Optical Recognition of Handwritten Digits*
    (E. Alpaydin and C. Kaynak, 1998, https://doi.org/10.24432/C50P49, CC BY 4.0), which
    come with the package: one line an image, 64 grey levels from 0 to 16 and the label.
    Two images are connected if one is among the 20 nearest neighbours of the other (by
    the squared distance of the 64 pixels; ties go to the smaller node id).

    Returns:
        Undirected graph with ``x`` (grey levels from 0 to 1) and ``y``, without masks.
    """
    with gzip.open(cards_folder() / "digits.csv.gz", "rt") as file:
        table = np.loadtxt(file, dtype=np.int64, delimiter=",")
    pixels, labels = table[:, :-1], table[:, -1]
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
        y=torch.from_numpy(labels.copy()),
        num_nodes=num_nodes,
    )

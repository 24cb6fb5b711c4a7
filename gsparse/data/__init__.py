"""Data sets, graph files, samplers, toy graphs and synthetic graphs."""

from gsparse.data.cards import Card, Variant, card, names
from gsparse.data.chung_lu import chung_lu
from gsparse.data.cluster_sampler import ClusterSampler
from gsparse.data.erdos_renyi import random_graph
from gsparse.data.folders.convert import convert_graph
from gsparse.data.folders.graph_folder import EdgeBlock, GraphFolder, open_graph
from gsparse.data.folders.neighbor_folder import NeighborFolder, open_neighbors
from gsparse.data.inductive import InductiveGraphs, inductive
from gsparse.data.io import read_graph, write_graph
from gsparse.data.load import load
from gsparse.data.neighbor_sampler import NeighborSampler
from gsparse.data.partition import partition_nodes
from gsparse.data.planted_partition import planted_partition
from gsparse.data.saved_dataset import SavedDataset, write_dataset
from gsparse.data.splits import split, split_name
from gsparse.data.toy import (
    barbell,
    complete,
    cycle,
    grid,
    house,
    karate,
    lollipop,
    path,
    star,
)

__all__ = [
    "Card",
    "ClusterSampler",
    "EdgeBlock",
    "GraphFolder",
    "InductiveGraphs",
    "NeighborFolder",
    "NeighborSampler",
    "SavedDataset",
    "Variant",
    "barbell",
    "card",
    "chung_lu",
    "complete",
    "convert_graph",
    "cycle",
    "grid",
    "house",
    "inductive",
    "karate",
    "load",
    "lollipop",
    "names",
    "open_graph",
    "open_neighbors",
    "partition_nodes",
    "path",
    "planted_partition",
    "random_graph",
    "read_graph",
    "split",
    "split_name",
    "star",
    "write_dataset",
    "write_graph",
]

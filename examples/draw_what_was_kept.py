"""Draw the edges of the karate club that a GCN needs to separate the two sides."""

import sys

import networkx as nx
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gsparse.nn import KEdge
from gsparse.train import GCN, FitConfig, fit, fit_mask, predict_logits

club = nx.karate_club_graph()
edge_index = to_undirected(torch.tensor(list(club.edges)).t())
side = torch.tensor([club.nodes[i]["club"] != "Mr. Hi" for i in club]).long()
known = torch.zeros(34, dtype=torch.bool)
known[[0, 33]] = True  # the instructor and the president, nobody else
x = torch.eye(34)[:, known]  # who is who of these two; others are known by their edges
data = Data(x, edge_index, y=side, train_mask=known, val_mask=known)

torch.manual_seed(3)
model = GCN(2, 16, 2, num_layers=3, dropout=0.2)
fit(model, data, config=FitConfig(epochs=100))
mask = KEdge(model, 2, sparsity=0.6, seed=3, edge_index=edge_index)
fit_mask(mask, data, keep=1.0)  # as few edges as keep every prediction

cut = mask.sparsify(data)
kept = {tuple(sorted(edge)) for edge in cut.edge_index.t().tolist()}
same = predict_logits(model, cut).argmax(1) == predict_logits(model, data).argmax(1)
print(
    f"{len(kept)} of {club.number_of_edges()} edges; {int(same.sum())} of 34 the same"
)

try:
    from matplotlib import pyplot
except ModuleNotFoundError:
    sys.exit("no picture: pip install matplotlib")

place = nx.kamada_kawai_layout(club, weight=None)
gone = [edge for edge in club.edges if tuple(sorted(edge)) not in kept]
figure, axes = pyplot.subplots(figsize=(7, 5))
nx.draw_networkx_edges(club, place, gone, edge_color="#cccccc", style=":", ax=axes)
nx.draw_networkx_edges(club, place, list(kept), width=1.8, ax=axes)
colours = ["#e69f00" if s else "#56b4e9" for s in side.tolist()]
nx.draw_networkx_nodes(
    club, place, node_color=colours, node_size=260, edgecolors="black", ax=axes
)
nx.draw_networkx_labels(club, place, font_size=8, ax=axes)
axes.set_axis_off()
figure.tight_layout()
figure.savefig("kept.png", dpi=110)

"""Compare sparsifiers on a graph and a model of your own, in memory."""

from torch import Tensor
from torch.nn import Module
from torch_geometric.nn import SAGEConv

from gsparse.bench import compare
from gsparse.data import planted_partition


class Net(Module):
    """Two SAGE layers; ``compare`` calls it as ``model(x, edge_index)``."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.first = SAGEConv(in_channels, 16)
        self.second = SAGEConv(16, num_classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.second(self.first(x, edge_index).relu(), edge_index)


if __name__ == "__main__":
    # Any Data with edge_index and y; without masks the split is 60-20-20.
    graph = planted_partition(
        num_nodes=300, num_classes=3, degree=8.0, homophily=0.8, num_features=8, seed=5
    )
    found = compare(
        graph,
        Net,
        methods=["EffectiveResistance", "RandomEdge"],
        sparsities=[0.8],
        seeds=2,
        epochs=30,  # omit it to train until the validation score stops rising
    )
    print(found)
    print({row["method"]: row["num_pairs_after"] for row in found.rows})

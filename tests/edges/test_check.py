"""What is no graph is refused by the name of the method that it was given to."""

import pytest
import torch
from torch_geometric.data import Batch, Data

from gsparse.edges import check_data
from gsparse.transforms import DSpar, FeatureSelect, RandomEdge


@pytest.mark.parametrize("transform", [RandomEdge, DSpar, FeatureSelect])
def test_a_tensor_is_no_graph(transform):
    said = rf"^{transform.__name__} takes a graph, a Data of PyG \(got Tensor\)"
    with pytest.raises(TypeError, match=said):
        transform(0.5)(torch.tensor([[0, 1], [1, 0]]))


def test_graphs_pass():
    data = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
    for given in (data, Batch.from_data_list([data])):
        check_data(given, "it")

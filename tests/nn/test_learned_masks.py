"""What holds for every learned mask, whatever its gates.

A new mask is tested here by adding one line to ``INSTANCES``.
"""

import copy
import inspect

import pytest
import torch
from torch_geometric.nn.models import GCN
from torch_geometric.utils import add_self_loops

from gsparse import nn
from gsparse.data import random_graph
from gsparse.edges import budget
from gsparse.nn.learned_mask import LearnedMask

DATA = random_graph(num_nodes=40, p=0.3, seed=88211)
INSTANCES = {
    "KEdge": lambda model, **o: nn.KEdge(model, 8, 0.7, seed=2, **o),
    "KEdge, own terms": lambda model: nn.KEdge(
        model, 8, 0.7, seed=2, edge_index=DATA.edge_index
    ),
    "SparseGAT": lambda model: nn.SparseGAT(model, 8, 0.7, seed=2),
    "NeuralSparse": lambda model: nn.NeuralSparse(model, 8, 0.7, k=2, seed=2),
    "PTDNet": lambda model: nn.PTDNet(model, 8, 0.7, scope="shared", seed=2),
}


def test_every_learned_mask_is_listed():
    public = {
        name
        for name in nn.__all__
        if inspect.isclass(getattr(nn, name))
        and issubclass(getattr(nn, name), LearnedMask)
    }
    assert public == {name.partition(",")[0] for name in INSTANCES}


@pytest.fixture(params=INSTANCES.values(), ids=INSTANCES)
def mask(request):
    torch.manual_seed(3)
    return request.param(GCN(8, 8, 2, out_channels=3))


def edge_set(data):
    return set(map(tuple, data.edge_index.t().tolist()))


class TestContract:
    def test_evaluation_equals_the_model_on_the_cut_graph(self, mask):
        cut = mask.eval().sparsify(DATA)
        torch.testing.assert_close(
            mask(DATA.x, DATA.edge_index),
            mask.model(DATA.x, cut.edge_index),
            rtol=1e-5,
            atol=1e-6,
        )

    def test_the_budget_is_exact_and_the_graph_stays_what_it_was(self, mask):
        cut = mask.sparsify(DATA)
        assert cut.num_edges == 2 * budget(DATA.num_edges // 2, 0.7)
        assert cut.is_undirected()
        assert cut.num_nodes == DATA.num_nodes
        assert cut.edge_index.equal(DATA.edge_index[:, cut.e_id])

    def test_the_order_of_the_edges_has_no_meaning(self, mask):
        shuffled = DATA.clone()
        order = torch.randperm(DATA.num_edges)
        shuffled.edge_index = DATA.edge_index[:, order]
        assert edge_set(mask.sparsify(shuffled)) == edge_set(mask.sparsify(DATA))
        found = mask.edge_probability(shuffled)
        torch.testing.assert_close(found, mask.edge_probability(DATA)[order])

    def test_self_loops_stay(self, mask):
        data = DATA.clone()
        data.edge_index, _ = add_self_loops(data.edge_index, num_nodes=40)
        cut = mask.sparsify(data)
        assert int((cut.edge_index[0] == cut.edge_index[1]).sum()) == 40

    def test_gates_learn_and_the_penalty_belongs_to_one_step(self, mask):
        out = mask(DATA.x, DATA.edge_index)
        (out.square().sum() + mask.penalty()).backward()
        learned = [
            name for name, p in mask.named_parameters() if p.grad.abs().sum() > 0
        ]
        assert any(name.startswith("model.") for name in learned)
        assert any(not name.startswith("model.") for name in learned)
        assert mask.penalty().item() == 0

    def test_copies_and_checkpoints(self, mask):
        mask(DATA.x, DATA.edge_index)  # leaves something behind, part of a graph
        twin = copy.deepcopy(mask)
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.add_(0.3)
        assert edge_set(twin.sparsify(DATA)) != edge_set(mask.sparsify(DATA))
        twin.load_state_dict(mask.state_dict())
        assert edge_set(twin.sparsify(DATA)) == edge_set(mask.sparsify(DATA))

    def test_equal_ranks_do_not_favour_low_node_numbers(self, mask):
        data = DATA.clone()
        data.x = torch.ones(40, 8)
        kept = mask.sparsify(data).edge_index.double().mean()
        assert kept == pytest.approx(float(DATA.edge_index.double().mean()), rel=0.3)

    def test_it_draws_weights_between_0_and_1(self, mask):
        groups = mask._edge_groups(DATA.edge_index, 40)
        for gate in mask.gates(DATA.x, groups):
            drawn = gate.variable.rsample()
            assert ((drawn >= 0) & (drawn <= 1)).all()
            opened = gate.variable.expected_l0
            assert ((opened >= 0) & (opened <= 1)).all()

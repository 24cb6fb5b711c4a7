"""Contract tests of learned masks.

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
from gsparse.edges import budget, undirected_pairs
from gsparse.nn import HardConcrete
from gsparse.nn.density import hold_density
from gsparse.nn.edge_mark import old_edge_mark
from gsparse.nn.gate import PlainGate
from gsparse.nn.learned_mask import LearnedMask

DATA = random_graph(num_nodes=40, p=0.3, seed=88211)


def free_gates(model):
    """Return a mask whose gates are as if they had been trained."""
    mask = nn.EdgeGates(model, sparsity=0.7, edge_index=DATA.edge_index)
    with torch.no_grad():
        mask.own.normal_(generator=torch.Generator().manual_seed(5))
    return mask


INSTANCES = {
    "KEdge": lambda model, **o: nn.KEdge(model, 8, 0.7, seed=2, **o),
    "SparseGAT": lambda model, **o: nn.SparseGAT(model, 8, 0.7, seed=2, **o),
    "NeuralSparse": lambda model, **o: nn.NeuralSparse(model, 8, 0.7, k=2, seed=2, **o),
    "PTDNet": lambda model, **o: nn.PTDNet(model, 8, 0.7, scope="shared", seed=2, **o),
    "EdgeGates": lambda model, **o: free_gates(model),
}
WITH_TERMS = ("KEdge", "SparseGAT", "NeuralSparse", "PTDNet", "EdgeGates")


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

    def test_the_edges_that_are_likeliest_to_be_open_stay(self, mask):
        """Of a choice of k neighbours: those of largest share, for one draw."""
        groups = mask._edge_groups(DATA.edge_index, 40)
        gate = mask.gates(DATA.x, groups)[0]
        if isinstance(mask, nn.NeuralSparse):
            score = groups.spread(gate.variable.share)
        else:
            score = mask.edge_probability(DATA)
        keep = torch.zeros(DATA.num_edges, dtype=torch.bool)
        keep[mask.sparsify(DATA).e_id] = True
        assert score[keep].min() >= score[~keep].max()
        assert score[keep].min() > score.min()

    def test_a_rank_is_the_log_odds_of_an_open_gate(self, mask):
        """Of a choice of k neighbours: of being drawn, in one draw."""
        gate = mask.gates(DATA.x, mask._edge_groups(DATA.edge_index, 40))[0]
        neural = isinstance(mask, nn.NeuralSparse)
        share = gate.variable.share if neural else gate.variable.expected_l0
        torch.testing.assert_close(gate.rank, share.logit(), rtol=1e-4, atol=1e-4)

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
                parameter.add_(
                    torch.linspace(0, 1, parameter.numel()).view_as(parameter)
                )
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


class Odds(LearnedMask):
    """Hard concrete gates of given logits, at the default temperature of 2 / 3."""

    def __init__(self, model, logits, **options):
        super().__init__(model, **options)
        self.logits = torch.nn.Parameter(logits)

    def gates(self, x, groups):
        logits = self.logits.view(len(self.names), -1)
        return [PlainGate(row, HardConcrete(row)) for row in logits]


def odds(**options):
    logits = torch.linspace(-6, 6, DATA.num_edges // 2)
    torch.manual_seed(3)
    return Odds(GCN(8, 8, 2, out_channels=3), logits, **options)


def test_with_a_penalty_the_gates_go_for_which_0_is_the_likeliest():
    """Of P(z = 0), P(z = 1) and the rest, with ties between them left out."""
    mask = odds(penalty=0.1)
    pairs = undirected_pairs(DATA.edge_index, 40)
    zero, one = (
        getattr(HardConcrete(mask.logits), name).tolist()
        for name in ("prob_zero", "prob_one")
    )
    expected = {
        number
        for number, (a, b) in enumerate(zip(zero, one, strict=True))
        if a < max(b, 1 - a - b)
    }
    kept = set(pairs.pair[mask.sparsify(DATA).e_id].tolist())
    assert kept == expected
    assert 0 < len(kept) < pairs.num_pairs
    # Some stay for what is between 0 and 1, and some for 1, though less is between.
    assert any(b < a < 1 - a - b for a, b in zip(zero, one, strict=True))


def test_a_gate_stays_whose_1_is_likelier_than_its_0_and_anything_between():
    """Cold gates have little between 0 and 1."""

    class Cold(Odds):
        def gates(self, x, groups):
            return [PlainGate(self.logits, HardConcrete(self.logits, 0.02))]

    mask = Cold(GCN(8, 8, 2), torch.full((DATA.num_edges // 2,), 0.05), penalty=1.0)
    gate = HardConcrete(mask.logits[0].detach(), 0.02)
    assert gate.prob_one > gate.prob_zero > 1 - gate.prob_zero - gate.prob_one
    assert mask.sparsify(DATA).num_edges == DATA.num_edges
    with torch.no_grad():
        mask.logits.neg_()
    assert mask.sparsify(DATA).num_edges == 0


@pytest.mark.parametrize("scope", ["shared", "layer"])
def test_the_penalty_is_its_factor_times_the_mean_probability_of_an_open_gate(scope):
    """The mean over the masks, where each layer has one."""
    mask = odds(penalty=0.3)
    if scope == "layer":
        size = DATA.num_edges // 2
        logits = torch.cat([torch.full((size,), 1.5), torch.full((size,), -2.0)])
        mask = Odds(GCN(8, 8, 2), logits, penalty=0.3, scope="layer")
    mask(DATA.x, DATA.edge_index)
    expected = 0.3 * HardConcrete(mask.logits).expected_l0.mean()
    torch.testing.assert_close(mask.penalty(), expected)


def test_the_density_is_held_by_an_augmented_lagrangian():
    """By hand; the target falls from 1 within 100 steps and then rests."""
    sparsity, steps = 0.6, torch.tensor(0.0, dtype=torch.float64)
    held = torch.tensor(0.25, dtype=torch.float64)
    multiplier = 0.25
    for step, density in [(0, 0.9), (49, 0.5), (99, 0.6), (450, 0.3)]:
        steps.fill_(step)
        gap = density - (1 - sparsity * min((step + 1) / 100, 1))
        expected = multiplier * gap + 50 * gap**2 / 2
        value = hold_density(steps.new_tensor(density), sparsity, held, steps)
        assert value.item() == pytest.approx(expected, abs=1e-7)
        multiplier += 0.02 * gap
        assert held.item() == pytest.approx(multiplier, abs=1e-7)
        assert steps.item() == step + 1


@pytest.mark.parametrize("name", WITH_TERMS)
class TestEdgeTerms:
    def make(self, name):
        torch.manual_seed(3)
        return INSTANCES[name](GCN(8, 8, 2, out_channels=3), edge_index=DATA.edge_index)

    def test_a_term_keeps_its_edge_and_no_other(self, name):
        """Terms of 50 for the budget's number of edges decide which ones are kept."""
        mask = self.make(name)
        pairs = undirected_pairs(DATA.edge_index, DATA.num_nodes)
        left = budget(pairs.row.numel(), 0.7)
        chosen = torch.randperm(pairs.row.numel())[:left]
        with torch.no_grad():
            mask.own.zero_()
            mask.own[chosen] = 50.0
        kept = edge_set(mask.eval().sparsify(DATA))
        ends = torch.stack([pairs.row, pairs.col])[:, chosen]
        wanted = set(map(tuple, ends.t().tolist()))
        assert {pair for pair in kept if pair[0] < pair[1]} == wanted

    def test_terms_are_trained(self, name):
        mask = self.make(name).train()
        mask(DATA.x, DATA.edge_index).square().sum().backward()
        assert mask.own.grad.abs().sum() > 0

    def test_another_graph_is_refused(self, name):
        other = random_graph(num_nodes=40, p=0.3, seed=4)
        with pytest.raises(ValueError, match=rf"{name} was made for the graph of its"):
            self.make(name)(other.x, other.edge_index)

    def test_terms_of_another_graph_are_refused_after_loading(self, name):
        mask, other = self.make(name).eval(), self.make(name)
        mask(DATA.x, DATA.edge_index)  # the graph is known by now
        other.own_graph += 1
        mask.load_state_dict(other.state_dict())
        with pytest.raises(ValueError, match=r"was made for the graph of its"):
            mask(DATA.x, DATA.edge_index)

    def test_marks_of_version_0_2_are_read(self, name):
        mask = self.make(name).eval()
        pairs = undirected_pairs(DATA.edge_index, DATA.num_nodes)
        mask.own_graph.copy_(old_edge_mark(pairs.row, pairs.col))
        mask(DATA.x, DATA.edge_index)


def test_no_edge_no_term():
    none = torch.empty(2, 0, dtype=torch.long)
    with pytest.raises(ValueError, match=r"'edge_index' must have an edge"):
        nn.KEdge(GCN(8, 8, 2), 8, 0.7, edge_index=none)


def test_graphs_that_differ_by_two_edges_differ():
    """These two had the same mark in version 0.2."""
    first = [(0, 1), (0, 5), (1, 2), (2, 6), (3, 7), (4, 8)]
    second = [(0, 4), (0, 5), (1, 2), (2, 5), (3, 7), (4, 8)]
    ends = [torch.tensor(it).t() for it in (first, second)]
    both = [torch.cat([it, it.flip(0)], dim=1) for it in ends]
    mask = nn.EdgeGates(GCN(8, 8, 2), sparsity=0.5, edge_index=both[0]).eval()
    mask(torch.ones(9, 8), both[0])
    with pytest.raises(ValueError, match=r"make a new mask for it"):
        mask(torch.ones(9, 8), both[1])


def test_a_mask_does_not_wrap_a_mask_that_it_would_not_train():
    inner = nn.FeatureMask(GCN(8, 8, 2), 8, 0.5)
    with pytest.raises(TypeError, match=r"got FeatureMask\); wrap it the other way"):
        nn.KEdge(inner, 8, 0.7)


def test_gates_of_edges_need_the_graph():
    with pytest.raises(
        ValueError, match=r"'edge_index' must be the graph .* use KEdge"
    ):
        nn.EdgeGates(GCN(8, 8, 2), sparsity=0.7)


def test_each_layer_has_terms_of_its_own():
    net = GCN(8, 8, 2, out_channels=3)
    mask = nn.PTDNet(net, 8, 0.7, seed=2, edge_index=DATA.edge_index)
    assert mask.own.shape[1] == 2
    with torch.no_grad():
        mask.own[:, 1] = torch.linspace(-50, 50, mask.own.size(0))
    first, second = (edge_set(cut) for cut in mask.eval().sparsify(DATA))
    pairs = undirected_pairs(DATA.edge_index, DATA.num_nodes)
    ends = torch.stack([pairs.row, pairs.col])[:, -9:]
    last = set(map(tuple, ends.t().tolist()))
    assert last <= second
    assert not last <= first

"""Groups by their definitions, entry by entry; sums and masks over them."""

from types import SimpleNamespace

import pytest
import torch
from torch_geometric.nn import GATConv, GATv2Conv, SAGEConv, TransformerConv
from torch_geometric.nn.models import GAT, GCN, GIN, GraphSAGE

from gsparse.compaction import channel_groups, compact
from gsparse.data import random_graph
from gsparse.prune import Magnitude, Pruner, WeightMasks
from gsparse.prune.structured.groups import (
    expand,
    group_means,
    group_norms,
    group_sizes,
    group_sums,
    num_groups,
)
from gsparse.prune.structured.structures import (
    Blocks,
    Columns,
    CrossbarColumns,
    CrossbarRows,
    Heads,
    Rows,
    Units,
)

DATA = random_graph(num_nodes=25, p=0.2, seed=41893)


def matrices(seed=83417):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a": (7, 5), "b": (4, 9), "c": (1, 3)}
    return {k: torch.randn(s, generator=generator) for k, s in shapes.items()}


SAME = {  # what entries (r, c) of one matrix must share to be in one group
    Rows(): lambda r, c: r,
    Columns(): lambda r, c: c,
    Blocks(3, 2): lambda r, c: (r // 3, c // 2),
    CrossbarRows(3, 2): lambda r, c: (r // 3, c // 2, r),
    CrossbarColumns(3, 2): lambda r, c: (r // 3, c // 2, c),
}


@pytest.mark.parametrize("structure", SAME, ids=repr)
def test_entries_share_a_group_as_defined(structure):
    found = structure.groups(matrices())
    numbers = {}
    for name, group in found.items():
        assert group.dtype == torch.long
        assert group.shape == matrices()[name].shape
        for r, row in enumerate(group.tolist()):
            for c, number in enumerate(row):
                key = (name, SAME[structure](r, c))
                assert numbers.setdefault(key, number) == number
    assert sorted(numbers.values()) == list(range(num_groups(found)))


@pytest.mark.parametrize("kind", [CrossbarRows, CrossbarColumns])
def test_the_lines_of_a_crossbar_make_up_its_block(kind):
    lines = kind(3, 2).groups(matrices())
    blocks = Blocks(3, 2).groups(matrices())
    for name, line in lines.items():
        for number in line.unique():
            assert len(blocks[name][line == number].unique()) == 1


@pytest.mark.parametrize(
    ("conv", "targets"),
    [
        (GATConv(8, 3, heads=4, bias=False), ["lin.weight", "att_src", "att_dst"]),
        (GATv2Conv(8, 3, heads=4, bias=False), ["lin_l", "lin_r", "att"]),
        (TransformerConv(8, 3, heads=4), ["lin"]),
    ],
    ids=["GAT", "GATv2", "Transformer"],
)
def test_a_head_is_gone_from_the_output_and_the_others_are_not(conv, targets):
    for bias in (p for name, p in conv.named_parameters() if name.endswith("bias")):
        bias.data.zero_()
    dense = conv(DATA.x, DATA.edge_index).view(-1, 4, 3)
    masks = WeightMasks(conv, targets)
    groups = Heads(4).groups(masks.parameters())
    assert num_groups(groups) == 4
    kept = torch.tensor([True, False, True, True])
    masks.set(expand(kept, groups))
    out = conv(DATA.x, DATA.edge_index).view(-1, 4, 3)
    assert not out[:, 1].any()
    torch.testing.assert_close(out[:, kept], dense[:, kept])


def test_heads_are_those_of_their_layer():
    shapes = {
        "convs.0.lin.weight": (4, 3),
        "convs.0.att_src": (1, 2, 2),
        "convs.0.bias": (4,),
        "convs.1.lin.weight": (2, 4),
    }
    found = Heads(2).groups({name: torch.zeros(s) for name, s in shapes.items()})
    assert found["convs.0.lin.weight"][:, 2].tolist() == [0, 0, 1, 1]
    assert found["convs.0.att_src"].tolist() == [[[0, 0], [1, 1]]]
    assert found["convs.0.bias"].tolist() == [0, 0, 1, 1]
    assert found["convs.1.lin.weight"][:, 0].tolist() == [2, 3]


def channel_group(size, *producers, kind="hidden"):
    return SimpleNamespace(kind=kind, size=size, producers=producers, consumers=())


def test_a_unit_goes_from_all_its_producers():
    torch.manual_seed(30211)
    conv = SAGEConv(8, 6, bias=False)
    made = channel_group(6, ("lin_l.weight", 0, 0), ("lin_r.weight", 0, 0))
    pruner = Pruner(conv, Magnitude(), sparsity=0.5, structure=Units([made]))
    out = conv(DATA.x, DATA.edge_index)
    assert int((~out.any(dim=0)).sum()) == 3
    assert pruner.masks["lin_l.weight"].equal(pruner.masks["lin_r.weight"])
    norms = sum(p.detach().square().sum(1) for p in pruner.masks.parameters().values())
    kept = pruner.masks["lin_l.weight"].any(dim=1)
    assert kept.nonzero().flatten().equal(norms.topk(3).indices.sort().values)


def test_units_start_where_they_are_said_to():
    weights = {"a": torch.zeros(2, 5), "b": torch.zeros(5), "c": torch.zeros(2, 2)}
    first = channel_group(2, ("a", 1, 0), ("b", 0, 0), ("elsewhere", 0, 0))
    second = channel_group(2, ("a", 1, 3), ("b", 0, 2))
    last = channel_group(2, ("c", 0, 0), kind="output")
    unknown = channel_group(3, ("elsewhere", 0, 0))
    found = Units([first, last, unknown, second]).groups(weights)
    assert found["a"].tolist() == [[0, 1, -1, 2, 3]] * 2
    assert found["b"].tolist() == [0, 1, 2, 3, -1]
    assert found["c"].unique().tolist() == [-1]


def test_units_of_attention_count_through_the_heads():
    weights = {"w": torch.zeros(6, 3), "att": torch.zeros(1, 2, 3)}
    made = channel_group(6, ("w", 0, 0), ("att", 1, 0))
    stays = channel_group(6, ("w", 0, 0))
    stays.fixed = "its layer normalises over all channels"
    found = Units([made]).groups(weights)
    assert found["w"][:, 2].tolist() == [0, 1, 2, 3, 4, 5]
    assert found["att"].tolist() == [[[0, 1, 2], [3, 4, 5]]]
    assert found["att"].flatten(1)[0].equal(found["w"][:, 0])
    assert num_groups(Units([stays]).groups(weights)) == 0


@pytest.mark.parametrize("kind", [GCN, GraphSAGE, GIN, GAT])
def test_units_of_a_traced_model_are_gone_after_compaction(kind):
    torch.manual_seed(30211)
    heads = 2 if kind is GAT else 1
    options = {"heads": heads} if kind is GAT else {}
    model = kind(8, 12, 3, out_channels=3, **options).eval()
    example = (DATA.x, DATA.edge_index)
    made = channel_groups(model, example)
    names = {it.parameter for group in made[1:-1] for it in group.producers}
    units = Units(made)
    pruner = Pruner(
        model,
        Magnitude(),
        sparsity=0.5,
        targets=lambda name, p: name in names,
        structure=units,
    )
    groups = units.groups(pruner.masks.parameters())
    kept = group_sums({n: pruner.masks[n] for n in groups}, groups) > 0
    # Every head that is left keeps as many units as the one that keeps most.
    expected = 0
    for part in kept.split([it.size for it in made if it.kind == "hidden"]):
        left = part.view(heads, -1).sum(1)
        expected += int(left.amax() * (left > 0).sum())
    out = model(*example)
    small = compact(model, example)
    torch.testing.assert_close(small(*example), out)
    left = sum(it.size for it in channel_groups(small, example) if it.kind == "hidden")
    assert left == expected < num_groups(groups)


def test_structures_are_values():
    assert Blocks(2, 3) == Blocks(2, 3) != Blocks(3, 2)
    assert repr(Heads(2)) == "Heads(heads=2)"
    with pytest.raises(AttributeError):
        Rows().x = 1


def with_a_hole():
    """Groups 0 to 2 over two parameters, and entries in none."""
    groups = {"a": torch.tensor([[0, 1], [-1, 1]]), "b": torch.tensor([2, 0, -1])}
    values = {"a": torch.tensor([[1.0, 2.0], [9.0, 3.0]]), "b": torch.tensor([4, 5, 9])}
    return values, groups


def test_sums_by_hand():
    values, groups = with_a_hole()
    assert group_sums(values, groups).tolist() == [6, 5, 4]
    assert group_sizes(groups).tolist() == [2, 2, 1]
    assert group_means(values, groups).tolist() == [3, 2.5, 4]
    squares = torch.tensor([26.0, 13.0, 16.0], dtype=torch.float64)
    torch.testing.assert_close(group_norms(values, groups), squares.sqrt())


@pytest.mark.parametrize("structure", SAME, ids=repr)
def test_groups_share_out_all_entries(structure):
    groups = structure.groups(matrices())
    assert int(group_sizes(groups).sum()) == 7 * 5 + 4 * 9 + 3
    total = torch.cat([it.flatten() for it in matrices().values()]).double().norm()
    torch.testing.assert_close(group_norms(matrices(), groups).norm(), total)


def test_norms_of_rows_are_those_of_torch():
    found = group_norms(matrices(), Rows().groups(matrices()))
    expected = torch.cat([it.double().norm(dim=1) for it in matrices().values()])
    torch.testing.assert_close(found, expected)


def test_small_values_are_not_lost_beside_large_ones():
    values = {"a": torch.tensor([[1e8, 1.0, -1e8, 1.0]])}
    assert group_sums(values, Rows().groups(values)).tolist() == [2]


def test_masks_keep_what_is_in_no_group():
    _, groups = with_a_hole()
    found = expand(torch.tensor([False, True, False]), groups)
    assert found["a"].tolist() == [[False, True], [True, True]]
    assert found["b"].tolist() == [False, False, True]


class TestRefusals:
    @pytest.mark.parametrize("structure", SAME, ids=repr)
    def test_what_is_no_matrix(self, structure):
        message = r"'att' must be a matrix for .* \(got shape \[1, 2, 2\]\); leave it"
        with pytest.raises(ValueError, match=message):
            structure.groups({"att": torch.zeros(1, 2, 2)})

    def test_heads_that_do_not_divide(self):
        message = r"dimension 0 of 'w' must be a multiple of heads=3 \(got shape \[4, 2"
        with pytest.raises(ValueError, match=message):
            Heads(3).groups({"w": torch.zeros(4, 2)})
        with pytest.raises(ValueError, match="dimension 1 of 'att' must equal heads=2"):
            Heads(2).groups({"att": torch.zeros(1, 4, 2)})
        with pytest.raises(ValueError, match=r"'w' must have shape .* \(got \[2, 4, 2"):
            Heads(2).groups({"w": torch.zeros(2, 4, 2)})

    @pytest.mark.parametrize("value", [0, -1, 2.0, True])
    def test_sizes_that_are_no_counts(self, value):
        with pytest.raises(ValueError, match="'heads' must be a whole number from 1"):
            Heads(value)
        with pytest.raises(ValueError, match="'columns' must be a whole number from 1"):
            Blocks(2, value)
        with pytest.raises(ValueError, match="'rows' must be a whole number from 1"):
            CrossbarRows(value, 2)

    def test_units_that_do_not_fit(self):
        weights = {"a": torch.zeros(4, 2)}
        message = r"got 3 units from 2 along dimension 0 of 'a' of shape \[4, 2\]"
        with pytest.raises(ValueError, match=message):
            Units([channel_group(3, ("a", 0, 2))]).groups(weights)
        with pytest.raises(ValueError, match="must lie within their parameters"):
            Units([channel_group(2, ("a", 2, 0))]).groups(weights)
        made = channel_group(4, ("a", 0, 0))
        with pytest.raises(ValueError, match=r"must not overlap .* of 'a'"):
            Units([made, made]).groups(weights)

    def test_values_and_choices_of_other_groups(self):
        values, groups = with_a_hole()
        with pytest.raises(ValueError, match=r"have groups, \['a', 'b'\] \(got \['a'"):
            group_sums({"a": values["a"]}, groups)
        with pytest.raises(
            ValueError, match=r"of 'b' must have the shape .* \[3\] \(g"
        ):
            group_sums(values | {"b": torch.zeros(2)}, groups)
        with pytest.raises(ValueError, match=r"'kept' must be bool of shape \[3\]"):
            expand(torch.ones(2, dtype=torch.bool), groups)
        with pytest.raises(ValueError, match=r"\(got torch.float32, \[3\]\)"):
            expand(torch.ones(3), groups)

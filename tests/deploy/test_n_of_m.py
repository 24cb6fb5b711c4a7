"""N of M: the pattern against its definition, and the limits of torch's kernels."""

import math

import pytest
import torch
from torch.sparse._semi_structured_conversions import (
    sparse_semi_structured_from_dense_cutlass,
    sparse_semi_structured_to_dense_cutlass,
)
from torch_geometric.nn import GAT, GCN

from gsparse.deploy.n_of_m import (
    keep_n_of_m,
    prune_n_of_m,
    semi_structured_reason,
    to_semi_structured,
)


def random_importances(rows, columns, seed, levels=None):
    generator = torch.Generator().manual_seed(seed)
    if levels is None:
        return torch.rand(rows, columns, generator=generator)
    return torch.randint(levels, (rows, columns), generator=generator).float()


def reference(importances, n, m):
    """The definition, group by group: best first, earlier among equals."""
    keep = torch.zeros(importances.shape, dtype=torch.bool)
    for i, row in enumerate(importances.tolist()):
        for first in range(0, len(row), m):
            group = row[first : first + m]
            best = sorted(range(len(group)), key=lambda j: (-group[j], j))
            for j in best[: math.ceil(len(group) * n / m)]:
                keep[i, first + j] = True
    return keep


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 2), (1, 4), (4, 8), (3, 3), (3, 5)])
@pytest.mark.parametrize("columns", [1, 3, 4, 8, 13, 30])
@pytest.mark.parametrize("levels", [None, 3])
def test_matches_its_definition(n, m, columns, levels):
    importances = random_importances(5, columns, 70297, levels)
    assert keep_n_of_m(importances, n, m).equal(reference(importances, n, m))


def test_no_row_loses_all():
    for columns in range(1, 10):
        keep = keep_n_of_m(random_importances(6, columns, 48611), 1, 8)
        assert keep.any(1).all()


def test_what_is_gone_goes_first():
    importances = torch.tensor([[-torch.inf, 0.1, -torch.inf, -3.0, -torch.inf, 0.0]])
    assert keep_n_of_m(importances).tolist() == [
        [False, True, False, True, False, True]
    ]


def test_no_columns_and_no_rows():
    assert keep_n_of_m(torch.zeros(3, 0)).shape == (3, 0)
    assert keep_n_of_m(torch.zeros(0, 6)).shape == (0, 6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_torch_packs_two_of_four_without_loss(dtype):
    weight = random_importances(32, 128, 15991).add(0.5).to(dtype)
    pruned = weight * keep_n_of_m(weight.float())
    packed = sparse_semi_structured_from_dense_cutlass(pruned)
    assert packed[0].shape == (32, 64)
    assert sparse_semi_structured_to_dense_cutlass(*packed).equal(pruned)


def test_torch_packs_float32_as_one_of_two_only():
    weight = random_importances(32, 128, 15991).add(0.5)
    for n, m, whole in [(2, 4, False), (1, 2, True)]:
        pruned = weight * keep_n_of_m(weight, n, m)
        packed, _ = sparse_semi_structured_from_dense_cutlass(pruned)
        by_pair = pruned.view(32, 64, 2).sum(2)
        assert packed.equal(by_pair) is whole
    assert "float16 or bfloat16" in semi_structured_reason((64, 64), torch.float32)


@pytest.mark.parametrize(
    ("shape", "dtype", "text"),
    [
        ((16, 1433), torch.float16, r"columns must be a multiple of 16 \(got 1433\)"),
        ((7, 16), torch.bfloat16, r"rows must be a multiple of 16 \(got 7\)"),
        ((0, 16), torch.float16, r"rows must be a multiple of 16 \(got 0\)"),
        ((1, 8, 8), torch.float16, r"a matrix \(got shape \[1, 8, 8\]\)"),
        ((64, 64), torch.float64, r"\(got torch.float64\); see model.half\(\)"),
    ],
)
def test_reasons(shape, dtype, text):
    with pytest.raises(ValueError, match=text):
        raise ValueError(semi_structured_reason(shape, dtype))


def test_what_has_no_reason_passes_torch_s_own_shape_check():
    kind = torch.sparse.SparseSemiStructuredTensorCUSPARSELT
    for rows in range(8, 72, 8):
        for dtype in (torch.float16, torch.bfloat16):
            limit = kind._DTYPE_SHAPE_CONSTRAINTS[dtype]
            fits = rows % limit.sparse_min_rows == 0
            fits &= rows % limit.sparse_min_cols == 0
            assert (semi_structured_reason((rows, rows), dtype) is None) == fits


def test_model_has_the_pattern_and_keeps_its_values():
    torch.manual_seed(26893)
    model = GCN(10, 8, num_layers=3, out_channels=3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    masks = prune_n_of_m(model)
    assert set(masks.targets) == {"convs.0.lin.weight", "convs.1.lin.weight"}
    for i in (0, 1):
        full = before[f"convs.{i}.lin.weight"]
        kept = full * keep_n_of_m(full.abs())
        assert model.convs[i].lin.weight.equal(kept)
    # 10 inputs: 2 of 4, 2 of 4 and 1 of 2; 8 inputs: 2 of 4 twice.
    assert masks.report().num_kept == 8 * 5 + 8 * 4
    masks.undo()
    for name, parameter in model.named_parameters():
        assert parameter.equal(before[name])


def test_importances_of_a_caller_decide():
    model = GCN(8, 4, num_layers=2, out_channels=3)
    importances = {"convs.0.lin.weight": random_importances(4, 8, 92119)}
    masks = prune_n_of_m(model, 1, 4, importances)
    kept = keep_n_of_m(importances["convs.0.lin.weight"], 1, 4)
    assert masks["convs.0.lin.weight"].equal(kept)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"n": 0}, ValueError, r"'n' must be from 1 to 'm' \(got n=0, m=4\)"),
        ({"n": 5}, ValueError, r"got n=5, m=4"),
        ({"m": 4.0}, TypeError, r"'m' must be an int \(got 4.0\)"),
        ({"n": True}, TypeError, r"'n' must be an int \(got True\)"),
        ({"importances": {"lin": torch.ones(2)}}, ValueError, r"\(got \['lin'\]\)"),
        (
            {"importances": {"convs.0.lin.weight": torch.ones(2, 2)}},
            ValueError,
            r"must have shape \[4, 8\] \(got \[2, 2\]\)",
        ),
        (
            {"importances": {"convs.0.lin.weight": torch.full((4, 8), torch.nan)}},
            ValueError,
            r"must not be NaN \(got 32\)",
        ),
        ({"targets": "att_src"}, ValueError, r"must be a matrix .* by 'exclude'"),
        ({"targets": "nothing"}, ValueError, "'targets' and 'exclude' must leave"),
    ],
)
def test_refusals_leave_no_mask(options, error, text):
    model = GAT(8, 4, num_layers=2, out_channels=3, heads=2)
    before = list(model.state_dict())
    with pytest.raises(error, match=text):
        prune_n_of_m(model, **options)
    assert list(model.state_dict()) == before
    assert type(model.convs[0].lin).__name__ == "Linear"


def test_importances_must_be_a_matrix():
    with pytest.raises(ValueError, match=r"must be a matrix \(got shape \[4\]\)"):
        keep_n_of_m(torch.ones(4))


def test_the_cpu_is_refused():
    model = GCN(16, 16, num_layers=2, out_channels=3)
    prune_n_of_m(model)
    with pytest.raises(ValueError, match=r"on a CUDA device.* \(got cpu\).*to_sparse"):
        to_semi_structured(model)


@pytest.mark.cuda
@pytest.mark.skipif(
    not torch.cuda.is_available() or not torch.backends.cusparselt.is_available(),
    reason="needs CUDA with cuSPARSELt",
)
def test_gpu_multiplies_by_what_is_left():
    torch.manual_seed(84347)
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 7)
    )
    model = model.cuda().half()
    prune_n_of_m(model, targets="weight")
    x = torch.randn(48, 64, device="cuda", dtype=torch.float16)
    found = to_semi_structured(model)
    assert found.converted == ("0.weight",)
    assert found.skipped == {"2.weight": "rows must be a multiple of 16 (got 7)"}
    with torch.no_grad():
        torch.testing.assert_close(found.model(x), model(x), rtol=2e-2, atol=2e-3)
    assert not isinstance(model[0].weight, type(found.model[0].weight))
    with pytest.raises(ValueError, match="must fit 2 of 4"):
        to_semi_structured(model.float())

"""No operator reads or writes outside of its arrays for any input."""

import pytest
import torch
from torch.autograd import forward_ad

from gsparse.kernels import Graph, gat_attention, gatv2_attention
from gsparse.kernels.attention.operators import structure
from gsparse.kernels.checks import check_once
from gsparse.kernels.csr_pattern import CsrPattern, walks
from gsparse.kernels.dropout import dropout
from gsparse.kernels.gates import draw_gates
from gsparse.kernels.normalise_op import normalised_reference, normalised_values
from gsparse.kernels.pair_scores import pair_scores
from gsparse.kernels.sparse_weight import SparseWeight, sparse_linear
from gsparse.kernels.spmm_op import sddmm, spmm_values

N, H, C = 7, 2, 3
GENERATOR = torch.Generator().manual_seed(64853)
EDGES = torch.randint(N, (2, 20), generator=GENERATOR)
GRAPH = Graph.from_edge_index(EDGES, N)
WALK, BACK = walks(GRAPH)
E = GRAPH.num_edges
PAIR = [torch.randperm(E, generator=GENERATOR) for _ in range(2)]
SPARSE = SparseWeight.from_dense(torch.eye(4, 40)[:, torch.arange(39, -1, -1)])
NONE = torch.empty(0)


def numbers(*shape):
    return torch.rand(*shape, generator=GENERATOR)


X, ALPHA, ATT, WEIGHT = numbers(N, H, C), numbers(N, H), numbers(2, H, C), numbers(E)
SEED, RULE = torch.tensor(5), (0.2, 0.5)
OPS = torch.ops.gsparse
GAT = (structure(GRAPH), ALPHA, ALPHA.clone(), X, WEIGHT, NONE, numbers(H * C))
GAT_ATT = (structure(GRAPH), NONE, NONE, X, NONE, ATT, NONE)
V2 = (structure(GRAPH), X, X.clone(), ATT[0], WEIGHT)

#: Arguments that fit each other, of every operator.
CALLS = {
    "gat_forward": (*GAT, SEED, *RULE, True),
    "gat_forward by att": (*GAT_ATT, SEED, *RULE, True),
    "gat_backward": (
        *GAT,
        SEED,
        OPS.gat_forward(*GAT, SEED, *RULE, True),
        X.clone(),
        *RULE,
        True,
    ),
    "gat_backward by att": (
        *GAT_ATT,
        SEED,
        OPS.gat_forward(*GAT_ATT, SEED, *RULE, True),
        X.clone(),
        *RULE,
        False,
    ),
    "gatv2_forward": (*V2, SEED, *RULE),
    "gatv2_backward": (
        *V2,
        SEED,
        OPS.gatv2_forward(*V2, SEED, *RULE),
        X.clone(),
        *RULE,
        True,
    ),
    "spmm": (WEIGHT, numbers(N, 5), WALK, BACK),
    "spmm transposed": (WEIGHT, numbers(N, 5), BACK, WALK),
    "sddmm": (numbers(N, 5), numbers(N, 5), WALK, BACK),
    "spmm_grads": (WEIGHT, numbers(N, 5), numbers(N, 5), WALK, BACK),
    "normalise": (WEIGHT, WALK, BACK),
    "normalise_grads": (WEIGHT, WEIGHT.clone(), numbers(N), WALK, BACK),
    "pair_scores": (
        numbers(N, 5),
        numbers(H, 5),
        numbers(N, H),
        numbers(N, H),
        PAIR,
        WALK,
        BACK,
    ),
    "pair_grads": (numbers(E, H), numbers(N, 5), numbers(H, 5), PAIR, WALK, BACK),
    "sparse_linear": (
        numbers(70, 40),
        SPARSE.starts,
        SPARSE.indptr,
        SPARSE.places,
        SPARSE.values,
        numbers(4),
    ),
    "draw_gates": (numbers(9, 2), numbers(9), -0.1, 1.1, 10.0),
}


def run(name, arguments):
    return getattr(OPS, name.split()[0])(*arguments)


def sizes(tensor):
    """The tensor with one row more, one less, none, and another dimension."""
    rows = torch.cat([tensor, tensor[-1:]]) if tensor.dim() else tensor
    made = [rows, tensor[:-1], tensor[:0], tensor.unsqueeze(-1)]
    if tensor.dim() > 1:
        made += [tensor[:, :-1], torch.cat([tensor, tensor[:, -1:]], dim=1)]
    return made


def contents(tensor):
    """The same size with one entry far out, at the front and at the back."""
    for place in (0, -1):
        for value in (10**6, -(10**6)):
            other = tensor.clone()
            other[place] = value
            yield other


#: Changes that stay inside all arrays, as (argument, tensor in it, its new shape).
_IDS = {(0, 2, (E,))}  # an id below 0 is an added self-loop; unread without weights
_WEIGHTS = {(4, 0, (E + 1,)), (4, 0, (0,))}  # more than are read, or none
_BIAS = {(6, 0, (0,))}


def _walks(place):
    """Pieces of no rows, or two in one; no places where values are in order."""
    pieces = {(at, 3, (size,)) for at in (place, place + 1) for size in (64, 66)}
    return pieces | {(place + 1, 2, (0,))}


HARMLESS = {
    "gat_forward": _IDS | _WEIGHTS | _BIAS,
    "gat_forward by att": _IDS,
    "gat_backward": _IDS | _WEIGHTS | _BIAS,
    "gat_backward by att": _IDS,
    "gatv2_forward": _IDS | _WEIGHTS,
    "gatv2_backward": _IDS | _WEIGHTS,
    "spmm": _walks(2) | {(1, 0, (N, 4)), (1, 0, (N, 6))},
    "spmm transposed": _walks(2) - {(3, 2, (0,))}
    | {(2, 2, (0,)), (1, 0, (N, 4)), (1, 0, (N, 6))},
    "sddmm": _walks(2),
    "spmm_grads": _walks(3),
    "normalise": _walks(1),
    "normalise_grads": _walks(3) - {(4, 2, (0,))},
    "pair_scores": _walks(5),
    "pair_grads": _walks(4),
    "sparse_linear": {(0, 0, (rows, 40)) for rows in (0, 69, 71)}
    | {(0, 0, (70, 41)), (1, 0, (2,))},
    "draw_gates": set(),
}


def mutations(arguments):
    """Argument lists with one tensor changed, and which."""
    for place, given in enumerate(arguments):
        parts = given if isinstance(given, list) else [given]
        for inner, tensor in enumerate(parts):
            if not isinstance(tensor, torch.Tensor) or not tensor.dim():
                continue
            if tensor.numel() == 0:
                continue
            changed = sizes(tensor)
            if not tensor.is_floating_point():
                changed += contents(tensor)
            for other in changed:
                new = [*parts[:inner], other, *parts[inner + 1 :]]
                whole = new if isinstance(given, list) else new[0]
                yield (
                    (place, inner, tuple(other.shape)),
                    [*arguments[:place], whole, *arguments[place + 1 :]],
                )


@pytest.mark.parametrize("name", CALLS)
def test_what_does_not_fit_is_refused(name):
    run(name, CALLS[name])
    served, refused = set(), 0
    for what, arguments in mutations(CALLS[name]):
        try:
            run(name, arguments)
        except (ValueError, TypeError):
            refused += 1
        else:
            served.add(what)
    assert served == HARMLESS[name]
    assert refused >= 10


def test_a_structure_is_checked_anew_after_a_change():
    pattern = CsrPattern.from_csr(GRAPH.indptr, GRAPH.indices.clone(), N)
    spmm_values(pattern, WEIGHT, X[:, 0])
    pattern.indices[3] = N
    with pytest.raises(ValueError, match=rf"'indices' must be in \[0, {N}\)"):
        spmm_values(pattern, WEIGHT, X[:, 0])


def test_a_check_runs_once():
    tensors, seen = [torch.arange(3), torch.arange(4)], []

    def check(*given):
        seen.append(given)
        return len(seen)

    assert check_once(tensors, check) == check_once(tensors, check) == 1
    tensors[1].add_(1)
    assert check_once(tensors, check) == check_once(tensors, check) == 2
    assert check_once([tensors[0], tensors[1].clone()], check) == 3


DENSE = numbers(N, 5)
ROOTS = CsrPattern.from_csr(GRAPH.indptr, GRAPH.indices, N)
KERNELS = {
    "gat": (lambda a, x: gat_attention(GRAPH, a, a.flip(0), x), ALPHA, X),
    "gatv2": (lambda a, x: gatv2_attention(GRAPH, x, x.flip(0), a), ATT[0], X),
    "spmm": (lambda a, x: spmm_values(ROOTS, a, x), WEIGHT, DENSE),
    "sddmm": (lambda a, x: sddmm(ROOTS, x.sin(), x * a), numbers(1), DENSE),
    "normalise": (lambda a, x: normalised_values(ROOTS, a + x), WEIGHT, numbers(1)),
    "sparse_linear": (
        lambda a, x: sparse_linear(x * a, SPARSE),
        numbers(1),
        numbers(3, 40),
    ),
}


@pytest.mark.parametrize("name", KERNELS)
@torch.no_grad()
def test_tangents_are_those_of_finite_differences(name):
    call, *inputs = KERNELS[name]
    inputs = tuple(it.double() for it in inputs)
    if name == "sparse_linear":
        inputs = tuple(it.float() for it in inputs)
    tangents = tuple(it.cos() for it in inputs)
    step = 1e-2 if name == "sparse_linear" else 1e-5
    ahead, behind = (
        call(*(x + s * t for x, t in zip(inputs, tangents, strict=True)))
        for s in (step, -step)
    )
    slope = (ahead - behind) / (2 * step)
    error = {"rtol": 1e-2, "atol": 1e-3}
    found = torch.func.jvp(call, inputs, tangents)[1]
    torch.testing.assert_close(found, slope, **error)
    with forward_ad.dual_level():
        duals = map(forward_ad.make_dual, inputs, tangents)
        found = forward_ad.unpack_dual(call(*duals)).tangent
        torch.testing.assert_close(found, slope, **error)


@pytest.mark.parametrize("name", KERNELS)
def test_batches_are_served_one_by_one(name):
    call, first, second = KERNELS[name]
    batch = torch.stack([second, second.cos()])
    found = torch.func.vmap(lambda it: call(first, it))(batch)
    torch.testing.assert_close(found, torch.stack([call(first, it) for it in batch]))


@pytest.mark.parametrize("name", ["spmm", "sddmm", "normalise"])
def test_jacobians_by_batched_gradients(name):
    call, first, second = KERNELS[name]
    both = first.double(), second.double()
    rows = torch.func.jacrev(call, argnums=(0, 1))(*both)
    columns = torch.func.jacfwd(call, argnums=(0, 1))(*both)
    torch.testing.assert_close(rows, columns)


def test_dropout_has_tangents():
    x, tangent = numbers(50), numbers(50)
    out, found = torch.func.jvp(lambda it: dropout(it, 0.4), (x,), (tangent,))
    torch.testing.assert_close(found, torch.where(out == 0, 0, tangent / 0.6))


def test_batched_gradients_of_attention_are_refused():
    x = X.clone().requires_grad_()
    out = gat_attention(GRAPH, ALPHA, ALPHA, x).flatten()
    with pytest.raises(RuntimeError, match="Batching rule not implemented"):
        torch.autograd.grad(out, x, torch.eye(out.numel()), is_grads_batched=True)


def test_kernels_without_a_rule_refuse_tangents():
    product, uniform, pair = numbers(H, 5), numbers(N), (PAIR[0], PAIR[1])
    calls = {
        "pair_scores": lambda x: pair_scores(ROOTS, pair, x, product, ALPHA, ALPHA),
        "draw_gates": lambda x: draw_gates(x[:, :2], uniform, -0.1, 1.1, 10.0)[0],
    }
    for name, call in calls.items():
        with pytest.raises(RuntimeError, match=f"{name} has no forward mode"):
            torch.func.jvp(call, (DENSE,), (DENSE,))
        with pytest.raises(RuntimeError, match=f"{name} has no forward mode"):
            torch.func.vmap(call)(DENSE.expand(2, N, 5))


def test_negative_sums_give_what_pyg_gives():
    """A node whose weights sum below 0 has no root: NaN, not 0."""
    values = WEIGHT - 0.6
    found = normalised_values(ROOTS, values)
    torch.testing.assert_close(
        found, normalised_reference(ROOTS, values), equal_nan=True
    )
    assert found.isnan().any()

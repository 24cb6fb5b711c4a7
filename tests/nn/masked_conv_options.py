"""Every option and call form of the maskable convolutions, and what a mask does there.

``LAYERS`` lists values for all arguments of the constructors; the test compares it with
their signatures, so that an argument of a new PyG fails until values are listed here.
"""

import contextlib
import inspect
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn import (
    APPNP,
    GATConv,
    GATv2Conv,
    GCN2Conv,
    GCNConv,
    GINConv,
    GraphConv,
    SAGEConv,
    SGConv,
    TransformerConv,
)
from torch_geometric.nn.aggr import MeanAggregation, MultiAggregation
from torch_geometric.nn.conv import MessagePassing

from gsparse.nn import (
    FastGATConv,
    FastGATv2Conv,
    FastGCNConv,
    FastSAGEConv,
    edge_weights,
)

N, F = 9, 6
Kind = type[MessagePassing]


@dataclass(frozen=True)
class Made:
    """A value that is made anew for each layer."""

    label: str
    make: Callable[[], Any]

    def __repr__(self) -> str:
        return self.label


def several() -> MultiAggregation:
    return MultiAggregation(["mean", "max", "sum"], mode="sum")


REFUSED_AGGR = ("mul", "std", "var", "median", "powermean", "softmax")
MESSAGE_PASSING: dict[str, list[Any]] = {
    "aggr": [
        "add",
        "mean",
        "max",
        "min",
        ["mean", "max"],
        Made("MeanAggregation()", MeanAggregation),
        Made("MultiAggregation(['mean', 'max', 'sum'], mode='sum')", several),
    ],
    "aggr_kwargs": [None],
    "flow": ["source_to_target", "target_to_source"],
    "node_dim": [-2, 0],
    "decomposed_layers": [1, 2],
}
SWITCH, OFF = [False, True], [True, False]
WIDTHS: dict[str, list[Any]] = {"in_channels": [F], "out_channels": [4]}
HEADS: dict[str, list[Any]] = {
    **WIDTHS,
    "heads": [2, 1],
    "concat": OFF,
    "dropout": [0.0, 0.5],
    "edge_dim": [None, 3],
    "bias": OFF,
}
GAT: dict[str, list[Any]] = {
    **HEADS,
    "in_channels": [F, (F, F)],
    "negative_slope": [0.2, 0.5],
    "add_self_loops": OFF,
    "fill_value": ["mean", 0.5, "max", "add", torch.tensor([0.1, -0.4, 0.7])],
    "residual": SWITCH,
}
NETWORK = Made("Linear(6, 4)", lambda: torch.nn.Linear(F, 4))

#: The first value of each argument stands where another argument is varied.
LAYERS: dict[Kind, dict[str, list[Any]]] = {
    GATConv: GAT,
    GATv2Conv: {**GAT, "share_weights": SWITCH},
    TransformerConv: {**HEADS, "beta": SWITCH, "root_weight": OFF},
    GCNConv: {
        **WIDTHS,
        "improved": SWITCH,
        "cached": SWITCH,
        "add_self_loops": [None, False],
        "normalize": OFF,
        "bias": OFF,
    },
    GCN2Conv: {
        "channels": [F],
        "alpha": [0.2],
        "theta": [0.5, 0.9],
        "layer": [2, 1],
        "shared_weights": OFF,
        "cached": SWITCH,
        "add_self_loops": OFF,
        "normalize": OFF,
    },
    SGConv: {
        **WIDTHS,
        "K": [1, 2],
        "cached": SWITCH,
        "add_self_loops": OFF,
        "bias": OFF,
    },
    APPNP: {
        "K": [2, 1],
        "alpha": [0.1],
        "dropout": [0.0, 0.5],
        "cached": SWITCH,
        "add_self_loops": OFF,
        "normalize": OFF,
    },
    SAGEConv: {
        **WIDTHS,
        "aggr": ["mean", "add", *MESSAGE_PASSING["aggr"][2:]],
        "normalize": SWITCH,
        "root_weight": OFF,
        "project": SWITCH,
        "bias": OFF,
    },
    GINConv: {"nn": [NETWORK], "eps": [0.0, 0.3], "train_eps": SWITCH},
    GraphConv: {**WIDTHS, "bias": OFF},
}
#: Our layers and those that they stand for.
FAST: dict[Kind, Kind] = {
    FastGATConv: GATConv,
    FastGATv2Conv: GATv2Conv,
    FastGCNConv: GCNConv,
    FastSAGEConv: SAGEConv,
}
KINDS: tuple[Kind, ...] = (*LAYERS, *FAST)


def options(kind: Kind) -> dict[str, list[Any]]:
    """Values of all arguments of a layer, those of message passing included."""
    found = {**MESSAGE_PASSING, **LAYERS[FAST.get(kind, kind)]}
    if kind in (FastGATConv, FastGATv2Conv):
        found["attention"] = ["fused", "reference"]
    return found


def arguments(kind: Kind) -> set[str]:
    """Names of the arguments in the signature of a constructor."""
    skipped = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = inspect.signature(kind.__init__).parameters.values()
    return {p.name for p in named if p.kind not in skipped} - {"self"}


@dataclass
class Call:
    """A graph with a weight per entry, and how a layer is called with it."""

    edge_index: Tensor
    x: Any
    weight: Tensor
    given: dict[str, Tensor]  # of the layer, one row an entry
    more: dict[str, Any]
    masks: Tensor | None = None  # of an explainer
    wrap: Callable[[Tensor], Tensor] = lambda edge_index: edge_index
    order: Callable[[Tensor], Tensor] = lambda edge_index: edge_index
    prepare: Callable[[MessagePassing], object] = lambda conv: None
    tolerance: float = 1e-9
    changed: bool = False  # messages are not what the layer makes of its weights

    def edges(self) -> Tensor:
        return self.wrap(self.edge_index)

    def taken(self, at: Tensor) -> "Call":
        """With these entries only; an entry may be taken more than once."""
        given = {name: value[at] for name, value in self.given.items()}
        masks = None if self.masks is None else self.masks[at]
        ends = self.edge_index[:, at]
        return replace(
            self, edge_index=ends, given=given, masks=masks, weight=self.weight[at]
        )

    def run(self, conv: MessagePassing, edge_index: Tensor) -> Tensor:
        if self.masks is not None:
            conv.explain = True
            conv._edge_mask, conv._apply_sigmoid = self.masks, True
            conv._loop_mask = edge_index[0] != edge_index[1]
        x = (self.x,)
        if isinstance(conv, GCN2Conv):
            x = (self.x, self.x[0] if isinstance(self.x, tuple) else self.x)
        cast = self.tolerance > 1e-3
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            out = conv(*x, self.order(edge_index), **self.given, **self.more)
        return out[0] if isinstance(out, tuple) else out


def base(loops: bool = False, copies: bool = False) -> Call:
    """A random graph; node 3 loses all of its edges."""
    generator = torch.Generator().manual_seed(52091)
    pairs = torch.randperm(N * N, generator=generator)[:40]
    edge_index = torch.stack([pairs // N, pairs % N])
    edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    if loops:
        edge_index = torch.cat([edge_index, torch.tensor([[0, 4, 5], [0, 4, 5]])], 1)
    if copies:
        edge_index = torch.cat([edge_index, edge_index[:, :12]], 1)
    num = edge_index.size(1)
    weight = torch.randint(4, (num,), generator=generator).double()
    weight[edge_index[1] == 3] = 0
    if loops:
        weight[-3:] = torch.tensor([0.0, 1.0, 0.0])
    x = torch.randn(N, F, generator=generator, dtype=torch.double)
    return Call(edge_index, x, weight, {}, {})


def shifted(conv: MessagePassing) -> None:
    """Give a layer a message of its own."""
    plain = type(conv).message.__get__(conv)
    names = inspect.signature(type(conv).message).parameters

    def message(**given: Any) -> Tensor:
        return plain(**given) + 0.5

    kinds = inspect.Parameter.KEYWORD_ONLY
    message.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(kind=kinds) for name, p in names.items() if name != "self"]
    )
    conv.message = message


def hooked(conv: MessagePassing) -> None:
    conv.register_message_forward_hook(lambda layer, inputs, out: out + 0.5)


def watched(conv: MessagePassing) -> None:
    conv.register_aggregate_forward_hook(lambda layer, inputs, out: out * 2)


def forms() -> dict[str, Call]:
    """Ways to call a layer; not every layer takes every one."""
    plain, loops, copies = base(), base(loops=True), base(copies=True)
    x, edge_index = plain.x, plain.edge_index
    generator = torch.Generator().manual_seed(33)
    num = edge_index.size(1)
    own = torch.rand(num, generator=generator, dtype=torch.double) * 2
    attr = torch.randn(num, 3, generator=generator, dtype=torch.double)
    other, size = x.flip(0) * 0.7, {"size": (N, N)}
    none = torch.zeros(0, dtype=torch.long)
    wide = torch.stack([x, other])
    single = replace(loops, edge_index=torch.zeros(2, 1, dtype=torch.long), x=x[:1])
    by_column = plain.taken(edge_index[1].sort(stable=True).indices)
    return {
        "x": plain,
        "pair": replace(plain, x=(x, other)),
        "pair of one source more": replace(plain, x=(torch.cat([x, x[:1]]), other)),
        "(x, None)": replace(plain, x=(x, None)),
        "size": replace(plain, x=(x, other), more=size),
        "[B, N, F]": replace(plain, x=wide),
        "int32": replace(plain, wrap=lambda e: e.int()),
        "EdgeIndex": replace(plain, wrap=lambda e: EdgeIndex(e, sparse_size=(N, N))),
        "EdgeIndex, sorted": replace(
            by_column,
            wrap=lambda e: EdgeIndex(e, sparse_size=(N, N), sort_order="col"),
        ),
        "edge_weight": replace(plain, given={"edge_weight": own}),
        "edge_weight, self-loops": replace(
            loops, given={"edge_weight": torch.cat([own, own.new_tensor([2, 0.5, 3])])}
        ),
        "edge_attr": replace(plain, given={"edge_attr": attr}),
        "self-loops": loops,
        "parallel edges": copies,
        "no edges": plain.taken(none),
        "edge_attr, no edges": replace(plain, given={"edge_attr": attr}).taken(none),
        "one node": replace(single, weight=torch.zeros(1, dtype=torch.double)),
        "explainer": replace(plain, masks=own - 1),
        "explainer, self-loops": replace(
            loops, masks=torch.linspace(-2, 2, num + 3, dtype=torch.double)
        ),
        "message hook": replace(plain, prepare=hooked, changed=True),
        "aggregate hook": replace(plain, prepare=watched),
        "own message": replace(plain, prepare=shifted, changed=True),
        "return_attention_weights": replace(
            plain, more={"return_attention_weights": True}
        ),
        "reordered edges": replace(plain, order=reordered),
        "reversed edges": replace(plain, order=lambda e: e.flip(0)),
        "bfloat16 autocast": replace(plain, x=x.float(), tolerance=0.08),
    }


def reordered(edge_index: Tensor) -> Tensor:
    """Edges in an order that does not depend on which others are there."""
    rank = (edge_index[0] * 7 + edge_index[1] * 5) % 11
    return edge_index[:, rank.sort(stable=True).indices]


def make(kind: Kind, settings: dict[str, Any], dtype: torch.dtype) -> MessagePassing:
    """A layer; the seed makes its parameters the same in each call."""
    torch.default_generator.manual_seed(4177)
    values = {
        name: value.make() if isinstance(value, Made) else value
        for name, value in settings.items()
    }
    return kind(**values).to(dtype).eval()


def outcome(
    kind: Kind, settings: dict[str, Any], call: Call, hard_only: bool = False
) -> str | None:
    """What a mask does: ``"equals removal"`` or ``"refused"``.

    None where PyG's own layer cannot do it. Anything else raises AssertionError: other
    values than those of the cut graph, or than the layer's own under weights of 1, or
    than those of parallel edges under weights of 2 and 3, or gradients that are not
    finite.
    """
    settings = {k: v for k, v in settings.items() if v is not None}
    dtype = torch.float32 if call.tolerance > 1e-3 else torch.float64
    own = {k: v for k, v in settings.items() if k != "attention"}
    fresh = {"cached": False} if "cached" in settings else {}

    @cache
    def reference() -> MessagePassing:
        conv = make(FAST.get(kind, kind), {**own, **fresh}, dtype)
        call.prepare(conv)
        return conv

    def plain(at: Tensor) -> Tensor:
        conv = reference()
        part = call.taken(at)
        wide = call.edges().dtype == torch.int32  # PyG cannot scatter by int32
        return part.run(conv, part.edge_index if wide else part.edges())

    num = torch.arange(call.weight.numel())
    try:
        whole, cut = plain(num), plain(num[call.weight > 0])
    except Exception:  # whatever PyG raises: it does not serve the call
        return None
    conv, edges = make(kind, settings, dtype), call.edges()
    call.prepare(conv)
    with contextlib.suppress(Exception):
        call.run(conv, edges)  # fills a cache
    before = set(vars(conv))
    hard = (call.weight > 0).to(dtype).requires_grad_()
    try:
        with edge_weights(conv, edges, hard):
            masked = call.run(conv, edges)
    except (TypeError, ValueError) as error:
        if type(conv).__name__ not in str(error):
            raise AssertionError(f"not refused by name: {error}") from error
        return "refused"
    close(masked, cut, call.tolerance)
    if masked.requires_grad:
        masked.sum().backward()
        assert hard.grad is None or torch.isfinite(hard.grad).all()
    if hard_only:
        return "equals removal"
    with edge_weights(conv, edges, torch.ones_like(hard)):
        close(call.run(conv, edges), whole, call.tolerance)
    if counts(conv, settings, call):
        with edge_weights(conv, edges, call.weight.to(dtype)):
            counted = call.run(conv, edges)
        close(counted, plain(num.repeat_interleave(call.weight.long())), call.tolerance)
    assert set(vars(conv)) == before
    return "equals removal"


def counts(conv: MessagePassing, settings: dict[str, Any], call: Call) -> bool:
    """Whether a weight of 2 means what two parallel edges mean.

    Not for a maximum, nor for features of self-loops that are made from those of the
    edges that are present, nor for messages that someone changes.
    """
    filled = isinstance(settings.get("fill_value", "mean"), str)
    filled = filled and "edge_attr" in call.given and hasattr(conv, "fill_value")
    aggr = conv.aggr if isinstance(conv.aggr, list) else [str(conv.aggr)]
    largest = any("max" in a.lower() or "min" in a.lower() for a in aggr)
    return not (filled or largest or call.changed)


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Equal values; under autocast the fused layers choose a type of their own."""
    torch.testing.assert_close(
        found.detach().double(),
        expected.detach().double(),
        rtol=tolerance,
        atol=tolerance,
    )


def defaults(kind: Kind, call: Call) -> dict[str, Any]:
    """The first value of each argument; edge features need their width."""
    found = {name: values[0] for name, values in options(kind).items()}
    for name in MESSAGE_PASSING:
        if name not in LAYERS[FAST.get(kind, kind)] and name != "aggr":
            del found[name]
    if kind is GATv2Conv or FAST.get(kind) is GATv2Conv:
        del found["aggr"]
    if "edge_attr" in call.given and "edge_dim" in found:
        found["edge_dim"] = 3
    return found


@cache
def outcomes(kind: Kind) -> dict[tuple[str, str], str | None]:
    """What a mask does for each value of each argument, and for each form of a call."""
    found, ways = {}, forms()
    for name, values in options(kind).items():
        values = values + list(REFUSED_AGGR) if name == "aggr" else values
        for value in values if len(values) > 1 else ():
            call = ways[_form(name, value)]
            settings = defaults(kind, call) | {name: value}
            found[name, repr(value)] = outcome(kind, settings, call)
    for form, call in ways.items():
        found["form", repr(form)] = outcome(kind, defaults(kind, call), call)
    return found


def rows() -> list[tuple[str, str, str]]:
    """Layer, option or call form, and what a mask does there.

    Left out is what PyG's own layer cannot do.
    """
    return [
        (kind.__name__, value.strip("'") if name == "form" else f"{name}={value}", what)
        for kind in KINDS
        for (name, value), what in outcomes(kind).items()
        if what is not None
    ]


def _form(name: str, value: Any) -> str:
    """How a layer is called so that an option makes a difference."""
    if name == "fill_value" or (name == "edge_dim" and value is not None):
        return "edge_attr"
    return "edge_weight" if name == "improved" else "x"


def pairwise(kind: Kind) -> Iterator[tuple[dict[str, Any], str]]:
    """Settings and forms in which any two values of two arguments meet.

    Only of values that are served alone.
    """
    single = outcomes(kind)
    columns = {
        name: [v for v in values if single.get((name, repr(v))) == "equals removal"]
        for name, values in {**options(kind), "form": list(forms())}.items()
    }
    columns = {name: values for name, values in columns.items() if len(values) > 1}
    names, draw = list(columns), random.Random(6113)
    left = {
        ((a, i), (b, j))
        for a, b in itertools.combinations(names, 2)
        for i in range(len(columns[a]))
        for j in range(len(columns[b]))
    }
    while left:
        (a, i), (b, j) = min(left)
        rows = [
            {n: draw.randrange(len(columns[n])) for n in names} | {a: i, b: j}
            for _ in range(12)
        ]
        met = [set(itertools.combinations(row.items(), 2)) & left for row in rows]
        best = max(range(len(rows)), key=lambda k: len(met[k]))
        left -= met[best]
        chosen = {n: columns[n][k] for n, k in rows[best].items()}
        form = chosen.pop("form")
        yield defaults(kind, forms()[form]) | chosen, form

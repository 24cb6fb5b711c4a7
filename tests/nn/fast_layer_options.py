"""Options and call forms of the fast layers, and which code serves each of them."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch_geometric import EdgeIndex
from torch_geometric.explain.algorithm.utils import set_masks
from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, SAGEConv, SumAggregation
from torch_geometric.nn.conv import MessagePassing

from gsparse.nn import FastGATConv, FastGATv2Conv, FastGCNConv, FastSAGEConv
from gsparse.nn import fast_gat_conv as attention
from gsparse.nn import fast_gcn_conv as products
from gsparse.nn.fast_layer import COMPILED, STEPS

TWINS = {
    FastGATConv: GATConv,
    FastGATv2Conv: GATv2Conv,
    FastGCNConv: GCNConv,
    FastSAGEConv: SAGEConv,
}
NUM_NODES, FEATURES = 9, 5

#: Values to try of every argument of PyG's constructors, beside its default.
_PASSING = {
    "aggr": ["add", "sum", "mean", "max", "mul", ["add", "max"], SumAggregation()],
    "aggr_kwargs": [{}],
    "flow": ["target_to_source"],
    "node_dim": [-2, 0, -1],
    "decomposed_layers": [2],
}
_ATTENTION = _PASSING | {
    "in_channels": [(FEATURES, FEATURES), -1],
    "out_channels": [3],
    "heads": [3],
    "concat": [False],
    "negative_slope": [0.0, 1.5, -0.3],
    "dropout": [0.6],
    "add_self_loops": [False],
    "edge_dim": [2],
    "fill_value": ["add", 0.5],
    "bias": [False],
    "residual": [True],
}
OPTIONS: dict[type, dict[str, list[Any]]] = {
    FastGATConv: _ATTENTION,
    FastGATv2Conv: _ATTENTION | {"share_weights": [True]},
    FastGCNConv: _PASSING
    | {
        "in_channels": [-1],
        "out_channels": [3],
        "improved": [True],
        "cached": [True],
        "add_self_loops": [False],
        "normalize": [False],
        "bias": [False],
    },
    FastSAGEConv: _PASSING
    | {
        "in_channels": [(FEATURES, FEATURES), -1],
        "out_channels": [3],
        "normalize": [True],
        "root_weight": [False],
        "project": [True],
        "bias": [False],
    },
}


def signature_of(fast: type) -> set[str]:
    """Names of all arguments that PyG's constructor takes."""
    named: dict[str, Any] = {}
    for kind in (TWINS[fast], MessagePassing):
        named |= inspect.signature(kind.__init__).parameters
    return set(named) - {"self", "kwargs"}


def pair_of(fast: type, options: dict[str, Any]) -> tuple[Any, Any]:
    """PyG's layer and ours in evaluation, with equal parameters."""
    arguments = {"in_channels": FEATURES, "out_channels": 4} | options
    theirs, ours = TWINS[fast](**arguments).eval(), fast(**arguments).eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def graph() -> tuple[Tensor, Tensor]:
    """Features, and directed edges with copies, self-loops and an isolated node."""
    generator = torch.Generator().manual_seed(50993)
    edge_index = torch.randint(NUM_NODES - 1, (2, 30), generator=generator)
    edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    loops = torch.tensor([[2, 6], [2, 6]])
    edge_index = torch.cat([edge_index, edge_index[:, :4], loops], dim=1)
    return torch.randn(NUM_NODES, FEATURES, generator=generator), edge_index


X, EDGES = graph()
OTHER = EDGES.flip(0)[:, 3:]
WEIGHT = torch.linspace(0.2, 1.9, EDGES.size(1))


@dataclass
class Form:
    """A way to call a layer: what is done to it, its arguments, and how it is run."""

    args: tuple[Any, ...] = (X, EDGES)
    kwargs: dict[str, Any] | None = None
    prepare: Callable[[Any], Any] = lambda layer: layer
    run: Callable[..., Any] | None = None

    def __call__(self, layer: Any) -> list[Tensor]:
        """Outputs, and gradients where there are some."""
        torch.manual_seed(77081)
        layer = self.prepare(layer) or layer
        if self.run is not None:
            return flat(self.run(layer, *self.args))
        args, kwargs = leaves(self.args), leaves(self.kwargs or {})
        out = flat(layer(*args, **kwargs))
        if not out[0].requires_grad:
            return out
        grad = torch.linspace(-1, 1, out[0].numel(), dtype=out[0].dtype)
        out[0].backward(grad.view_as(out[0]))
        given = [it for it in flat([args, list(kwargs.values())]) if it.requires_grad]
        made = [*out, *(it.grad for it in [*given, *layer.parameters()])]
        return [it.detach() for it in made if it is not None]


def leaves(given: Any) -> Any:
    """Copies of the same; dense tensors of floats ask for a gradient."""
    if isinstance(given, dict):
        return {key: leaves(value) for key, value in given.items()}
    if isinstance(given, tuple):
        return tuple(map(leaves, given))
    dense = isinstance(given, Tensor) and given.layout == torch.strided
    if not (dense and given.is_floating_point()):
        return given
    return given.detach().clone().requires_grad_()


def flat(found: Any) -> list[Tensor]:
    """All tensors of nested outputs."""
    if isinstance(found, Tensor):
        return [found]
    parts = found if isinstance(found, list | tuple) else []
    return [tensor for part in parts for tensor in flat(part)]


def _listen(register: str, part: str | None = None) -> Callable[[Any], None]:
    """Register a hook of this kind; one that can doubles an output."""

    def prepare(layer: Any) -> None:
        def hook(module: Any, *given: Any) -> Any:
            last = given[-1]
            doubles = "pre" not in register and isinstance(last, Tensor)
            return 2 * last if doubles and "backward" not in register else None

        getattr(getattr(layer, part) if part else layer, register)(hook)

    return prepare


def _override(step: str) -> Callable[[Any], Any]:
    """Make the layer one of a subclass that doubles what a step gives."""

    def prepare(layer: Any) -> Any:
        parent = getattr(type(layer), step)
        base = getattr(MessagePassing, step)

        @wraps(base if step in ("propagate", "edge_updater") else parent)
        def doubled(self: Any, *args: Any, **kwargs: Any) -> Any:
            return 2 * parent(self, *args, **kwargs)

        made = type("Doubled", (type(layer),), {step: doubled})
        layer.__class__ = made
        return layer

    return prepare


def _replace(layer: Any) -> None:
    message = layer.message
    layer.message = lambda **kwargs: 3 * message(**kwargs)


def _explain(layer: Any) -> None:
    set_masks(layer, torch.linspace(-2, 2, EDGES.size(1)), EDGES)


def _explained(layer: Any) -> None:
    _explain(layer)
    layer.explain = None


def _jvp(layer: Any, x: Tensor, edge_index: Tensor) -> Any:
    return torch.func.jvp(lambda z: layer(z, edge_index), (x,), (x.cos(),))


def _dual(layer: Any, x: Tensor, edge_index: Tensor) -> Any:
    with forward_ad.dual_level():
        out = layer(forward_ad.make_dual(x, x.cos()), edge_index)
        return [it.clone() for it in forward_ad.unpack_dual(out)]


def _of_function(transform: Callable[..., Any]) -> Callable[..., Any]:
    return lambda layer, x, edges: transform(lambda z: layer(z, edges).sin().sum(0))(x)


def _under(context: Callable[[], Any]) -> Callable[..., Any]:
    def run(layer: Any, *args: Any) -> Any:
        with context():
            return layer(*args)

    return run


def _traced(layer: Any, x: Tensor, edge_index: Tensor) -> Any:
    traced = torch.jit.trace(layer, (x, edge_index), check_trace=False)
    return traced(torch.cat([x, x]), OTHER)


def _second_graph(layer: Any, x: Tensor, edge_index: Tensor) -> Any:
    layer(x, edge_index)
    if getattr(layer, "cached", False) and type(layer) is GCNConv:
        layer.reset_parameters = None
        layer._cached_edge_index = None
    return layer(x, OTHER)


def _with_edges(edge_index: Any, **kwargs: Any) -> Form:
    return Form((X, edge_index), kwargs)


def _adjacency() -> Tensor:
    ends = EDGES.unique(dim=1)
    values, size = torch.ones(ends.size(1)), (NUM_NODES, NUM_NODES)
    return torch.sparse_coo_tensor(ends, values, size).coalesce()


def _to(dtype: torch.dtype) -> Form:
    return Form((X.to(dtype), EDGES), prepare=lambda layer: layer.to(dtype))


def hooks() -> list[str]:
    """How hooks are registered on message passing."""
    names = set(dir(MessagePassing)) - set(dir(torch.nn.Module))
    return sorted(it for it in names if it.startswith("register_"))


FORMS: dict[str, Form] = {
    "x [N, F]": Form(),
    "x (pair)": Form(((X, X.flip(0)), EDGES)),
    "x (x, None)": Form(((X, None), EDGES)),
    "x [B, N, F]": Form((torch.stack([X, -X, X + 1]), EDGES)),
    "x [F]": Form((X[0], EDGES)),
    "x sparse": Form((X.relu().to_sparse(), EDGES)),
    "x not contiguous": Form((X.t().contiguous().t(), EDGES)),
    "int32 ids": _with_edges(EDGES.int()),
    "ids out of range": _with_edges(EDGES + 2),
    "negative ids": _with_edges(EDGES - 1),
    "float ids": _with_edges(EDGES.float()),
    "edge_index [3, E]": _with_edges(EDGES[[0, 1, 0]]),
    "EdgeIndex": _with_edges(EdgeIndex(EDGES, sparse_size=(NUM_NODES, NUM_NODES))),
    "EdgeIndex of another size": _with_edges(EdgeIndex(EDGES, sparse_size=(20, 20))),
    "torch.sparse adjacency": _with_edges(_adjacency()),
    "size=(N, N)": _with_edges(EDGES, size=(NUM_NODES, NUM_NODES)),
    "no edges": _with_edges(EDGES[:, :0]),
    "one node": Form((X[:1], EDGES[:, :0])),
    "no nodes": Form((X[:0], EDGES[:, :0])),
    "edge_attr [E, D]": _with_edges(EDGES, edge_attr=WEIGHT.outer(WEIGHT[:2])),
    "edge_attr [E, D], no edges": _with_edges(EDGES[:, :0], edge_attr=X[:0, :2]),
    "edge_attr of another length": _with_edges(EDGES, edge_attr=X[:4, :2]),
    "return_attention_weights": _with_edges(EDGES, return_attention_weights=True),
    "float64": _to(torch.float64),
    "bfloat16": _to(torch.bfloat16),
    "float16": _to(torch.float16),
    "autocast": Form(run=_under(partial(torch.autocast, "cpu", torch.bfloat16))),
    "no_grad": Form(run=_under(torch.no_grad)),
    "inference_mode": Form(run=_under(torch.inference_mode)),
    "another graph afterwards": Form(run=_second_graph),
    "explained": Form(prepare=_explain),
    "explained before": Form(prepare=_explained),
    "message replaced": Form(prepare=_replace),
    "torch.jit.trace": Form(run=_traced),
    "torch.jit.script": Form(run=lambda layer, *args: torch.jit.script(layer)(*args)),
    "torch.func.jvp": Form(run=_jvp),
    "torch.autograd.forward_ad": Form(run=_dual),
    "torch.func.grad": Form(
        run=lambda layer, x, edges: torch.func.grad(
            lambda z: layer(z, edges).sin().sum()
        )(x)
    ),
    "torch.func.jacfwd": Form(run=_of_function(torch.func.jacfwd)),
    "torch.func.jacrev": Form(run=_of_function(torch.func.jacrev)),
    "torch.func.hessian": Form(
        run=lambda layer, x, edges: torch.func.hessian(
            lambda z: layer(z, edges).sin().sum()
        )(x)
    ),
    "torch.func.vmap": Form(
        run=lambda layer, x, edges: torch.func.vmap(lambda z: layer(z, edges))(
            torch.stack([x, -x])
        )
    ),
    **{name: Form(prepare=_listen(name)) for name in hooks()},
    **{
        name: Form(prepare=_listen(name))
        for name in (
            "register_forward_pre_hook",
            "register_forward_hook",
            "register_full_backward_pre_hook",
            "register_full_backward_hook",
        )
    },
    "hook of aggr_module": Form(
        prepare=_listen("register_forward_hook", "aggr_module")
    ),
    **{
        f"{step} overridden": Form(prepare=_override(step))
        for step in (*STEPS, *COMPILED)
    },
}
GCN_FORMS: dict[str, Form] = {
    "edge_weight": _with_edges(EDGES, edge_weight=WEIGHT),
    "edge_weight, some 0": _with_edges(EDGES, edge_weight=WEIGHT * (WEIGHT > 0.8)),
    "edge_weight, self-loops 0": _with_edges(
        EDGES, edge_weight=WEIGHT * (EDGES[0] != EDGES[1])
    ),
    "edge_weight, some negative": _with_edges(EDGES, edge_weight=WEIGHT - 0.9),
    "edge_weight without grad": Form(
        run=lambda layer, x, edges: layer(x, edges, WEIGHT)
    ),
    "edge_weight [E, 1]": _with_edges(EDGES, edge_weight=WEIGHT.unsqueeze(1)),
    "edge_weight of another length": _with_edges(EDGES, edge_weight=WEIGHT[:3]),
}


def forms_of(fast: type) -> dict[str, Form]:
    """The call forms of a layer."""
    return FORMS | (GCN_FORMS if fast is FastGCNConv else {})


@contextmanager
def counted() -> Iterator[list[str]]:
    """Names of the kernels that are called meanwhile."""
    seen: list[str] = []
    names = {
        attention: ("gat_layer", "gatv2_attention"),
        products: ("spmm", "aggregate_normalised", "aggregate_weighted"),
    }
    with ExitStack() as stack:
        for room, kernels in names.items():
            for name in kernels:
                kernel = getattr(room, name)

                def call(*args: Any, name: str = name, kernel: Any = kernel, **kw: Any):
                    seen.append(name)
                    return kernel(*args, **kw)

                stack.enter_context(patch.object(room, name, call))
        yield seen


def needs(fast: type, name: str) -> dict[str, Any]:
    """The options without which a call form has no meaning."""
    takes = "edge_dim" in OPTIONS[fast] and "[E, D]" in name
    return {"edge_dim": 2} if takes else {}


def outcome(fast: type, options: dict[str, Any], form: Form) -> str:
    """Who serves a call: ``"fast"``, ``"PyG"``, or ``"refused"``."""
    with counted() as seen:
        try:
            form(pair_of(fast, options)[1])
        except Exception:
            return "refused"
    return "fast" if seen else "PyG"


def rows() -> list[tuple[str, str, str]]:
    """Layer, option or call form, and who serves it, by running each."""
    made = []
    for fast, options in OPTIONS.items():
        for name, values in options.items():
            for value in values:
                result = outcome(fast, {name: value}, FORMS["x [N, F]"])
                made.append((fast.__name__, f"{name}={value!r}", result))
        for name, form in forms_of(fast).items():
            made.append((fast.__name__, name, outcome(fast, needs(fast, name), form)))
    return made

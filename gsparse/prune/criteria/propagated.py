"""Norms of the inputs of linear maps after the propagation of a graph layer."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Module
from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, Linear

from gsparse.kernels.spmm import SparseMatrix, spmm
from gsparse.nn import FastSAGEConv
from gsparse.nn.evaluating import evaluating
from gsparse.nn.fast_gat_conv import entries

# ruff: noqa: ANN401 (a convolution's arguments are its own)

#: Columns of the features that are propagated at a time.
WIDTH = 64

Heads = Iterable[Iterator[Tensor]]
"""Inputs of a weight for each attention head, as blocks of columns of a matrix of nodes
and inputs. One head where there is no attention."""

Visit = Callable[[str, Heads, int], None]
"""Takes the name of a weight, its inputs, and the number of its rows per head; 1 where
all rows have the same inputs."""


def propagated_norms(model: Module, example: tuple[Any, ...]) -> dict[str, Tensor]:
    r"""Return the norm over all nodes of every input of every linear map.

    Many graph layers apply their linear map before they propagate. Their output is
    :math:`\hat{A} X W^\top`, so the input of a weight :math:`W_{ij}` is column
    :math:`j` of :math:`\hat{A} X`, not of :math:`X`.

    - ``GCNConv``, ``FastGCNConv``: :math:`\hat{A} X`, normalised as the layer does.
    - ``SAGEConv``, ``FastSAGEConv``: ``lin_l`` the aggregated neighbours, ``lin_r`` the
      node's own features.
    - ``GINConv``: the sum that its network is called with.
    - ``GATConv.lin``, ``GATv2Conv.lin_l`` and their fast twins:
      :math:`A^{(h)} X` with the current attention weights of head :math:`h`, so the
      rows of each head have norms of their own. The influence of the weights on the
      attention is ignored.
    - All other ``torch.nn`` and PyG ``Linear`` (also those of ``TransformerConv``): the
      input that they are called with.

    Costs one forward pass, and one propagation of the input of each such layer in
    slices of 64 columns, for attention layers once per head. Features are read in
    slices as well, whether they are stored sparse or dense.

    Args:
        model: Any module; it is called once in evaluation mode, without gradients.
        example: Its arguments.

    Returns:
        The norms by the name of the weight, for every linear map that the model calls;
        the inputs of several calls are taken together.

    Shapes:
        - **output:** :math:`(1, F_{in})`, or :math:`(F_{out}, F_{in})` for attention

    Raises:
        ValueError: If an input is not finite.

    Example:
        Two nodes with self-loops: every entry of :math:`\hat{A}` is 1/2.

        >>> import torch
        >>> from torch_geometric.nn import GCNConv
        >>> from gsparse.prune.criteria.propagated import propagated_norms
        >>> x, edge_index = torch.eye(2), torch.tensor([[0, 1], [1, 0]])
        >>> propagated_norms(GCNConv(2, 3), (x, edge_index))
        {'lin.weight': tensor([[0.7071, 0.7071]])}
    """
    squares: dict[str, Tensor] = {}
    dtypes = {name: p.dtype for name, p in model.named_parameters()}

    def add(name: str, heads: Heads, rows: int) -> None:
        norms = [torch.cat([b.double().square().sum(0) for b in h]) for h in heads]
        square = torch.stack(norms).repeat_interleave(rows, dim=0)
        if not bool(torch.isfinite(square).all()):
            raise ValueError(
                f"the inputs of {name!r} must be finite (got NaN or infinity); is "
                "'example' finite?"
            )
        squares[name] = squares[name] + square if name in squares else square

    visit_inputs(model, example, add)
    return {name: it.sqrt().to(dtypes[name]) for name, it in squares.items()}


def visit_inputs(model: Module, example: tuple[Any, ...], visit: Visit) -> None:
    """Call a function with the inputs of every linear map of a model.

    :func:`propagated_norms` describes these inputs.

    Args:
        model: Any module; it is called once in evaluation mode, without gradients.
        example: Its arguments.
        visit: Called at every call of a linear map; it must read the inputs before it
            returns.
    """
    with evaluating(model), torch.no_grad(), ExitStack() as stack:
        propagated = _hook_convolutions(model, visit, stack)
        for name, layer in model.named_modules():
            weight = f"{name}.weight".lstrip(".")
            if isinstance(layer, nn.Linear | Linear) and weight not in propagated:
                hook = _own_input(weight, visit)
                stack.callback(layer.register_forward_pre_hook(hook).remove)
        model(*example)


def _hook_convolutions(model: Module, visit: Visit, stack: ExitStack) -> set[str]:
    """Hook the layers that propagate last, and return the names of their weights."""
    propagated = set()
    for name, layer in model.named_modules():
        found = _map_before_propagation(layer)
        if found is None:
            continue
        child, inputs = found
        weight = f"{name}.{child}.weight".lstrip(".")
        propagated.add(weight)

        def hook(
            layer: Module,
            args: Any,
            kwargs: Any,
            child: str = child,
            weight: str = weight,
            inputs: Callable[..., tuple[Heads, int]] = inputs,
        ) -> None:
            visit(weight, *inputs(layer, child, *args, **kwargs))

        handle = layer.register_forward_pre_hook(hook, with_kwargs=True)
        stack.callback(handle.remove)
    return propagated


def _map_before_propagation(
    layer: Module,
) -> tuple[str, Callable[..., tuple[Heads, int]]] | None:
    if isinstance(layer, GCNConv):
        return "lin", _without_map
    if isinstance(layer, FastSAGEConv) and layer.aggr == "mean" and not layer.project:
        return "lin_l", _without_map
    if isinstance(layer, GATConv) and layer.lin is not None:
        return "lin", _attended
    if isinstance(layer, GATv2Conv):
        return "lin_l", _attended
    return None


def _own_input(weight: str, visit: Visit) -> Callable[..., None]:
    def hook(layer: Module, args: tuple[Tensor, ...]) -> None:
        visit(weight, [_slices(args[0])], 1)

    return hook


def _slices(x: Tensor) -> Iterator[Tensor]:
    """Yield blocks of columns of a feature matrix, of a sparse one by a product."""
    if type(x) is Tensor and x.layout == torch.strided:
        yield from x.flatten(0, -2).split(WIDTH, dim=1)
        return
    for start in range(0, x.size(1), WIDTH):
        size = min(WIDTH, x.size(1) - start)
        picked = torch.zeros(x.size(1), size, dtype=x.dtype, device=x.device)
        picked[start : start + size] = torch.eye(size, dtype=x.dtype, device=x.device)
        yield x @ picked


def _without_map(
    layer: Module, child: str, x: Any, *args: Any, **kw: Any
) -> tuple[Heads, int]:
    """Return the layer's outputs with an identity for its linear map and no bias."""
    source = x[0] if isinstance(x, tuple) else x
    target = x[1] if isinstance(x, tuple) else None

    def blocks() -> Iterator[Tensor]:
        for block in _slices(source):
            pair = (block, _narrow(target, block)) if isinstance(x, tuple) else block
            with _identity(layer, child, block):
                out = layer.forward(pair, *args, **kw)
            yield out

    return [blocks()], 1


def _narrow(target: Tensor | None, block: Tensor) -> Tensor | None:
    """Return zeros with as many rows as the target; only the number matters."""
    if target is None:
        return None
    return block.new_zeros(target.size(0), block.size(1))


@contextmanager
def _identity(layer: Any, child: str, block: Tensor) -> Iterator[None]:
    # In place, so that edge_weights(), which replaces the forward, sees it too.
    modules, parameters = dict(layer._modules), dict(layer._parameters)
    normalize = layer.normalize
    if child == "lin_l" and normalize and "forward" in vars(layer):
        raise ValueError(
            "'normalize' must be False in a SAGE layer whose edges are weighed from "
            "outside (got True); measure it on the sparsified graph"
        )
    try:
        layer._modules[child] = _Identity(block)
        if "lin_r" in modules:  # of SAGE: the node itself
            layer._modules["lin_r"] = _Nothing()
        if child == "lin_l":
            layer.normalize = False  # to unit length, at the end
        if "bias" in parameters:
            layer._parameters["bias"] = None
        yield
    finally:
        layer._modules.update(modules)
        layer._parameters.update(parameters)
        layer.normalize = normalize


class _Identity(Module):
    """The identity as a linear map; some layers read its weight."""

    bias = None

    def __init__(self, block: Tensor) -> None:
        super().__init__()
        size = block.size(1)
        self.weight = torch.eye(size, dtype=block.dtype, device=block.device)

    def forward(self, x: Tensor) -> Tensor:
        return x


class _Nothing(Module):
    def forward(self, x: Tensor) -> float:
        return 0.0


def _attended(
    layer: Any, child: str, x: Any, *args: Any, **kw: Any
) -> tuple[Heads, int]:
    """Return the inputs of every head, weighted by the layer's attention."""
    source, target = x if isinstance(x, tuple) else (x, x)
    rows = source.size(0) if target is None else target.size(0)
    kw["return_attention_weights"] = True
    _, (ends, alpha) = layer.forward(x, *args, **kw)
    ends = entries(ends)
    if layer.flow == "target_to_source":
        ends = ends.flip(0)
    size = (rows, source.size(0))

    def blocks(head: int) -> Iterator[Tensor]:
        matrix = SparseMatrix.from_entries(ends[1], ends[0], alpha[:, head], size)
        for block in _slices(source):
            yield spmm(matrix, block)

    return [blocks(head) for head in range(layer.heads)], layer.out_channels

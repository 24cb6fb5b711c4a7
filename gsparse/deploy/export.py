"""Export pruned weights as torch's sparse tensors, and pruned models as programs."""

from collections.abc import Iterator
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.nn import Module, Parameter
from torch.nn.parameter import is_lazy
from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, SAGEConv

from gsparse.nn.evaluating import evaluating
from gsparse.nn.fast_gat_conv import FastGATConv, FastGATv2Conv
from gsparse.nn.fast_gcn_conv import FastGCNConv, FastSAGEConv
from gsparse.nn.final_masks import check_final, unmasked_copy
from gsparse.nn.masked_parameters import masked_names

Layout = Literal["csr", "bsr", "coo"]

_RTOL, _ATOL = 1e-4, 1e-5


class _ExportedSAGEConv(SAGEConv):
    """PyG's layer with the call signature of ``FastSAGEConv``."""

    def forward(
        self,
        x: Any,  # noqa: ANN401 (as PyG's)
        edge_index: Tensor,
        size: Any = None,  # noqa: ANN401
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        if edge_weight is not None:
            raise ValueError("an exported SAGE layer takes no 'edge_weight'")
        return super().forward(x, edge_index, size)


_TRACED: dict[type[Module], type[Module]] = {
    FastGATConv: GATConv,
    FastGATv2Conv: GATv2Conv,
    FastGCNConv: GCNConv,
    FastSAGEConv: _ExportedSAGEConv,
}
"""Layers whose kernels read the edges in Python, and equal layers without kernels."""


def export_weights(
    model: Module, layout: Layout = "csr", block: tuple[int, int] | None = None
) -> dict[str, Tensor]:
    r"""Return every pruned weight of a model as one of torch's sparse tensors.

    A weight is pruned if it has a mask, or if it has two or more dimensions and
    contains a zero. Each tensor is compared with the weight before it is returned.

    CSR stores :math:`nnz` values, :math:`nnz` columns as 64-bit integers and
    :math:`F_{out} + 1` row starts. With less than two thirds of zeros this is larger
    than the dense float32 weight. For a smaller file use
    :func:`~gsparse.deploy.save_model`, for a faster model
    :func:`~gsparse.nn.to_sparse`.

    Args:
        model: A model with masks, or after ``make_permanent()``; not changed.
        layout: ``"csr"``, ``"coo"`` or ``"bsr"``.
        block: Rows and columns of the blocks of ``"bsr"``, such as those of
            :class:`~gsparse.prune.Blocks`.

    Returns:
        Detached sparse tensors by the names of the parameters.

    Shapes:
        - **weights:** shapes of the parameters, :math:`(F_{out}, F_{in})` for CSR, BSR

    Raises:
        ValueError: If nothing is pruned, a pruner may still change the model, a weight
            is not a matrix and the layout is not ``"coo"``, or blocks do not divide a
            weight.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import Pruner, RandomWeight
        >>> from gsparse.deploy import export_weights
        >>> model = GCN(500, 16, num_layers=2, out_channels=3)
        >>> pruner = Pruner(model, RandomWeight(), sparsity=0.98, seed=41203)
        >>> weight = export_weights(model)["convs.0.lin.weight"]
        >>> weight.layout, weight.shape, weight.values().numel()
        (torch.sparse_csr, torch.Size([16, 500]), 160)
    """
    if layout not in get_args(Layout):
        known = ", ".join(map(repr, get_args(Layout)))
        raise ValueError(f"'layout' must be one of {known} (got {layout!r})")
    _check_block(layout, block)
    check_final(model)
    found = {}
    for name, weight in pruned_weights(model):
        _check_weight(name, weight, layout, block)
        if layout == "csr":
            sparse = weight.to_sparse_csr()
        elif block is not None:
            sparse = weight.to_sparse_bsr(block)
        else:
            sparse = weight.to_sparse_coo().coalesce()
        if not sparse.to_dense().equal(weight):
            raise ValueError(f"{name!r} must be finite to be stored sparse")
        found[name] = sparse
    if not found:
        raise ValueError(
            f"a weight of {type(model).__name__} must have zeros (got none); prune it "
            "first"
        )
    return found


def export_program(
    model: Module, example: tuple[Any, ...], dynamic: bool = True
) -> ExportedProgram:
    r"""Export a pruned model as one graph of tensor operations, by ``torch.export``.

    The program runs without gsparse and PyG; ``torch.export.save`` writes it to a file.
    The masks are made permanent in a copy first. The program also multiplies by zeros:
    call ``gsparse.compaction.compact`` before for a smaller one. A
    :class:`~gsparse.nn.SparseLinear` in the model is kept, and needs an import of
    gsparse where the program runs.

    Fused layers are replaced by PyG's layers with the same weights. The program thus
    stores messages of :math:`E \times C` numbers, as PyG does, and only GCN supports
    ``edge_weight``.

    Args:
        model: A model with masks or without; not changed.
        example: Its arguments, with the features ``[N, F]`` first and an ``edge_index``
            ``[2, E]`` of at least two edges.
        dynamic: Whether the program supports other numbers of nodes and edges. The
            number of rows of arguments with one row per node or edge may then change;
            the numbers of features and classes may not.

    Returns:
        The program; its output on the example was compared with that of the model.

    Shapes:
        - **x:** :math:`(N, F)`
        - **edge_index:** :math:`(2, E)`

    Raises:
        TypeError: If an argument is a subclass of a tensor, such as
            :class:`~gsparse.train.SparseFeatures`.
        ValueError: If torch cannot trace the model, or the program has another output
            than the model.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import Pruner, RandomWeight
        >>> from gsparse.deploy import export_program
        >>> model = GCN(4, 8, num_layers=2, out_channels=3)
        >>> pruner = Pruner(model, RandomWeight(), sparsity=0.5, seed=41203)
        >>> x, edge_index = torch.ones(3, 4), torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> run = export_program(model, (x, edge_index)).module()
        >>> run(torch.ones(5, 4), torch.tensor([[0, 4], [4, 0]])).shape
        torch.Size([5, 3])
    """
    _check_example(example)
    shapes = tuple(_dynamic(example)) if dynamic else None
    with torch.no_grad(), evaluating(model):
        expected = model(*example)
    traced = _traceable(model)
    try:
        program = torch.export.export(
            traced, example, dynamic_shapes=shapes, strict=False
        )
        with torch.no_grad():
            found = program.module()(*example)
    except Exception as error:  # torch raises many classes, depending on its version
        first = (str(error).strip().splitlines() or [""])[0][:200]
        raise ValueError(
            f"'model' must be one that torch.export can trace, from tensors to tensors "
            f"(got {type(model).__name__}, which fails with "
            f"{type(error).__name__}: {first})"
        ) from error
    if not _same(expected, found):
        raise ValueError(
            f"the program of {type(model).__name__} must have the output of the model "
            "on 'example' (it does not); check whether the model uses random numbers "
            "or state"
        )
    return program


def pruned_weights(model: Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the masked weights and the weights with zeros, as layers read them, each
    once.
    """
    seen: set[int] = set()
    for prefix, module in model.named_modules():
        for attribute, parameter in module._parameters.items():
            if parameter is None or is_lazy(parameter) or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            weight = getattr(module, attribute).detach()  # through its mask
            masked = attribute in masked_names(module)
            if masked or (weight.dim() > 1 and not weight.all()):
                yield f"{prefix}.{attribute}".lstrip("."), weight


def _check_block(layout: str, block: tuple[int, int] | None) -> None:
    if (layout == "bsr") != (block is not None):
        raise ValueError(
            f"'block' must be given for layout 'bsr' and for no other "
            f"(got {block} with {layout!r})"
        )
    if block is not None and (len(block) != 2 or min(block) < 1):
        raise ValueError(f"'block' must be two positive sizes (got {block})")


def _check_weight(
    name: str, weight: Tensor, layout: Layout, block: tuple[int, int] | None
) -> None:
    if layout != "coo" and weight.dim() != 2:
        raise ValueError(
            f"{name!r} must be a matrix for layout {layout!r} "
            f"(got shape {list(weight.shape)}); use 'coo'"
        )
    if block is not None and any(
        size % of for size, of in zip(weight.shape, block, strict=True)
    ):
        raise ValueError(
            f"'block' must divide every pruned weight (got {block} for {name!r} of "
            f"shape {list(weight.shape)})"
        )


def _check_example(example: tuple[Any, ...]) -> None:
    if not isinstance(example, tuple) or not example:
        raise TypeError(
            f"'example' must be a tuple of arguments, the features first "
            f"(got {type(example).__name__})"
        )
    for value in example:
        if isinstance(value, Tensor) and type(value) not in (Tensor, Parameter):
            raise TypeError(
                f"'example' must hold plain tensors (got {type(value).__name__}); "
                "give x.to_dense() for features, as_tensor() for an EdgeIndex"
            )


def _dynamic(example: tuple[Any, ...]) -> Iterator[dict[int, Any] | None]:
    """Yield the dimensions of every argument that may change."""
    nodes, edges = Dim("num_nodes"), Dim("num_edges")
    num_nodes, num_edges = None, None
    for value in example:
        if not isinstance(value, Tensor) or not value.dim():
            yield None
        elif num_nodes is None:
            num_nodes = value.size(0)
            yield {0: nodes}
        elif value.dim() == 2 and len(value) == 2 and value.dtype == torch.long:
            num_edges = value.size(1)
            yield {1: edges}
        elif value.size(0) == num_edges:
            yield {0: edges}
        else:
            yield {0: nodes} if value.size(0) == num_nodes else None


def _traceable(model: Module) -> Module:
    """Return a copy with zeros written and with layers that torch can trace."""
    check_final(model)
    model = unmasked_copy(model).eval()
    for module in list(model.modules()):
        module.__class__ = _TRACED.get(type(module), type(module))
    return model


def _same(expected: Any, found: Any) -> bool:  # noqa: ANN401 (a model's output)
    try:
        torch.testing.assert_close(
            found, expected, rtol=_RTOL, atol=_ATOL, equal_nan=True
        )
    except AssertionError:
        return False
    return True

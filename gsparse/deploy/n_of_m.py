"""Semi-structured masks: of each m consecutive inputs of an output n stay."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from gsparse.nn.final_masks import check_final, unmasked_copy
from gsparse.nn.sparse_linear import is_plain_linear
from gsparse.prune.masks import WeightMasks
from gsparse.prune.targets import Selector


def keep_n_of_m(importances: Tensor, n: int = 2, m: int = 4) -> Tensor:
    r"""Keep the best ``n`` of each ``m`` consecutive entries of a row, as in the
    `"Accelerating Sparse Deep Neural Networks" <https://arxiv.org/abs/2104.08378>`_
    paper.

    Where ``m`` does not divide a row, its last group has :math:`r < m` entries and
    keeps :math:`\lceil r n / m \rceil` of them, so that no row is left without any.
    Among equals the first stay. Costs one sort of ``m`` entries a group.

    Args:
        importances: Importance of every weight; ``-inf`` for one that goes first.
        n: How many of a group stay, from 1 to ``m``.
        m: Size of a group.

    Returns:
        True for the weights that stay.

    Shapes:
        - **importances**, **output:** :math:`(F_{out}, F_{in})`

    Raises:
        ValueError: If ``importances`` is not a matrix or has a NaN, or ``n`` is not in
            1 to ``m``.

    Example:
        >>> import torch
        >>> from gsparse.deploy import keep_n_of_m
        >>> keep_n_of_m(torch.tensor([[1.0, 4.0, 3.0, 2.0, 5.0]])).int()
        tensor([[0, 1, 1, 0, 1]], dtype=torch.int32)
    """
    check_n_of_m(n, m)
    if importances.dim() != 2:
        raise ValueError(
            f"'importances' must be a matrix (got shape {list(importances.shape)})"
        )
    if importances.isnan().any():
        raise ValueError(
            f"'importances' must not be NaN (got {int(importances.isnan().sum())})"
        )
    rows, columns = importances.shape
    groups, tail = -(-columns // m), columns % m
    filled = torch.nn.functional.pad(
        importances.detach(), (0, groups * m - columns), value=-torch.inf
    ).view(rows, groups, m)
    order = filled.argsort(dim=2, descending=True, stable=True)
    keep = order.argsort(dim=2) < n  # the rank in its group
    if tail:
        keep[:, -1] = order[:, -1].argsort(dim=1) < -(-tail * n // m)
    return keep.view(rows, groups * m)[:, :columns].contiguous()


def prune_n_of_m(
    model: Module,
    n: int = 2,
    m: int = 4,
    importances: Mapping[str, Tensor] | None = None,
    targets: Iterable[Selector] | Selector | None = None,
    exclude: Iterable[Selector] | Selector = (),
) -> WeightMasks:
    r"""Put masks on a model that leave ``n`` of each ``m`` consecutive inputs.

    The pattern decides the sparsity: :math:`1 - n / m`, less in the last group of a
    row that ``m`` does not divide. So this is no pruner with a ``sparsity`` but a
    function: train the model, prune it, and train it on, in
    :func:`gsparse.train.fit` for instance, which keeps masks as they are. 2 of 4 is the
    pattern that GPUs multiply by faster; on a CPU it saves memory only
    (:func:`~gsparse.deploy.export_weights`).

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        n: How many of a group stay, from 1 to ``m``.
        m: Size of a group.
        importances: Importance of every weight by the name of its parameter, as from
            :func:`~gsparse.prune.criteria.wanda.wanda_importances`; ``None`` takes
            :math:`|w|`.
        targets: As for :func:`~gsparse.prune.find_targets`.
        exclude: As for :func:`~gsparse.prune.find_targets`.

    Raises:
        ValueError: If a target is no matrix, or ``importances`` are not those of the
            targets. Nothing is masked then.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.deploy import prune_n_of_m
        >>> model = GCN(500, 16, num_layers=2, out_channels=3)
        >>> prune_n_of_m(model).report().sparsity
        0.5
    """
    check_n_of_m(n, m)
    masks = WeightMasks(model, targets, exclude)
    try:
        weights = masks.parameters()
        if importances is None:
            importances = {name: it.detach().abs() for name, it in weights.items()}
        _check_importances(importances, weights)
        masks.set({name: keep_n_of_m(it, n, m) for name, it in importances.items()})
    except Exception:
        masks.undo()
        raise
    return masks


class SemiStructured(NamedTuple):
    """Which weights a GPU multiplies by as 2 of 4, and why not the others."""

    model: Module
    converted: tuple[str, ...]
    skipped: dict[str, str]
    """The reason, by the name of the weight."""


def semi_structured_reason(shape: Iterable[int], dtype: torch.dtype) -> str | None:
    """Why torch's kernels for 2 of 4 cannot take a weight; ``None`` if they can.

    They are those of cuSPARSELt, torch's own choice. They take float16 and bfloat16,
    and sizes that are multiples of what torch states for the type: 16 in torch 2.13, so
    neither the 1433 features of Cora nor its 7 classes. For float32 torch
    has only a pattern of 1 of 2 (CUTLASS), which 2 of 4 does not fit.

    Args:
        shape: Of the weight.
        dtype: Of the weight.

    Example:
        >>> import torch
        >>> from gsparse.deploy.n_of_m import semi_structured_reason
        >>> semi_structured_reason((64, 512), torch.float16)
        >>> semi_structured_reason((7, 512), torch.float16)
        'rows must be a multiple of 16 (got 7)'
    """
    shape = tuple(shape)
    if len(shape) != 2:
        return f"it must be a matrix (got shape {list(shape)})"
    if dtype not in (torch.float16, torch.bfloat16):
        return f"it must be float16 or bfloat16 (got {dtype}); see model.half()"
    limits = torch.sparse.SparseSemiStructuredTensorCUSPARSELT._DTYPE_SHAPE_CONSTRAINTS
    least = limits[dtype].sparse_min_rows, limits[dtype].sparse_min_cols
    for name, size, unit in zip(("rows", "columns"), shape, least, strict=True):
        if size == 0 or size % unit:
            return f"{name} must be a multiple of {unit} (got {size})"
    return None


def to_semi_structured(model: Module) -> SemiStructured:
    r"""A copy of a model for inference that multiplies by 2 of 4 weights, on a GPU.

    Weights of ``torch.nn.Linear`` and PyG's ``Linear``, also inside of convolutions, in
    which at most 2 of each 4 consecutive inputs are left become
    ``torch.sparse.SparseSemiStructuredTensor``; all others stay dense, with their
    zeros written. Masks are gone from the copy. Large layers gain; a graph layer whose
    time goes into its edges does not.

    Args:
        model: A model with masks, or after ``make_permanent()``, on a CUDA device and
            of float16 or bfloat16; not changed.

    Returns:
        The copy, the names of its converted weights, and why others are not.

    Raises:
        ValueError: If the model is not on a CUDA device, or none of its weights can be
            converted; says why of each.
        RuntimeError: If torch has no cuSPARSELt.
    """
    check_final(model)
    where = next((it.device for it in model.parameters()), torch.device("cpu"))
    if where.type != "cuda":
        raise ValueError(
            f"'model' must be on a CUDA device (got {where}): torch has kernels for 2 "
            "of 4 there only; use to_sparse(model) on the CPU"
        )
    if not torch.backends.cusparselt.is_available():
        raise RuntimeError(
            f"2 of 4 needs cuSPARSELt, which torch {torch.__version__} has not found"
        )
    model = unmasked_copy(model)
    converted, skipped = [], {}
    for prefix, layer in model.named_modules():
        if not is_plain_linear(layer):
            continue
        name, weight = f"{prefix}.weight".lstrip("."), layer.weight.detach()
        reason = semi_structured_reason(weight.shape, weight.dtype)
        reason = reason or _pattern_reason(weight)
        if reason is not None:
            skipped[name] = reason
            continue
        packed = torch.sparse.to_sparse_semi_structured(weight.contiguous())
        layer.weight = Parameter(packed, requires_grad=False)
        converted.append(name)
    if not converted:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise ValueError(
            f"a weight of {type(model).__name__} must fit 2 of 4 "
            f"(got {reasons or 'no linear layer'})"
        )
    return SemiStructured(model.requires_grad_(False), tuple(converted), skipped)


def check_n_of_m(n: int, m: int) -> None:
    """Refuse numbers that are no pattern."""
    for name, value in (("n", n), ("m", m)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name!r} must be an int (got {value!r})")
    if not 1 <= n <= m:
        raise ValueError(f"'n' must be from 1 to 'm' (got n={n}, m={m})")


def _check_importances(
    importances: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> None:
    if importances.keys() != weights.keys():
        raise ValueError(
            f"'importances' must be of the weights that are pruned, {list(weights)} "
            f"(got {list(importances)})"
        )
    for name, weight in weights.items():
        if weight.dim() != 2:
            raise ValueError(
                f"{name!r} must be a matrix (got shape {list(weight.shape)}); "
                "leave it out by 'exclude'"
            )
        if importances[name].shape != weight.shape:
            raise ValueError(
                f"'importances' of {name!r} must have shape {list(weight.shape)} "
                f"(got {list(importances[name].shape)})"
            )


def _pattern_reason(weight: Tensor) -> str | None:
    most = int((weight.view(weight.size(0), -1, 4) != 0).sum(2).max())
    if most > 2:
        return f"at most 2 of 4 inputs may be left (got {most}); see prune_n_of_m"
    return None

"""Semi-structured masks that keep n of each m consecutive inputs of an output."""

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

    If ``m`` does not divide the length of a row, its last group has :math:`r < m`
    entries and keeps :math:`\lceil r n / m \rceil` of them, so that no row becomes
    empty. Ties keep the first entries. It costs one sort of ``m`` entries per group.

    Args:
        importances: Importance of every weight; ``-inf`` for weights to remove first.
        n: Number of kept weights per group, from 1 to ``m``.
        m: Size of a group.

    Returns:
        True for the kept weights.

    Shapes:
        - **importances**, **output:** :math:`(F_{out}, F_{in})`

    Raises:
        ValueError: If the importances are not a matrix or contain NaN, or ``n`` is not
            in 1 to ``m``.

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
    r"""Mask the weights of a model so that ``n`` of each ``m`` consecutive inputs are
    kept.

    The pattern determines the sparsity: :math:`1 - n / m`, or less in the last group of
    a row whose length ``m`` does not divide. It is therefore a function and not a
    pruner with a ``sparsity``: train the model, prune it, and fine-tune it, for example
    by :func:`gsparse.train.fit`, which keeps masks. GPUs multiply 2-of-4 patterns
    faster; on a CPU the pattern only saves memory
    (:func:`~gsparse.deploy.export_weights`).

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        n: Number of kept weights per group, from 1 to ``m``.
        m: Size of a group.
        importances: Importance of every weight by the name of its parameter, for
            example from :func:`~gsparse.prune.criteria.wanda.wanda_importances`;
            ``None`` uses :math:`|w|`.
        targets: See :func:`~gsparse.prune.find_targets`.
        exclude: See :func:`~gsparse.prune.find_targets`.

    Shapes:
        - **importances:** :math:`(F_{out}, F_{in})` for each weight

    Raises:
        ValueError: If a target is not a matrix, or ``importances`` do not match the
            targets; no mask is set then.

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
            importances = {
                name: weight.detach().abs() for name, weight in weights.items()
            }
        _check_importances(importances, weights)
        masks.set({name: keep_n_of_m(it, n, m) for name, it in importances.items()})
    except Exception:
        masks.undo()
        raise
    return masks


class SemiStructured(NamedTuple):
    """A converted model, the weights that GPUs multiply as 2 of 4, and why others are
    dense.
    """

    model: Module
    converted: tuple[str, ...]
    skipped: dict[str, str]
    """The reason, by the name of the weight."""


def semi_structured_reason(shape: Iterable[int], dtype: torch.dtype) -> str | None:
    """Return why torch's 2-of-4 kernels cannot use a weight, or ``None`` if they can.

    Torch uses the kernels of cuSPARSELt. They support float16 and bfloat16, and sizes
    that are multiples of a number that torch defines per dtype: 16 in torch 2.13, which
    excludes the 1433 features and the 7 classes of Cora. For float32 torch supports
    only a 1-of-2 pattern (CUTLASS), which 2 of 4 does not fit.

    Args:
        shape: Shape of the weight.
        dtype: Dtype of the weight.

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
    r"""Return a copy of a model for inference on a GPU that multiplies by 2 of 4
    weights.

    Weights of ``torch.nn.Linear`` and PyG's ``Linear``, including those inside
    convolutions, become ``torch.sparse.SparseSemiStructuredTensor`` if at most 2 of
    each 4 consecutive inputs are kept; all others stay dense, with their zeros written.
    The copy has no masks. Do not use it for graph layers that spend most of their time
    on the edges; only large linear maps become faster.

    Args:
        model: A model with masks, or after ``make_permanent()``, on a CUDA device and
            of float16 or bfloat16; not changed.

    Returns:
        The copy, the names of its converted weights, and why others are dense.

    Raises:
        ValueError: If the model is not on a CUDA device, or none of its weights can be
            converted; the message has the reasons.
        RuntimeError: If torch has no cuSPARSELt.
    """
    check_final(model)
    where = next((it.device for it in model.parameters()), torch.device("cpu"))
    if where.type != "cuda":
        raise ValueError(
            f"'model' must be on a CUDA device, where torch has kernels for 2 of 4 "
            f"(got {where}); use to_sparse(model) on the CPU"
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
        if reason is None:
            most = int((weight.view(weight.size(0), -1, 4) != 0).sum(2).max())
            if most > 2:
                reason = (
                    f"at most 2 of 4 inputs may be left (got {most}); see prune_n_of_m"
                )
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
    """Check that ``n`` and ``m`` are integers with 1 <= n <= m."""
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
            f"'importances' must have the names of the pruned weights, {list(weights)} "
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

"""Fit the remaining inputs of pruned linear maps by least squares."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gsparse.prune.criteria.propagated import Heads, visit_inputs
from gsparse.prune.criteria.syn_flow import check_example
from gsparse.prune.masks import WeightMasks
from gsparse.prune.surgeons.take_fisher import full_weights
from gsparse.prune.weight_pruner import WeightPruner

MAX_INPUTS = 4096  # H then takes 128 MiB
ROWS = 4096  # number of nodes per block


class Reconstruction(NamedTuple):
    """Result of the reconstruction of one weight."""

    before: Tensor
    """A copy of the old parameter."""
    masked_error: float
    """Squared error of the outputs with the mask alone, relative to their squares."""
    error: float
    """The same with the new weights; never larger."""


def gram(blocks: Iterator[Tensor]) -> Tensor:
    r"""Return the products :math:`H = X^\top X` of all inputs, in float64.

    Args:
        blocks: Blocks of columns of :math:`X`.

    Shapes:
        - **blocks:** :math:`(N, F_i)` with :math:`\sum_i F_i = F`
        - **output:** :math:`(F, F)`
    Example:
        >>> import torch
        >>> from gsparse.compaction.reconstruct import gram
        >>> gram(torch.tensor([[1.0, 2.0], [0.0, 1.0]]).split(1, dim=1))
        tensor([[1., 2.],
                [2., 5.]], dtype=torch.float64)
    """
    x = torch.cat(list(blocks), dim=1)
    total = torch.zeros(x.size(1), x.size(1), dtype=torch.float64, device=x.device)
    for part in x.split(ROWS):
        part = part.double()
        total.addmm_(part.t(), part)
    return total


def least_squares(
    weight: Tensor, keep: Tensor, products: Tensor, ridge: float
) -> Tensor:
    r"""Return the weights of the kept inputs that best replace the removed ones.

    With :math:`K` the kept inputs and :math:`G` the others,

    .. math::
        W'_K = W_K + W_G H_{GK} (H_{KK} + \lambda I)^{-1}, \qquad W'_G = 0.

    They minimise :math:`\|X W'^\top - X W^\top\|^2 + \lambda \|W'_K - W_K\|^2` for
    :math:`H = X^\top X`. The first term is thus never larger than with the mask alone,
    for any :math:`\lambda`, and it is 0 if :math:`\lambda = 0` and the removed inputs
    are linear combinations of kept ones.

    Args:
        weight: Rows that lose the same inputs.
        keep: True for the inputs in :math:`K`.
        products: :math:`H`.
        ridge: :math:`\lambda`, as a fraction of the mean diagonal of :math:`H`.

    Shapes:
        - **weight**, **output:** :math:`(n, F)`
        - **keep:** :math:`(F,)`
        - **products:** :math:`(F, F)`

    Raises:
        ValueError: If the kept inputs are linearly dependent and the ridge is 0.

    Example:
        The removed input was twice the kept one.
        >>> import torch
        >>> from gsparse.compaction.reconstruct import least_squares
        >>> products = torch.tensor([[1.0, 2.0], [2.0, 4.0]])
        >>> keep = torch.tensor([True, False])
        >>> least_squares(torch.tensor([[5.0, 1.0]]), keep, products, ridge=0.0)
        tensor([[7., 0.]])
    """
    found = torch.where(keep, weight, 0.0)
    shared = products[~keep][:, keep]
    if not shared.any():
        return found
    inner = products[keep][:, keep].clone()
    inner.diagonal().add_(ridge * products.diagonal().mean())
    factor, failed = torch.linalg.cholesky_ex(inner)
    if failed:
        raise ValueError(
            f"the kept inputs must be linearly independent at 'ridge'={ridge} "
            "(got a singular matrix); increase 'ridge', for example to 0.01"
        )
    change = torch.cholesky_solve((weight[:, ~keep] @ shared).t(), factor).t()
    found[:, keep] += change
    return found


@torch.no_grad()
def reconstruct(
    pruned: WeightPruner | WeightMasks,
    example: tuple[Any, ...],
    ridge: float = 0.01,
    names: Iterable[str] | None = None,
) -> dict[str, Reconstruction]:
    r"""Change the kept weights of a pruned model so that the output of each linear map
    is closest to its output before pruning.

    It solves :func:`least_squares` layer by layer. The inputs :math:`X` are the
    propagated ones, :math:`\hat{A} X` in a GCN, as in
    :func:`~gsparse.prune.criteria.propagated.propagated_norms`, computed with all
    weights of the model. It is meant for masks that remove whole inputs
    (:class:`~gsparse.prune.Columns`) of a trained model, before fine-tuning, and needs
    no labels. Rows may lose different inputs, at the cost of one factorisation per set.
    A fully masked row stays masked. If the outputs of several maps are added, as in
    SAGE, each is fitted separately. The attention of the full model is used, although
    it changes with the weights.

    The layer-wise reconstruction follows the `"SparseGPT"
    <https://arxiv.org/abs/2301.00774>`_ paper. Differences: SparseGPT removes weights
    and updates the others in turn, with inputs that are not propagated; here the mask
    is given, and all kept weights are updated at once.

    It costs one forward pass and, for a layer with :math:`F` inputs, :math:`N F`
    numbers, :math:`O(N F^2 + F^3)` time and :math:`8 F^2` bytes per attention head.

    Args:
        pruned: The pruner of a model, or its masks.
        example: Arguments of the model.
        ridge: Penalty of a change, as a fraction of the mean square of the inputs.
        names: Weights to change; ``None`` for all pruned ones.

    Returns:
        Results by the name of the weight; empty if nothing was pruned.

    Raises:
        ValueError: If a weight has too many inputs or is not the weight of a ``Linear``
            that the model calls, an input is not finite, or the ridge is too small.

    Example:
        >>> import torch
        >>> from gsparse.data import random_graph
        >>> from gsparse.prune import Magnitude, Pruner
        >>> from gsparse.compaction import reconstruct
        >>> from gsparse.prune import Columns
        >>> from torch_geometric.nn import GCNConv
        >>> data = random_graph(num_nodes=40, p=0.2, seed=7)
        >>> x = torch.cat([data.x, data.x], dim=1)  # every feature is there twice
        >>> conv = GCNConv(x.size(1), 4)
        >>> protect = torch.arange(x.size(1)) < x.size(1) // 2
        >>> options = {"structure": Columns(), "protect": protect}
        >>> pruner = Pruner(conv, Magnitude(), sparsity=0.5, **options)
        >>> result = reconstruct(pruner, (x, data.edge_index), ridge=1e-9)
        >>> result["lin.weight"].masked_error > 0.1, result["lin.weight"].error < 1e-6
        (True, True)
    """
    masks = pruned.masks if isinstance(pruned, WeightPruner) else pruned
    if not ridge >= 0:
        raise ValueError(f"'ridge' must not be negative (got {ridge})")
    wanted = _wanted(masks, names)
    found: dict[str, Tensor] = {}

    def add(name: str, heads: Heads, rows: int) -> None:
        if name in wanted:
            now = torch.stack([gram(head) for head in heads])
            found[name] = found[name] + now if name in found else now

    if wanted:
        check_example(example)
        with full_weights(masks):
            visit_inputs(masks.model, example, add)
    _check(found, wanted)
    result, changed = {}, {}
    for name in wanted:
        weight = masks.parameters()[name]
        changed[name], errors = _by_head(weight, masks[name], found[name], ridge)
        result[name] = Reconstruction(weight.detach().clone(), *errors)
    for name, value in changed.items():
        weight, keep = masks.parameters()[name], masks[name]
        weight[keep] = value[keep].to(weight)
    return result


def _by_head(
    weight: Tensor, keep: Tensor, products: Tensor, ridge: float
) -> tuple[Tensor, tuple[float, float]]:
    """Return the new weights, and the errors of the mask alone and of the new
    weights.
    """
    full, found = weight.detach().double(), torch.zeros_like(weight).double()
    errors = torch.zeros(3, dtype=torch.float64)
    rows = len(weight) // len(products)
    for head, matrix in enumerate(products):
        part = slice(head * rows, (head + 1) * rows)
        sets, which = keep[part].unique(dim=0, return_inverse=True)
        for i, kept in enumerate(sets):
            some = torch.arange(part.start, part.stop, device=which.device)[which == i]
            found[some] = least_squares(full[some], kept, matrix, ridge)
        w = full[part]
        for k, off in enumerate([w, w.masked_fill(keep[part], 0.0), w - found[part]]):
            errors[k] += ((off @ matrix) * off).sum().cpu()
    total, masked, after = errors.clamp(min=0).tolist()
    return found, (masked / total if total else 0.0, after / total if total else 0.0)


def _wanted(masks: WeightMasks, names: Iterable[str] | None) -> list[str]:
    """Return the names of the weights to change; refuse weights with too many
    inputs.
    """
    chosen = list(masks.targets) if names is None else list(names)
    chosen = [name for name in chosen if not bool(masks[name].all())]
    for name in chosen:
        shape = list(masks[name].shape)
        if len(shape) == 2 and shape[1] > MAX_INPUTS:
            raise ValueError(
                f"{name!r} must have at most {MAX_INPUTS} inputs, since their products "
                f"are a square matrix (got {shape[1]}); exclude it by 'names'"
            )
    return chosen


def _check(found: dict[str, Tensor], wanted: list[str]) -> None:
    for name in wanted:
        if name not in found:
            raise ValueError(
                f"{name!r} must be the weight of a Linear that the model calls with "
                f"'example' (got inputs of: {', '.join(found) or 'none'}); exclude it "
                "by 'names'"
            )
        if not bool(found[name].isfinite().all()):
            raise ValueError(
                f"the inputs of {name!r} must be finite (got NaN or infinity); check "
                "'example'"
            )

"""Projection of weights onto a few bits, with one scale for a layer or a row."""

from typing import Literal, get_args

import torch
from torch import Tensor

from gsparse.nn.quantised_linear import Quantised

Per = Literal["layer", "row"]
"""One scale for all weights of a parameter, or one for each of its rows."""

#: Limits of the bits of a code, which is stored as int8.
LEAST_BITS, MOST_BITS = 2, 8
#: Maximum number of code changes, one per weight and level, in the search of a scale.
MOST_TURNS = 2**20
#: Maximum number of rounds from a first scale; a few dozen are usual.
NUM_ROUNDS = 200


def largest_code(bits: int) -> int:
    """Return the largest magnitude of a code; the sign takes one of the bits.

    Example:
        >>> from gsparse.prune.quantise import largest_code
        >>> [largest_code(bits) for bits in (2, 4, 8)]
        [1, 7, 127]
    """
    return 2 ** (bits - 1) - 1


def nearest_codes(
    weight: Tensor, scale: Tensor, bits: int, keep: Tensor | None = None
) -> Tensor:
    r"""Return the nearest of the levels :math:`\pm q, \pm 2q, \ldots` of every weight.

    Args:
        weight: Any values.
        scale: The step :math:`q` between two levels.
        bits: Bits of a code, including its sign.
        keep: True for weights that are not pruned; ``None`` takes the non-zeros. A kept
            weight never gets the level zero, however small it is.

    Shapes:
        - **weight**, **keep**, **output:** any; int8
        - **scale:** broadcastable to **weight**

    Example:
        >>> import torch
        >>> from gsparse.prune.quantise import nearest_codes
        >>> weight = torch.tensor([0.0, 0.1, -0.9, 1.6, 9.0])
        >>> nearest_codes(weight, torch.tensor(0.5), bits=3)
        tensor([ 0,  1, -2,  3,  3], dtype=torch.int8)
    """
    check_bits(bits)
    _check_keep(weight, keep)
    kept = weight != 0 if keep is None else keep
    sizes = _sizes(weight.abs(), scale, largest_code(bits))
    signed = torch.where(weight < 0, -sizes, sizes)
    return torch.where(kept, signed, 0).to(torch.int8)


def best_scale(weight: Tensor, codes: Tensor, per: Per = "layer") -> Tensor:
    r"""Return the scale that fits given codes best,
    :math:`q = \langle W, a \rangle / \langle a, a \rangle`; 0 where all codes are 0.

    Shapes:
        - **weight**, **codes:** any, equal
        - **output:** :math:`()`, or :math:`(R, 1, ...)`

    Example:
        >>> import torch
        >>> from gsparse.prune.quantise import best_scale
        >>> best_scale(torch.tensor([1.0, -3.0]), torch.tensor([1, -2]))
        tensor(1.4000)
    """
    w, a = _grouped(weight.double(), per), _grouped(codes.double(), per)
    scale = _quotient((w * a).sum(1), a.square().sum(1))
    return scale.to(weight.dtype).view(_scale_shape(weight, per))


@torch.no_grad()
def quantise(
    weight: Tensor,
    bits: int,
    per: Per = "layer",
    keep: Tensor | None = None,
    start: Tensor | None = None,
) -> Quantised:
    r"""Return the projection :math:`\Pi_Q` of a weight onto levels
    :math:`\{\pm q, \pm 2q, \ldots, \pm (2^{b-1} - 1) q\}`, as in the `"Tiny but
    Accurate" <https://arxiv.org/abs/1908.10017>`_ paper.

    A kept weight has no level at zero; the code 0 stands for a pruned weight. With that
    code, 8 bits (a sign and 7 bits of magnitude) fill an int8, and 2 bits are
    :math:`\pm q` or 0.

    The scale is searched for as well. As it falls, the nearest codes :math:`a` change
    one at a time, at :math:`q = |w_i| / (k + 1/2)`; the largest
    :math:`\langle W, a \rangle^2 / \langle a, a \rangle` on the way is the projection.
    With more than a million such changes, only those of evenly spaced ranks are
    searched; from the scale found there, nearest codes and :func:`best_scale` alternate
    until nothing changes. No step raises :math:`\|W - q a\|^2`, but the result need not
    be the best of all.

    Costs one sort of :math:`2^{b-1} n` numbers, a million at most, and with more
    weights about a dozen passes over them.

    Differs from the paper, whose search for levels is not known: this search is our
    own. Levels are equidistant, not the measured states of a device. The levels
    :math:`\pm 2^{b-1} q` are left out so that zeros need no further bit.

    Args:
        weight: Any values.
        bits: Bits of a code, from 2 to 8, including its sign.
        per: ``"layer"`` for one scale, ``"row"`` for one in each row.
        keep: True for weights that are not pruned; ``None`` takes the non-zeros.
        start: First scale, such as that of a similar weight; codes and scale alternate
            from there. ``None`` searches for one.

    Raises:
        ValueError: If ``bits`` or ``per`` is invalid, ``per="row"`` meets a vector,
            or a weight is not finite.
        TypeError: If ``bits`` is not an int.

    Shapes:
        - **weight**, **keep:** any
        - **start:** :math:`()`, or :math:`(R, 1, ...)` with one for each row

    Example:
        >>> import torch
        >>> from gsparse.prune import quantise
        >>> weight = torch.tensor([[0.0, 0.51, -0.98, 1.49]])
        >>> found = quantise(weight, bits=3)
        >>> found.codes
        tensor([[ 0,  1, -2,  3]], dtype=torch.int8)
        >>> found.values
        tensor([[ 0.0000,  0.4957, -0.9914,  1.4871]])
    """
    check_bits(bits)
    check_per(per, weight)
    _check_keep(weight, keep)
    if not weight.isfinite().all():
        bad = int((~weight.isfinite()).sum())
        raise ValueError(f"'weight' must be finite (got {bad} values that are not)")
    kept = _grouped(weight != 0 if keep is None else keep, per)
    sizes = _grouped(weight.double().abs(), per).masked_fill(~kept, 0.0)
    if start is None:
        first = _searched(sizes, kept, largest_code(bits))
    else:
        first = start.double().expand(_scale_shape(weight, per)).reshape(-1, 1)
    scale = _alternate(sizes, kept, first, largest_code(bits))
    step = scale.to(weight.dtype).view(_scale_shape(weight, per))
    return Quantised(nearest_codes(weight, step, bits, keep), step)


def _searched(sizes: Tensor, kept: Tensor, largest: int) -> Tensor:
    """Return the best scale of every row, searched at evenly spaced ranks if long."""
    steps = torch.arange(1, largest, device=sizes.device).double() + 0.5  # [K]
    room = max(MOST_TURNS // max(sizes.size(0) * len(steps), 1), 2)
    if sizes.size(1) > room:
        ranks = torch.linspace(0, sizes.size(1) - 1, room, device=sizes.device).long()
        sizes = sizes.sort(1).values[:, ranks]
        kept = sizes > 0
    turns = (sizes[:, :, None] / steps).flatten(1)
    order = turns.argsort(1, descending=True)
    # With the turn of w_i from k to k + 1, <W, a> grows by |w_i|, <a, a> by 2k + 1.
    weight, level = order // max(len(steps), 1), order % max(len(steps), 1)
    fit = torch.cat([sizes.sum(1, keepdim=True), sizes.gather(1, weight)], 1)
    norm = torch.cat([kept.sum(1, keepdim=True), 2 * steps[level]], 1)
    fit, norm = fit.cumsum(1), norm.cumsum(1)
    best = (fit * _quotient(fit, norm)).argmax(1, keepdim=True)
    return _quotient(fit.gather(1, best), norm.gather(1, best))


def _alternate(sizes: Tensor, kept: Tensor, scale: Tensor, largest: int) -> Tensor:
    """Alternate nearest codes and the best scale for them until nothing changes."""
    before = None
    for _ in range(NUM_ROUNDS):
        codes = torch.where(kept, _sizes(sizes, scale, largest), 0.0)
        if before is not None and codes.equal(before):
            break
        before = codes
        fit = (sizes * codes).sum(1, keepdim=True)
        scale = _quotient(fit, codes.square().sum(1, keepdim=True))
    return scale


def _sizes(sizes: Tensor, scale: Tensor, largest: int) -> Tensor:
    return _quotient(sizes, scale).round_().clamp_(1, largest)


def _quotient(top: Tensor, bottom: Tensor) -> Tensor:
    """Divide, with 0 / 0 = 0."""
    return top / torch.where(bottom == 0, 1.0, bottom)


def _grouped(values: Tensor, per: Per) -> Tensor:
    """Return the values as a matrix with one row for each scale."""
    return values.reshape(1, -1) if per == "layer" else values.flatten(1)


def _scale_shape(weight: Tensor, per: Per) -> list[int]:
    return [] if per == "layer" else [weight.size(0)] + [1] * (weight.dim() - 1)


def check_bits(bits: int) -> None:
    """Refuse a number of bits that codes cannot have."""
    if isinstance(bits, bool) or not isinstance(bits, int):
        raise TypeError(f"'bits' must be an int (got {bits!r})")
    if not LEAST_BITS <= bits <= MOST_BITS:
        raise ValueError(
            f"'bits' must be from {LEAST_BITS} to {MOST_BITS}, the sign included "
            f"(got {bits})"
        )


def check_per(per: str, weight: Tensor) -> None:
    """Refuse an unknown ``per``, and ``"row"`` for a vector."""
    if per not in get_args(Per):
        known = ", ".join(map(repr, get_args(Per)))
        raise ValueError(f"'per' must be one of {known} (got {per!r})")
    if per == "row" and weight.dim() < 2:
        raise ValueError(
            f"'per' may be 'row' for matrices only (got shape {list(weight.shape)}); "
            "take 'layer'"
        )


def _check_keep(weight: Tensor, keep: Tensor | None) -> None:
    if keep is not None and (keep.dtype != torch.bool or keep.shape != weight.shape):
        raise ValueError(
            f"'keep' must be bool of shape {list(weight.shape)} "
            f"(got {keep.dtype}, {list(keep.shape)})"
        )

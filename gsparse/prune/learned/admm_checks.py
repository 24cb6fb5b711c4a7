"""Checks of the settings of ADMM."""

from collections.abc import Sequence

from torch import Tensor

from gsparse.prune.quantise import check_bits
from gsparse.prune.select import check_scope
from gsparse.prune.structured.select_groups import Protect
from gsparse.prune.structured.structures import Structure


def as_structures(
    structure: Structure | Sequence[Structure] | None, protect: Protect | None
) -> tuple[Structure, ...]:
    """Return the structures as a tuple; refuse groups that they cannot protect."""
    found: tuple[Structure, ...]
    if isinstance(structure, list | tuple):
        found = tuple(structure)
    else:
        found = () if structure is None else (structure,)  # type: ignore[assignment]
    for it in found:
        if not isinstance(it, Structure):
            raise TypeError(
                f"'structure' must be one such as Rows(), or several (got {it!r})"
            )
    if protect is not None and not found:
        raise ValueError(
            "'protect' must come with 'structure' (got structure=None); give "
            "structure=Rows() to prune whole units"
        )
    if isinstance(protect, Tensor) and len(found) > 1:
        raise ValueError(
            "'protect' may be one bool for every group with one structure only "
            f"(got {len(found)}); give the rows of parameters by name"
        )
    return found


def check_settings(
    every: int,
    num_updates: int,
    rho: tuple[float, float],
    scope: str,
    bits: int | None,
) -> None:
    """Refuse invalid steps, falling penalties, and unknown scopes and bits."""
    check_scope(scope)
    if bits is not None:
        check_bits(bits)
    for name, value in [("every", every), ("num_updates", num_updates)]:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name!r} must be an int (got {value!r})")
        if value < 1:
            raise ValueError(f"{name!r} must be at least 1 (got {value})")
    if len(rho) != 2 or not 0 < rho[0] <= rho[1] < float("inf"):
        raise ValueError(
            f"'rho' must be two numbers, 0 < first <= last, finite (got {rho})"
        )

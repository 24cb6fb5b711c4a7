"""Merge the two directions and the parallel copies of edges."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gsparse.data.folders.sorted_runs import Entries, Keys, unpack

Copies = Literal["check", "add", "one"]


class Merged(NamedTuple):
    """Undirected edges in ascending order.

    Shapes:
        - **row**, **col**, **weight:** :math:`(n,)`, ``row <= col``
    """

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    weight: NDArray[np.float64]


def merge_directions(
    forward: Entries,
    backward: Entries,
    *,
    symmetrize: bool,
    copies: Copies,
    where: object,
) -> Merged:
    """Add up parallel copies and compare both directions of every edge.

    The weight of an edge is the sum of its copies in one direction; without weights,
    their number. If the directions differ by rounding, it is their mean. See
    :func:`~gsparse.data.convert_graph` for the other rules.

    Args:
        forward: Sorted entries ``(u, v)`` with ``u <= v``.
        backward: Sorted entries ``(v, u)`` with ``u < v``, with the keys of ``(u, v)``.
        symmetrize: Whether an edge may be listed in one direction only.
        copies: What to do with copies of an edge.
        where: Name of the file for error messages.

    Raises:
        ValueError: If the two directions of an edge differ.
    """
    ahead, back = _totals(forward), _totals(backward)
    if np.array_equal(ahead[0], back[0]):
        key = ahead[0]
    else:
        key = np.concatenate([ahead[0], back[0]])
        key.sort()  # np.union1d is several times slower
        key = key[np.diff(key, prepend=~key[:1]) != 0]
    first, second = _align(key, *ahead), _align(key, *back)
    row, col = unpack(key)
    loop = row == col
    if copies == "add":
        return Merged(row, col, first.clip(0) + second.clip(0))
    second[loop] = first[loop]
    alone = (first < 0) | (second < 0)
    if symmetrize:
        first, second = (
            np.where(first < 0, second, first),
            np.where(second < 0, first, second),
        )
    elif alone.any():
        u, v = int(row[alone][0]), int(col[alone][0])
        if first[alone][0] < 0:
            u, v = v, u
        raise ValueError(
            f"{where} must list both directions of every edge of an undirected graph "
            f"(got ({u}, {v}) without ({v}, {u})); use symmetrize=True (--symmetrize) "
            "if it lists each edge once"
        )
    if copies == "one":
        return Merged(row, col, np.ones(key.size))
    bad = ~np.isclose(first, second, rtol=1e-5, atol=0)
    if bad.any():
        u, v = int(row[bad][0]), int(col[bad][0])
        raise ValueError(
            f"{where} must give both directions of an edge the same weight (got "
            f"{first[bad][0]:g} for ({u}, {v}) and {second[bad][0]:g} for ({v}, {u})); "
            "use copies='add' (--copies add) if every line is an edge of its own, or "
            "copies='one' if repeated lines mean nothing"
        )
    return Merged(row, col, (first + second) / 2)


def _totals(entries: Entries) -> tuple[Keys, NDArray[np.float64]]:
    """Return the distinct keys and the sum of the weights of each."""
    key, weight = entries
    new = np.ones(key.size, dtype=bool)
    np.not_equal(key[1:], key[:-1], out=new[1:])
    if new.all():
        one: NDArray[Any] = np.ones(key.size) if weight is None else weight
        return key, one.astype(np.float64)
    place = np.cumsum(new) - 1
    double = None if weight is None else weight.astype(np.float64)
    return key[new], np.bincount(place, double).astype(np.float64)


def _align(key: Keys, found: Keys, total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the total of every key, -1 where it was not found."""
    if found.size == key.size:
        return total.copy()
    out = np.full(key.size, -1.0)
    out[np.searchsorted(key, found)] = total
    return out

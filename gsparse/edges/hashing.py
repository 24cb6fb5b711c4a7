"""Random numbers that depend on an edge and not on its position in ``edge_index``."""

import torch
from torch import Tensor

from gsparse.edges.pairs import Pairs

TIES = 31337  # stream of the numbers that decide between equal scores
BLOCK = 1 << 20  # pairs hashed at a time, which limits the memory
# SplitMix64's 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9 and 0x94D049BB133111EB as int64.
STEP = -0x61C8864680B583EB
FACTORS = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)


def pair_uniform(pairs: Pairs, seed: int, stream: int = 0) -> Tensor:
    """Draw one number in (0, 1) per pair from the seed, the stream and the end points.

    Shapes:
        - **output:** :math:`(M,)`, float64

    Example:
        >>> import torch
        >>> from gsparse.edges import pair_uniform, undirected_pairs
        >>> path = undirected_pairs(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> edge = undirected_pairs(torch.tensor([[2, 1], [1, 2]]))
        >>> pair_uniform(path, seed=7)[1] == pair_uniform(edge, seed=7)[0]
        tensor(True)
    """
    start = stream_start(seed, stream).to(pairs.row.device)
    out = torch.empty(pairs.num_pairs, dtype=torch.float64, device=pairs.row.device)
    for i in range(0, pairs.num_pairs, BLOCK):
        block = slice(i, i + BLOCK)
        out[block] = _unit(mix(mix(start + pairs.row[block]) + pairs.col[block]))
    return out


def stream_start(seed: int, stream: int) -> Tensor:
    """Hash the seed and the stream; the hash of a pair begins with this number.

    Shapes:
        - **output:** :math:`(1,)`, int64
    """
    start = torch.tensor([seed, stream])
    return mix(mix(start[:1]) + start[1:])


def tie_breaker(pairs: Pairs) -> Tensor:
    """Draw the number that decides between pairs of equal importance.

    All methods use the same numbers. Node ids must not decide, because they often have
    a meaning: the citation graphs list the training nodes first.

    Shapes:
        - **output:** :math:`(M,)`, float64
    """
    return pair_uniform(pairs, TIES)


def counter_uniform(seed: int, start: int, stop: int, device: torch.device) -> Tensor:
    """Return the numbers ``start`` to ``stop`` of a uniform stream in (0, 1).

    Shapes:
        - **output:** ``[stop - start]``, float64
    """
    base = mix(torch.tensor([seed], device=device))
    return _unit(mix(base + torch.arange(start, stop, device=device)))


def draw_seed(seed: int | None) -> int:
    """Return the seed, or draw one from torch's global generator if it is None."""
    return int(torch.randint(2**62, ())) if seed is None else seed


def _unit(bits: Tensor) -> Tensor:
    """Convert the top 53 bits to a number in (0, 1)."""
    return ((bits >> 11) & ((1 << 53) - 1)).double().add_(0.5).mul_(2.0**-53)


def mix(z: Tensor) -> Tensor:
    """Apply SplitMix64's finaliser to int64 (products wrap, shifts are logical)."""
    z = z + STEP
    z = (z ^ ((z >> 30) & ((1 << 34) - 1))) * FACTORS[0]
    z = (z ^ ((z >> 27) & ((1 << 37) - 1))) * FACTORS[1]
    return z ^ ((z >> 31) & ((1 << 33) - 1))

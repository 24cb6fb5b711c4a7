"""Random numbers that depend on ``(seed, stream)`` only.

Philox is a counter-based generator whose raw 64-bit words are fixed for ever; the
distributions of numpy and torch may change between versions. Everything random in
:mod:`gsparse.data` is made from those words, so that the same seed gives the same
graph and the same split on every machine and under every version.
"""

import numpy as np
from numpy.typing import NDArray

MAX_SEED = 2**64


def check_seed(seed: int) -> None:
    """Raises unless ``seed`` is an integer in [0, 2**64)."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"'seed' must be an int (got {type(seed).__name__})")
    if not 0 <= seed < MAX_SEED:
        raise ValueError(f"'seed' must be in [0, 2**64) (got {seed})")


class RandomStream:
    """One stream of random numbers.

    Args:
        seed: Which family of streams.
        stream: Which member of it: a class, a purpose, a round.
    """

    def __init__(self, seed: int, stream: int = 0) -> None:
        check_seed(seed)
        self._bits = np.random.Philox(key=int(seed) + MAX_SEED * int(stream))

    def words(self, size: int) -> NDArray[np.uint64]:
        """``size`` independent 64-bit words."""
        return self._bits.random_raw(size)

    def uniform(self, size: int) -> NDArray[np.float64]:
        """``size`` numbers in [0, 1), multiples of 2**-53."""
        return (self.words(size) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normal(self, size: int) -> NDArray[np.float64]:
        """``size`` standard normal numbers (Box and Muller)."""
        half = (size + 1) // 2
        radius = np.sqrt(-2.0 * np.log1p(-self.uniform(half)))
        angle = 2.0 * np.pi * self.uniform(half)
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:size]

    def integers(self, high: int, size: int) -> NDArray[np.int64]:
        """``size`` integers in [0, high), for ``high`` below 2**40."""
        return (self.uniform(size) * high).astype(np.int64)

    def permutation(self, size: int) -> NDArray[np.int64]:
        """A random order of ``range(size)``."""
        return np.argsort(self.words(size), kind="stable")

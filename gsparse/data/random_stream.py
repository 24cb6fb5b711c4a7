"""Random numbers that depend on a seed and a stream number only.

Philox is a counter-based generator whose raw 64-bit words never change, in contrast to
the distributions of NumPy and PyTorch. All random numbers of :mod:`gsparse.data` are
derived from these words, so the same seed gives the same graphs and splits on every
machine and with every version.
"""

import numpy as np
from numpy.typing import NDArray

MAX_SEED = 2**64


def check_seed(seed: int) -> None:
    """Refuse a seed that is not an integer in [0, 2**64)."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"'seed' must be an int (got {type(seed).__name__})")
    if not 0 <= seed < MAX_SEED:
        raise ValueError(f"'seed' must be in [0, 2**64) (got {seed})")


class RandomStream:
    """A stream of random numbers.

    Args:
        seed: Random seed.
        stream: Number of the stream; streams of one seed are independent.
    """

    def __init__(self, seed: int, stream: int = 0) -> None:
        check_seed(seed)
        self._bits = np.random.Philox(key=int(seed) + MAX_SEED * int(stream))

    def words(self, size: int) -> NDArray[np.uint64]:
        """Draw ``size`` independent 64-bit words."""
        return self._bits.random_raw(size)

    def uniform(self, size: int) -> NDArray[np.float64]:
        """Draw ``size`` numbers in [0, 1), multiples of 2**-53."""
        return (self.words(size) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normal(self, size: int) -> NDArray[np.float64]:
        """Draw ``size`` standard normal numbers (Box and Muller)."""
        half = (size + 1) // 2
        radius = np.sqrt(-2.0 * np.log1p(-self.uniform(half)))
        angle = 2.0 * np.pi * self.uniform(half)
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:size]

    def integers(self, high: int, size: int) -> NDArray[np.int64]:
        """Draw ``size`` integers in [0, high) with ``high`` below 2**40."""
        return (self.uniform(size) * high).astype(np.int64)

    def permutation(self, size: int) -> NDArray[np.int64]:
        """Draw a random permutation of ``range(size)``."""
        return np.argsort(self.words(size), kind="stable")

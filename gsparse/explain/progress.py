"""Report the progress of a long computation."""

import sys
from collections.abc import Callable
from time import monotonic
from typing import TextIO

Progress = Callable[[int, int], None]
"""Function that is called with the completed and the total number of steps."""

WIDTH = 30


def text_bar(what: str, stream: TextIO | None = None, every: float = 0.2) -> Progress:
    """Create a text progress bar with the remaining time.

    Args:
        what: Label in front of the bar.
        stream: Output stream; ``None`` for stderr.
        every: Minimum number of seconds between updates, except for the last one.

    Example:
        >>> import io
        >>> from gsparse.explain import text_bar
        >>> stream = io.StringIO()
        >>> text_bar("draws", stream)(20, 20)
        >>> stream.getvalue().strip()
        'draws [##############################] 20/20, 0 s left'
    """
    start, last = monotonic(), float("-inf")

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = monotonic()
        if done < total and now - last < every:
            return
        last = now
        full = WIDTH * done // max(total, 1)
        left = (now - start) * (total - done) / max(done, 1)
        bar = "#" * full + "." * (WIDTH - full)
        out = sys.stderr if stream is None else stream
        end = "\n" if done >= total else ""
        out.write(f"\r{what} [{bar}] {done}/{total}, {left:.0f} s left {end}")
        out.flush()

    return tell


def teller(progress: bool | Progress, what: str) -> Progress:
    """Return the given function, a progress bar, or a function that does nothing."""
    if callable(progress):
        return progress
    return text_bar(what) if progress else lambda done, total: None

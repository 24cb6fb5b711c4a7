"""How far a long computation is, told to whoever wants to know."""

import sys
from collections.abc import Callable
from time import monotonic
from typing import TextIO

Progress = Callable[[int, int], None]
"""Called with what is done and what there is to do."""

WIDTH = 30


def text_bar(what: str, stream: TextIO | None = None, every: float = 0.2) -> Progress:
    """A bar of text with the time left, rewritten in place.

    Args:
        what: Written before the bar.
        stream: Where to; ``None`` for stderr.
        every: Seconds between two states; the last is always written.

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


def silent(done: int, total: int) -> None:
    """Says nothing."""


def teller(progress: bool | Progress, what: str) -> Progress:
    """A bar where one was asked for, the caller's own function, or nothing."""
    if callable(progress):
        return progress
    return text_bar(what) if progress else silent

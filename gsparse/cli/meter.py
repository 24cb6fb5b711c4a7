"""Progress of long steps on a terminal."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TextIO

INTERVAL = 0.2  # seconds between updates


class Meter:
    """Show the share done, the rate, and the time left of the current step.

    Nothing is written unless the stream is a terminal.

    Args:
        stream: Where to write; standard error by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._shown = self._stream.isatty()
        self._step, self._first = "", 0
        self._began = self._written = 0.0

    def __call__(self, step: str, done: int, total: int) -> None:
        """Report that a part of a step is done: bytes while reading, or edges."""
        if not self._shown:
            return
        now = monotonic()
        if step != self._step:
            self._step, self._first = step, done
            self._began = self._written = now
            return
        if now - self._written < INTERVAL and done < total:
            return
        self._written = now
        rate = (done - self._first) / max(now - self._began, 1e-9)
        self._write(line(step, done, total, rate))
        if done >= total:  # the next call begins the step again, or another one
            self._step = ""

    def close(self) -> None:
        """Remove the line."""
        if self._shown:
            self._write("")

    def _write(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}")
        self._stream.flush()


def line(step: str, done: int, total: int, rate: float) -> str:
    """Return the text of a step.

    Example:
        >>> from gsparse.cli.meter import line
        >>> line("writing", 30_000_000, 40_000_000, rate=2e6)
        'writing 75 %, 2.0 M edges/s, 0:05 left'
    """
    unit = "B" if step == "reading" else " edges"
    left = round((total - done) / max(rate, 1e-9))
    share = 100 * done // max(total, 1)
    speed = f"{rate / 1e6:.1f} M{unit}/s"
    return f"{step} {share} %, {speed}, {left // 60}:{left % 60:02} left"

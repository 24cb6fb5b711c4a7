"""Marks of a plot as SVG: shapes, curves, bands, axes and labels."""

from collections.abc import Iterable, Sequence

from gsparse.bench.page.scale import Scale
from gsparse.bench.page.text import escape, tag

COLOURS = 7
"""Classes ``k0`` to ``k6`` of the style sheet; a colour and a shape name a curve."""

_UP, _DOWN, _SQUARE = "M0-5.5 5 4H-5Z", "M0 5.5 5-4H-5Z", "M-4.2-4.2H4.2V4.2H-4.2Z"
_CIRCLE = "M-4.6 0A4.6 4.6 0 1 0 4.6 0 4.6 4.6 0 1 0-4.6 0Z"
_DIAMOND = "M0-6 5 0 0 6-5 0Z"
_PLUS = "M-1.7-5.5H1.7V-1.7H5.5V1.7H1.7V5.5H-1.7V1.7H-5.5V-1.7H-1.7Z"
_CROSS = "M-5-2.7-2.7-5 0-2.3 2.7-5 5-2.7 2.3 0 5 2.7 2.7 5 0 2.3-2.7 5-5 2.7-2.3 0Z"
_STAR = "M0-6 1.6-1.9 5.8-1.9 2.4.8 3.6 5 0 2.5-3.6 5-2.4.8-5.8-1.9-1.6-1.9Z"
SHAPES = (_CIRCLE, _SQUARE, _UP, _DIAMOND, _DOWN, _PLUS, _CROSS, _STAR)

Point = tuple[float, float]


def colour(i: int) -> str:
    """Return the class of the colour of curve ``i``."""
    return f"k{i % COLOURS}"


def shape(i: int, x: float, y: float, class_: str, title: str | None = None) -> str:
    """Return the marker of curve ``i`` at a place, with a text for hovering."""
    inside = "" if title is None else tag("title", escape(title))
    place = f"translate({x:.1f} {y:.1f})"
    return tag("path", inside, d=SHAPES[i % 8], transform=place, class_=f"m {class_}")


def path(points: Iterable[Point], class_: str, close: bool = False) -> str:
    """Return straight lines through points."""
    steps = " ".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return tag("path", d=f"M{steps}{'Z' if close else ''}", class_=class_)


def label(x: float, y: float, text: str, class_: str = "", **more: object) -> str:
    """Return a text at a place."""
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "class_": class_ or None}
    return tag("text", escape(text), **place, **more)


def axes(x: Scale, y: Scale, x_texts: Sequence[str], titles: tuple[str, str]) -> str:
    """Return grid lines, ticks and the titles of both axes.

    Args:
        x: Horizontal axis.
        y: Vertical axis; its ticks are plain numbers.
        x_texts: One text for each tick of ``x``.
        titles: Words below, and above to the left.
    """
    parts = []
    for value in y.ticks():
        parts.append(path([(x.start, y(value)), (x.end, y(value))], "grid"))
        parts.append(label(x.start - 6, y(value) + 4, f"{value:g}", "tick end"))
    last = float("-inf")
    for value, text in zip(x.ticks(), x_texts, strict=True):
        if x(value) - last < 12 + 6.5 * len(text):  # no room for this text
            continue
        last = x(value)
        parts.append(path([(last, y.start), (last, y.start + 4)], "axis"))
        parts.append(label(last, y.start + 17, text, "tick mid"))
    parts.append(path([(x.start, y.start), (x.end, y.start)], "axis"))
    parts.append(label((x.start + x.end) / 2, y.start + 35, titles[0], "mid"))
    parts.append(label(4, 14, titles[1]))
    return "".join(parts)


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move places apart to at least ``gap``, in their order, between two ends.

    Example:
        >>> spread([5.0, 6.0, 50.0], gap=10.0, low=0.0, high=100.0)
        [5.0, 15.0, 50.0]
    """
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = [0.0] * len(places)
    least = low
    for i in order:
        moved[i] = max(places[i], least)
        least = moved[i] + gap
    most = high
    for i in reversed(order):
        moved[i] = min(moved[i], most)
        most = moved[i] - gap
    return moved

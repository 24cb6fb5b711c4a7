"""The plots of a section as inline SVG: score against sparsity, and against cost."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from gsparse.bench.page.content import Entry, Section
from gsparse.bench.page.curves import Curve, curves, describe
from gsparse.bench.page.marks import (
    Point,
    axes,
    colour,
    label,
    path,
    shape,
    spread,
)
from gsparse.bench.page.scale import Scale, padded
from gsparse.bench.page.text import escape, tag
from gsparse.bench.tables.summary import Line
from gsparse.bench.tables.table import seconds

WIDTH, HEIGHT = 490, 340
LEFT, RIGHT, TOP, BOTTOM = 42.0, 300.0, 28.0, 46.0
ROW = 15.0
"""Height of a label."""
FEW = 8
"""Number of curves up to which their bands are as dark as Dense's."""
LONGEST = 21
"""Letters of a label; the full name stands in the table and on hovering."""

Cost = Callable[[Line], float | None]


def sparsity_plot(section: Section, *, dots: bool = True) -> str:
    """Return test score against achieved sparsity; empty if nothing was tested.

    Each curve has a band of one standard deviation to both sides. Dense is a
    horizontal band and the MLP a dotted line.

    Args:
        section: The block.
        dots: Draw every run as a dot.
    """
    found = curves(section)
    tested = [it for it in section.entries if it.line.test_mean is not None]
    if not tested:
        return ""
    height = _height(len(found) + 2)
    across = [100 * section.removed(it.line) for c in found for it in c.entries]
    x = padded([0.0, *across] if across else [0.0, 100.0], LEFT, RIGHT, pad=0.03)
    y = _vertical(tested, height)
    parts = [_baselines(section, x, y)]
    parts += [_curve(section, curve, x, y, dots=dots) for curve in found]
    parts.append(_labels(section, found, y))
    what = "weights" if section.of_weights else "undirected edges"
    texts = [f"{value:g}" for value in x.ticks()]
    titles = f"{what} removed (%)", f"test {section.metric} (%)"
    frame = axes(x, y, texts, titles)
    about = f"Test {section.metric} against {what} removed: {section.heading}"
    crowd = "many" if len(found) > FEW else None
    return _svg(height, about, tag("g", frame, *parts, class_=crowd))


def cost_plot(
    section: Section, cost: Cost, what: str, write: Callable[[float], str] = seconds
) -> str:
    """Return test score against a cost with the Pareto front; empty if unmeasured.

    Args:
        section: The block.
        cost: Returns the cost of a line, or None.
        what: Words for the cost.
        write: Writes a cost.
    """
    places = {
        id(it): (value, 100 * it.line.test_mean)
        for it in section.entries
        if it.line.test_mean is not None
        and (value := cost(it.line)) is not None
        and value > 0
    }
    if len(places) < 2:
        return ""
    known = [it for it in section.entries if id(it) in places]
    shown = [c for c in curves(section) if any(id(it) in places for it in c.entries)]
    numbers = {id(it): c.number for c in shown for it in c.entries}
    height = _height(len(shown) + 2)
    x = padded([value for value, _ in places.values()], LEFT, RIGHT, log=True)
    y = _vertical(known, height, whiskers=False)
    front = pareto(list(places.values()))
    parts = [path([(x(a), y(b)) for a, b in _stairs(front, x)], "front")]
    for entry in known:
        a, b = places[id(entry)]
        text = f"{describe(entry)}; {what} {write(a)}"
        parts.append(_mark(entry, numbers.get(id(entry)), (x(a), y(b)), text))
    parts.append(_key(section, shown))
    texts = [write(value) for value in x.ticks()]
    frame = axes(x, y, texts, (what, f"test {section.metric} (%)"))
    about = f"Test {section.metric} against {what}: {section.heading}"
    return _svg(height, about, frame, *parts)


def pareto(points: Sequence[Point]) -> list[Point]:
    """Return the points that no cheaper or equally cheap one equals or exceeds.

    Args:
        points: Pairs of cost and score.

    Returns:
        By rising cost and score.

    Example:
        >>> pareto([(2.0, 80.0), (1.0, 70.0), (3.0, 75.0), (2.0, 78.0)])
        [(1.0, 70.0), (2.0, 80.0)]
    """
    front: list[Point] = []
    for cost, score in sorted(points, key=lambda it: (it[0], -it[1])):
        if not front or score > front[-1][1]:
            front.append((cost, score))
    return front


def _stairs(front: Sequence[Point], x: Scale) -> list[Point]:
    """Return the corners between cost and score that the front's points reach."""
    corners = [front[0]]
    for (_, before), (cost, score) in pairwise(front):
        corners += [(cost, before), (cost, score)]
    return [*corners, (x.high, front[-1][1])]


def _height(labels: int) -> float:
    return max(HEIGHT, TOP + BOTTOM + ROW * labels)


def _vertical(entries: Sequence[Entry], height: float, whiskers: bool = True) -> Scale:
    values = []
    for entry in entries:
        mean, std = entry.line.test_mean or 0.0, entry.line.test_std or 0.0
        more = std if whiskers else 0.0
        values += [100 * (mean - more), 100 * (mean + more)]
    return padded(values, height - BOTTOM, TOP)


def _svg(height: float, about: str, *parts: str) -> str:
    inside = tag("title", escape(about)) + "".join(parts)
    box = f"0 0 {WIDTH} {height:.0f}"
    return tag("svg", inside, viewBox=box, role="img", aria_label=about)


def _spreads(entry: Entry) -> tuple[float, float, float]:
    mean = 100 * (entry.line.test_mean or 0.0)
    std = 100 * (entry.line.test_std or 0.0)
    return mean, mean - std, mean + std


def _baselines(section: Section, x: Scale, y: Scale) -> str:
    parts = []
    for entry, name in ((section.dense, "dense"), (section.mlp, "mlp")):
        if entry is None or entry.line.test_mean is None:
            continue
        mean, low, high = _spreads(entry)
        corners = [(x.start, low), (x.end, low), (x.end, high), (x.start, high)]
        if name == "dense":
            band = [(a, y(b)) for a, b in corners]
            parts.append(path(band, "dense-band", close=True))
        line = path([(x.start, y(mean)), (x.end, y(mean))], name)
        parts.append(tag("g", tag("title", escape(describe(entry))), line))
    return "".join(parts)


def _curve(section: Section, curve: Curve, x: Scale, y: Scale, *, dots: bool) -> str:
    class_ = colour(curve.number)
    places = [100 * section.removed(it.line) for it in curve.entries]
    spreads = [_spreads(it) for it in curve.entries]
    low = [(x(a), y(b)) for a, (_, b, _) in zip(places, spreads, strict=True)]
    high = [(x(a), y(b)) for a, (_, _, b) in zip(places, spreads, strict=True)]
    middle = [(x(a), y(b)) for a, (b, _, _) in zip(places, spreads, strict=True)]
    parts = []
    if len(places) > 1:
        parts.append(path(low + high[::-1], f"band {class_}", close=True))
        dash = " dash" if curve.is_control else ""
        parts.append(path(middle, f"line {class_}{dash}"))
    else:
        parts.append(path([low[0], high[0]], f"line {class_}"))
    for entry, (a, b) in zip(curve.entries, middle, strict=True):
        if dots:
            parts.append(_dots(entry, a, y, class_))
        parts.append(shape(curve.number, a, b, class_, describe(entry)))
    return "".join(parts)


def _dots(entry: Entry, x: float, y: Scale, class_: str) -> str:
    parts = []
    for seed, value in sorted(entry.points.items()):
        if not min(y.low, y.high) <= value <= max(y.low, y.high):
            continue
        text = tag("title", escape(f"seed {seed}: {value:.1f}"))
        parts.append(tag("circle", text, cx=f"{x:.1f}", cy=f"{y(value):.1f}", r="2"))
    return tag("g", *parts, class_=f"dot {class_}")


def _mark(entry: Entry, number: int | None, place: Point, text: str) -> str:
    if number is not None:
        return shape(number, *place, colour(number), text)
    return shape(1 if entry.line.method == "MLP" else 0, *place, "base", text)


def _short(name: str) -> str:
    """Cut a name in its middle: letters at its end tell curves apart."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 7]}…{name[-6:]}"


def _labels(section: Section, found: Sequence[Curve], y: Scale) -> str:
    """Return the names of curves at the height where each ends, moved apart."""
    ends = [(c.number, c.name, _spreads(c.entries[-1])[0]) for c in found]
    names: list[tuple[int | None, str, float]] = [*ends]
    for entry, name in ((section.dense, "Dense ± std"), (section.mlp, "MLP, no edges")):
        if entry is not None and entry.line.test_mean is not None:
            names.append((None, name, _spreads(entry)[0]))
    places = spread([y(it) for _, _, it in names], ROW, y.end, y.start)
    parts = []
    for (number, name, value), place in zip(names, places, strict=True):
        class_ = "dense" if number is None else f"lead {colour(number)}"
        class_ = "mlp" if name.startswith("MLP,") else class_
        lead = [(RIGHT + 2, y(value)), (RIGHT + 12, place)]
        parts.append(path(lead, class_))
        if number is not None:
            parts.append(shape(number, RIGHT + 18, place, colour(number)))
        parts.append(label(RIGHT + 26, place + 4, _short(name), "name"))
    return "".join(parts)


def _key(section: Section, found: Sequence[Curve]) -> str:
    """Return the legend of a plot of points, in the order of the curves."""
    rows: list[tuple[int, str, str]] = [
        (c.number, colour(c.number), c.name) for c in found
    ]
    if section.dense is not None:
        rows.append((0, "base", "Dense"))
    if section.mlp is not None:
        rows.append((1, "base", "MLP, no edges"))
    parts = []
    for i, (number, class_, name) in enumerate(rows):
        place = TOP + 6 + ROW * i
        parts.append(shape(number, RIGHT + 18, place, class_))
        parts.append(label(RIGHT + 26, place + 4, _short(name), "name"))
    return "".join(parts)

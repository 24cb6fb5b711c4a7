"""Parse words of the command line."""

from typing import TypeVar

from gsparse.bench.experiment.config import Teacher

WEIGHTS = {"auto": None, "use": True, "ignore": False}
EDGE_TERMS = {"auto": None, "with": True, "without": False}
TEACHERS: dict[str, Teacher | None] = {
    "auto": None,
    "none": "none",
    "edges": "edges",
    "weights": "weights",
}

T = TypeVar("T")


def parse_numbers(name: str, text: str) -> list[float]:
    """Parse numbers with commas between them.

    Raises:
        ValueError: A part is no number.

    Example:
        >>> parse_numbers("sparsity", "0,0.5,.8")
        [0.0, 0.5, 0.8]
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"'{name}' must be numbers with commas between them (got {text!r})"
        ) from None


def parse_seeds(text: str) -> range:
    """Parse a number of seeds, or a range that includes both ends.

    Raises:
        ValueError: Neither a positive count nor a range.

    Example:
        >>> parse_seeds("3"), parse_seeds("100-109")
        (range(0, 3), range(100, 110))
    """
    first, dash, last = text.partition("-")
    try:
        found = range(int(first), int(last) + 1) if dash else range(int(first))
    except ValueError:
        found = range(0)
    if not found:
        raise ValueError(
            f"'seeds' must be a number or a range such as 100-109 (got {text!r})"
        )
    return found


def parse_choice(name: str, text: str, values: dict[str, T]) -> T:
    """Return the value of a word.

    Raises:
        ValueError: The word is not one of ``values``; lists them.
    """
    if text not in values:
        known = ", ".join(values)
        raise ValueError(f"'{name}' must be one of {known} (got {text!r})")
    return values[text]

"""Sizes in bytes, written as ``"4GB"`` or ``"512MiB"``."""

import re

_UNITS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGT", start=1):
    _UNITS |= {_letter: 1000**_power, f"{_letter}B": 1000**_power}
    _UNITS |= {f"{_letter}IB": 1024**_power}
_SIZE = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]*)\s*")


def parse_bytes(size: str | int) -> int:
    """Return a size in bytes.

    Example:
        >>> from gsparse.data.folders.byte_sizes import parse_bytes
        >>> parse_bytes("1.5GB"), parse_bytes("2MiB"), parse_bytes(4096)
        (1500000000, 2097152, 4096)

    Raises:
        ValueError: If the text is not a number with a known unit, or is not positive.
    """
    found = _SIZE.fullmatch(str(size))
    unit = _UNITS.get(found[2].upper()) if found else None
    number = int(float(found[1]) * unit) if found and unit else 0
    if number <= 0:
        raise ValueError(
            f"a memory must be a size such as 4GB or 512MiB (got {size!r})"
        )
    return number


def format_bytes(size: int) -> str:
    """Return a size as text with three digits.

    Example:
        >>> from gsparse.data.folders.byte_sizes import format_bytes
        >>> format_bytes(1_234_000_000)
        '1.23 GB'
    """
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} B"

"""Escaping: every string of a row goes through one of these functions."""

import csv
import io
from collections.abc import Iterable, Sequence
from html import escape as _escape
from urllib.parse import quote

FORMULA = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")
"""First characters with which spreadsheets begin a formula, and their wide forms."""

INVISIBLE = " \x00\u00a0\u200b\ufeff"
"""Characters that may stand before a formula."""


def escape(value: object) -> str:
    """Escape a value for HTML and SVG, in text and in quoted attributes.

    Control characters, which no document may hold, become a question mark.

    Example:
        >>> escape('<a b="c">')
        '&lt;a b=&quot;c&quot;&gt;'
    """
    text = "".join(c if c >= " " or c in "\t\n" else "?" for c in str(value))
    text = text.encode(errors="replace").decode()  # lone surrogates
    return _escape(text, quote=True)


def tag(name: str, *parts: str, **attributes: object) -> str:
    """Return an element; the values of attributes are escaped, the parts are markup.

    An underscore ends names that Python reserves (``class_``) and is a hyphen inside
    others.

    Example:
        >>> tag("p", escape("a < b"), class_="x")
        '<p class="x">a &lt; b</p>'
    """
    given = (
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{''.join(given)}>{''.join(parts)}</{name}>"


def cell(value: object) -> str:
    """Return a value for CSV; texts that a spreadsheet would compute get an apostrophe.

    Fractions and seconds have six digits.

    Example:
        >>> cell("=1+1"), cell(-0.5), cell(None)
        ("'=1+1", '-0.5', '')
    """
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    is_number = isinstance(value, int | float)
    return (
        f"'{text}"
        if not is_number and text.lstrip(INVISIBLE).startswith(FORMULA)
        else text
    )


def csv_link(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """Return the address of a CSV file that holds its own content (``data:``)."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([cell(value) for value in line] for line in lines)
    text = file.getvalue().encode(errors="replace")
    return "data:text/csv;charset=utf-8," + quote(text, safe=",.:/()+=-_")

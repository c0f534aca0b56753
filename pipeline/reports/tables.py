"""Tables as text for a terminal.

A library such as tabulate would need more code: it aligns "81.2 %" to the left, as text, unless
each column has its own setting.
"""

import re
from collections.abc import Sequence

from features.text import for_terminal

_NUMBER = re.compile(r"(-?[\d,]+(\.\d+)?( [%M]|e[+-]?\d+)?)?")  # or an empty cell


def render(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return aligned columns under a header: numbers to the right, everything else to the left.

    A cell stays one line, whatever is in it, and is cut where it is very long.
    """
    cells = [[for_terminal(str(cell)) for cell in row] for row in rows]
    header = [for_terminal(name) for name in header]
    columns = list(zip(header, *cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [bool(rows) and all(map(_NUMBER.fullmatch, column[1:])) for column in columns]
    lines = [header, ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )

"""How result objects look in a notebook."""

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def html(heading: str, frame: "pd.DataFrame") -> str:
    """Return a small heading over a table as HTML; both are escaped."""
    return f"<h4>{escape(heading)}</h4>\n{frame.to_html(index=False, border=0, na_rep='')}"

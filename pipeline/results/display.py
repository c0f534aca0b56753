"""What result objects have in common: tables for notebooks, mistakes, a score in words."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from pipeline.statistics.scoring import LOWER_IS_BETTER

if TYPE_CHECKING:
    import pandas as pd

ROWS = 20  # of a table in a notebook, at most


def html(heading: str, frame: "pd.DataFrame") -> str:
    """Return a small heading over a table as HTML; both are escaped."""
    lines = "<br>".join(escape(line) for line in heading.splitlines())
    table = frame.to_html(
        index=False, border=0, justify="left", na_rep="", max_rows=ROWS, float_format=_number
    )
    return f"<h4>{lines}</h4>\n{table}"


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def percent(value: float, low: float | None, high: float | None, metric: str = "") -> str:
    """Return a score with its interval, such as "81.1 % [79.1, 83.1]"; a loss is no share."""
    scale, digits, unit = (1, 4, "") if metric in LOWER_IS_BETTER else (100, 1, " %")
    shown = f"{scale * value:.{digits}f}{unit}"
    if low is None or high is None or np.isnan(low):
        return f"{shown}, no interval"
    return f"{shown} [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"


def predictions(
    ids: Sequence[str],
    labels: np.ndarray,
    predicted: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
) -> "pd.DataFrame":
    """Return a row for each of n images: id, label, predicted and probability.

    Args:
        ids: n ids.
        labels: int (n,), the true classes.
        predicted: int (n,), the classes decided for.
        probabilities: float32 (n, K).
        class_names: K names.
    """
    import pandas as pd

    names = np.array(class_names, object)
    return pd.DataFrame(
        {
            "id": list(ids),
            "label": names[labels],
            "predicted": names[predicted],
            "probability": probabilities[np.arange(len(predicted)), predicted],
        }
    )


def mistakes(
    ids: Sequence[str],
    labels: np.ndarray,
    predicted: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
) -> "pd.DataFrame":
    """Return the rows of `predictions` that are wrong, the surest first."""
    frame = predictions(ids, labels, predicted, probabilities, class_names)
    wrong = frame[frame["label"] != frame["predicted"]]
    return wrong.sort_values("probability", ascending=False, kind="stable", ignore_index=True)

"""Charts as plotly figures: plain dictionaries whose colours are names from `style.css`.

Before the page draws them it puts in the colours of the reader's theme, and the fonts and margins
that all charts share.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from pipeline.results.comparison import Comparison
from pipeline.statistics.metrics import Reliability
from pipeline.statistics.precision_recall import Curve

Figure = dict[str, Any]

COSTS = {
    "fit_seconds": "seconds to fit once",
    "predict_1000_seconds": "seconds to predict 1,000 images",
}
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
_COLOURS = ("--accent", "--ink", "--muted", "--faint")
_POINTS = 200  # of a curve, at most
_FASTEST = 1e-4  # seconds: shorter times are drawn here, as the axis is logarithmic


def cost(comparison: Comparison, over: str) -> Figure:
    """Return accuracy against one of `COSTS`, with a line through the best at each cost.

    Candidates that only know class frequencies are left out, so that the others can be told apart;
    so are those whose cost is not known.
    """
    ranking = comparison.ranking
    shown = [
        row | {"cost": max(row[over], _FASTEST)}
        for rank, row in enumerate(comparison.rows)
        if over in row and (not ranking.is_floor(rank) or len(comparison.rows) == 1)
    ]
    kinds = {
        "others": ([row for row in shown if not row["could_be_best"]], "--faint", "circle", 9),
        "could be the best": (
            [row for row in shown if row["could_be_best"] and not row["recommended"]],
            "--accent",
            "circle-open",
            11,
        ),
        "recommended": ([row for row in shown if row["recommended"]], "--accent", "diamond", 14),
    }
    traces = [_front(shown)]
    traces += [_points(name, *kind) for name, kind in kinds.items() if kind[0]]
    return _figure(
        traces,
        xaxis={"title": {"text": COSTS[over]}, "type": "log", "dtick": 1},
        yaxis={"title": {"text": "accuracy, %"}},
        height=400,
    )


def _points(
    name: str, rows: Sequence[dict[str, Any]], colour: str, symbol: str, size: int
) -> Figure:
    values = [100 * row["accuracy"] for row in rows]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [row["cost"] for row in rows],
        "y": values,
        "error_y": _errors(
            values, *([100 * row[f"accuracy_{end}"] for row in rows] for end in ("low", "high"))
        ),
        "text": [plain(row["candidate"]) for row in rows],
        "hovertemplate": "%{text}<br>%{y:.1f} % · %{x:.3g} s<extra></extra>",
        "marker": {
            "color": colour,
            "symbol": symbol,
            "size": size,
            "line": {"width": 2, "color": colour},
        },
    }


def _front(rows: Sequence[dict[str, Any]]) -> Figure:
    """Return a stepped line: the best accuracy that can be had at each cost."""
    if not rows:
        return {"type": "scatter", "x": [], "y": []}
    ordered = sorted(rows, key=lambda row: (row["cost"], -row["accuracy"]))
    best = list(accumulate((row["accuracy"] for row in ordered), max))
    front = [
        row for row, before in zip(ordered, [-1.0, *best], strict=False) if row["accuracy"] > before
    ]
    cheapest, dearest = ordered[0]["cost"], ordered[-1]["cost"]
    end = {"cost": dearest, "accuracy": best[-1]}
    return {
        "type": "scatter",
        "mode": "lines+text",
        "name": "best at its cost",
        "x": [row["cost"] for row in (*front, end)],
        "y": [100 * row["accuracy"] for row in (*front, end)],
        "text": [_beside(row) for row in front],
        "textposition": [_side(row, math.sqrt(cheapest * dearest)) for row in front],
        "textfont": {"size": 11, "color": "--muted"},
        "line": {"shape": "hv", "color": "--faint", "width": 1.5},
        "hoverinfo": "skip",
    }


def _side(row: dict[str, Any], middle: float) -> str:
    """Return where a point's label stands: beside the line, and towards the middle of the axis."""
    side = "right" if row["cost"] <= middle else "left"
    return f"{'bottom' if row['rank'] > 1 else 'top'} {side}"


def _beside(row: dict[str, Any]) -> str:
    """Return a point's label; only the best and the recommended candidate have one."""
    named = row["recommended"] or row["rank"] == 1
    return f"\u2002{plain(row['title'])}\u2002" if named else ""


def reliability(before: Reliability, after: Reliability) -> Figure:
    """Return a reliability diagram: accuracy against confidence, over a histogram of the latter."""
    diagonal = {
        "type": "scatter", "mode": "lines", "x": [0, 100], "y": [0, 100], "hoverinfo": "skip",
        "name": "as sure as right", "line": {"color": "--faint", "width": 1, "dash": "dot"},
    }  # fmt: skip
    traces = [diagonal]
    kinds = ((before, "as given", "--muted", "circle-open", "dash"),
             (after, "after temperature scaling", "--accent", "circle", "solid"))  # fmt: skip
    for bins, name, colour, symbol, dash in kinds:
        filled = bins.images > 0
        curve = _curve(
            name,
            _percent(bins.sureness[filled]),
            _percent(bins.accuracy[filled]),
            colour,
            "%{customdata:,} images: %{x:.0f} % sure, %{y:.0f} % right",
            dash,
        )
        curve["marker"] |= {"symbol": symbol, "size": 8}
        traces.append(curve | {"customdata": bins.images[filled].tolist()})
        traces.append(_histogram(bins, name, colour))
    return _figure(
        traces,
        xaxis={"title": {"text": "how sure, %"}, "range": [0, 102], "anchor": "y2"},
        yaxis={"title": {"text": "how often right, %"}, "range": [0, 104], "domain": [0.27, 1]},
        yaxis2={"title": {"text": "images"}, "domain": [0, 0.19], "nticks": 3},
        barmode="group",
        height=460,
    )


def precision_recall(curve: Curve, decided: tuple[float, float], share: float) -> Figure:
    """Return precision against recall of the class that is looked for.

    Args:
        curve: of all thresholds; of very many points only some are drawn.
        decided: recall and precision of the classes that the candidate decides for.
        share: of the images that are of the class: the precision of chance.
    """
    count = len(curve.recall)
    drawn = np.unique(np.linspace(0, count - 1, min(count, _POINTS)).round().astype(int))
    recall, precision = (_percent(values[drawn]) for values in (curve.recall, curve.precision))
    hover = "from %{customdata} on: recall %{x:.0f} %, precision %{y:.0f} %"
    line = _curve("any threshold", recall, precision, "--accent", hover)
    line |= {"mode": "lines", "customdata": curve.thresholds[drawn].round(4).tolist()}
    line["line"]["shape"] = "vh"  # between two thresholds there is nothing
    chance = {
        "type": "scatter", "mode": "lines", "name": "by chance", "hoverinfo": "skip",
        "x": [0, 100], "y": [100 * share, 100 * share],
        "line": {"color": "--faint", "width": 1, "dash": "dot"},
    }  # fmt: skip
    hover = "recall %{x:.0f} %, precision %{y:.0f} %"
    x, y = ([round(100 * value, 2)] for value in decided)
    point = _curve("as decided", x, y, "--ink", hover)
    point |= {"mode": "markers", "marker": {"color": "--ink", "symbol": "diamond", "size": 12}}
    return _figure(
        [chance, line, point],
        xaxis={"title": {"text": "recall, %"}, "range": [0, 102]},
        yaxis={"title": {"text": "precision, %"}, "range": [0, 104]},
        height=400,
    )


def _histogram(bins: Reliability, name: str, colour: str) -> Figure:
    count = len(bins.images)
    return {
        "type": "bar", "yaxis": "y2", "name": name, "showlegend": False,
        "x": [100 * (place + 0.5) / count for place in range(count)], "y": bins.images.tolist(),
        "marker": {"color": colour}, "hovertemplate": "%{y:,} images",
    }  # fmt: skip


def lines(
    series: Mapping[str, Sequence[Mapping[str, Any]]], along: str, axis: Mapping[str, Any]
) -> Figure:
    """Return accuracies with their intervals, a line for each series.

    Args:
        series: points by name; each has `along`, "accuracy", "low" and "high" (0 to 1).
        along: the key of the value on the horizontal axis.
        axis: settings of that axis, such as a title.
    """
    traces = []
    for number, (name, points) in enumerate(series.items()):
        values, low, high = (
            [100 * point[key] for point in points] for key in ("accuracy", "low", "high")
        )
        colour = _COLOURS[number % len(_COLOURS)]
        places = [
            plain(point[along]) if isinstance(point[along], str) else point[along]
            for point in points
        ]
        curve = _curve(plain(name), places, values, colour, "%{x}: %{y:.1f} %")
        curve["marker"] |= {"symbol": _SYMBOLS[number % len(_SYMBOLS)], "size": 8}
        traces.append(curve | {"error_y": _errors(values, low, high)})
    return _figure(
        traces, xaxis=dict(axis), yaxis={"title": {"text": "accuracy, %"}}, height=380,
        showlegend=len(traces) > 1,
    )  # fmt: skip


def history(epochs: Sequence[Mapping[str, Any]], of: str) -> Figure:
    """Return "loss" or "accuracy" by epoch, with a line where a stage of training begins."""
    scale, unit = (100, "accuracy, %") if of == "accuracy" else (1, "loss")
    kinds = ((of, "training", "--muted", "dot"), (f"val_{of}", "validation", "--accent", "solid"))
    traces = []
    for key, name, colour, dash in kinds:
        # Stages number their epochs anew; the axis counts them all.
        known = [(at, epoch) for at, epoch in enumerate(epochs, 1) if epoch.get(key) is not None]
        if known:
            places, values = [at for at, _ in known], [scale * epoch[key] for _, epoch in known]
            curve = _curve(name, places, values, colour, "epoch %{x}: %{y:.4g}", dash)
            curve["marker"]["size"] = 5
            traces.append(curve)
    axes = {"xaxis": {"title": {"text": "epoch"}}, "yaxis": {"title": {"text": unit}}}
    top = of == "loss"  # the curves leave room there
    return _figure(traces, **axes, **_stage_marks(list(_stages(epochs)), top), height=340)


def _stage_marks(stages: Sequence[tuple[float, str]], top: bool) -> Figure:
    """Return lines where stages of training begin, and their names at the top or bottom."""
    height, side = (1, "top") if top else (0, "bottom")
    return {
        "shapes": [
            {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper",
             "line": {"color": "--line", "width": 1}}
            for at, _ in stages[1:]
        ],
        "annotations": [
            {"x": at, "y": height, "yref": "paper", "yanchor": side, "xanchor": "left",
             "text": plain(stage), "showarrow": False, "font": {"color": "--muted", "size": 11}}
            for at, stage in stages
        ],
    }  # fmt: skip


def _stages(epochs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[float, str]]:
    """Yield where each stage of training starts, between two epochs, and its name."""
    before = None
    for at, epoch in enumerate(epochs, 1):
        if (stage := epoch.get("stage")) != before and stage:
            yield at - 0.5, str(stage)
        before = stage


def _curve(
    name: str,
    x: Sequence[Any],
    y: Sequence[float],
    colour: str,
    hover: str,
    dash: str = "solid",
) -> Figure:
    """Return a line with a marker at each point."""
    return {
        "type": "scatter", "mode": "lines+markers", "name": name, "x": x, "y": y,
        "line": {"color": colour, "width": 2, "dash": dash}, "marker": {"color": colour},
        "hovertemplate": hover,
    }  # fmt: skip


def plain(text: str) -> str:
    """Return text with its HTML signs escaped, which plotly would take for markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _errors(values: Sequence[float], low: Sequence[float], high: Sequence[float]) -> Figure:
    """Return error bars, of no length where there is no interval."""
    at, ends = np.array(values), np.array([low, high], np.float64)
    below, above = np.nan_to_num(np.stack([at - ends[0], ends[1] - at]))
    return {
        "type": "data",
        "symmetric": False,
        "array": above.tolist(),
        "arrayminus": below.tolist(),
        "thickness": 1,
        "width": 0,
    }


def _percent(shares: Any) -> list[float]:
    return [round(100 * share, 2) for share in shares.tolist()]


def _figure(traces: list[Figure], **layout: Any) -> Figure:
    return {"data": traces, "layout": layout}

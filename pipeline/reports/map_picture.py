"""A map as a picture for papers and slides."""

import io
from typing import Any

import numpy as np

from features.errors import MissingPackageError
from features.quiet import quiet_import
from pipeline.maps.names import middles
from pipeline.maps.quality import NEIGHBOURS
from pipeline.reports.palette import GREY, colours
from pipeline.results.map import Map

INSTALL = 'matplotlib is not installed; `pip install "offshelf[figures]"` brings it'
MOST_NAMED = 40  # classes that the legend names


def check() -> None:
    """Raise MissingPackageError where no picture can be drawn."""
    try:
        quiet_import("matplotlib")
    except ImportError:
        raise MissingPackageError(INSTALL) from None


def png(made: Map) -> bytes:
    """Return the picture, about 1,500 x 1,100 pixels, for white paper."""
    check()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.4), dpi=150, facecolor="white")
    axes = figure.add_axes((0.02, 0.09, 0.78, 0.82))
    _points(axes, made)
    figure.text(0.02, 0.945, made.title, fontsize=15, fontweight="bold", color="#16191d")
    figure.text(0.02, 0.035, _below(made), fontsize=9, color="#59626c", linespacing=1.5)
    _legend(figure, made)
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def _points(axes: Any, made: Map) -> None:
    """Draw the points, those without a class beneath, in an order that favours no class; names."""
    from matplotlib.patheffects import withStroke

    labels, place = made.points.labels, made.coordinates
    palette = np.array([*colours(len(made.points.class_names)), GREY])  # -1 takes the grey
    order = np.random.default_rng(0).permutation(len(labels))
    size = float(np.clip(30_000 / len(labels), 0.6, 22))
    for rows, alpha in ((order[labels[order] < 0], 0.35), (order[labels[order] >= 0], 0.8)):
        axes.scatter(*place[rows].T, s=size, c=palette[labels[rows]], alpha=alpha, linewidths=0)
    for code, x, y in middles(place, labels):
        halo = [withStroke(linewidth=3, foreground="white", alpha=0.85)]
        axes.text(x, y, made.points.class_names[code], path_effects=halo, ha="center", va="center",
                  fontsize=10, fontweight="bold", color="#16191d")  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#dfe2e4")


def _legend(figure: Any, made: Map) -> None:
    """Name the classes at the right, as many as there is room for."""
    from matplotlib.lines import Line2D

    names, labels = made.points.class_names, made.points.labels
    found = [code for code in range(len(names)) if (labels == code).any()]
    shown = list(zip((names[code] for code in found), np.array(colours(len(names)))[found],
                     strict=True))[:MOST_NAMED]  # fmt: skip
    if (labels < 0).any() and shown:
        shown.append(("locked" if made.points.locked else "unlabelled", GREY))
    if len(found) > MOST_NAMED:
        shown.append((f"and {len(found) - MOST_NAMED} more", "#ffffff"))
    marks = [
        Line2D([], [], marker="o", linestyle="", markersize=7, markeredgewidth=0, color=colour)
        for _, colour in shown
    ]
    if marks:
        figure.legend(
            marks, [name if len(name) <= 22 else f"{name[:21]}…" for name, _ in shown],
            loc="upper left", bbox_to_anchor=(0.805, 0.92), frameon=False,
            fontsize=10 if len(shown) <= 25 else 7, labelcolor="#16191d", handletextpad=0.3,
        )  # fmt: skip


def _below(made: Map) -> str:
    """Return the quality in two lines."""
    features, found, baseline = made.quality
    lines = [
        f"{len(made.points):,} images; trustworthiness {found.trustworthiness:.3f} "
        f"({baseline.title}: {baseline.trustworthiness:.3f})"
    ]
    if found.accuracy is not None and features.accuracy is not None:
        lines.append(
            f"{NEIGHBOURS}-NN accuracy {100 * found.accuracy:.1f} % in the map, "
            f"{100 * features.accuracy:.1f} % in the features, "
            f"{100 * (baseline.accuracy or 0):.1f} % in {baseline.title}"
        )
    return "\n".join(lines)

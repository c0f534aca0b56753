"""A map as a picture for papers and slides."""

import io
from typing import Any

import numpy as np

from features.errors import MissingPackageError
from features.processes.quiet import quiet_import
from pipeline.maps.names import middles
from pipeline.maps.quality import NEIGHBOURS
from pipeline.reports.palette import GREY, colours
from pipeline.results.map import Map

INSTALL = 'matplotlib is not installed; `pip install "offshelf[figures]"` brings it'
MOST_NAMED = 40  # classes in the legend


def check() -> None:
    """Raise MissingPackageError where no picture can be drawn."""
    try:
        quiet_import("matplotlib")
    except ImportError:
        raise MissingPackageError(INSTALL) from None


def png(layout: Map) -> bytes:
    """Return the picture, about 1,500 x 1,100 pixels, for white paper."""
    check()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.4), dpi=150, facecolor="white")
    axes = figure.add_axes((0.02, 0.09, 0.78, 0.82))
    _points(axes, layout)
    figure.text(0.02, 0.945, layout.title, fontsize=15, fontweight="bold", color="#16191d")
    figure.text(0.02, 0.035, _below(layout), fontsize=9, color="#59626c", linespacing=1.5)
    _legend(figure, layout)
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def _points(axes: Any, layout: Map) -> None:
    """Draw points and names; points without a class lie below, the others in a random order."""
    from matplotlib.patheffects import withStroke

    labels, coordinates = layout.points.labels, layout.coordinates
    palette = np.array([*colours(len(layout.points.class_names)), GREY])  # -1 takes the grey
    order = np.random.default_rng(0).permutation(len(labels))
    size = float(np.clip(30_000 / len(labels), 0.6, 22))
    for rows, alpha in ((order[labels[order] < 0], 0.35), (order[labels[order] >= 0], 0.8)):
        axes.scatter(
            *coordinates[rows].T, s=size, c=palette[labels[rows]], alpha=alpha, linewidths=0
        )
    for code, x, y in middles(coordinates, labels):
        halo = [withStroke(linewidth=3, foreground="white", alpha=0.85)]
        name = layout.points.class_names[code]
        axes.text(x, y, name, path_effects=halo, ha="center", va="center",
                  fontsize=10, fontweight="bold", color="#16191d")  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#dfe2e4")


def _legend(figure: Any, layout: Map) -> None:
    """Write the names of the classes at the right, as many as there is room for."""
    from matplotlib.lines import Line2D

    names, labels = layout.points.class_names, layout.points.labels
    present = [code for code in range(len(names)) if (labels == code).any()]
    shown = list(zip((names[code] for code in present), np.array(colours(len(names)))[present],
                     strict=True))[:MOST_NAMED]  # fmt: skip
    if (labels < 0).any() and shown:
        shown.append(("locked" if layout.points.locked else "unlabelled", GREY))
    if len(present) > MOST_NAMED:
        shown.append((f"and {len(present) - MOST_NAMED} more", "#ffffff"))
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


def _below(layout: Map) -> str:
    """Return the quality in two lines."""
    features, quality, baseline = layout.quality
    count = layout.total or len(layout.points)
    lines = [
        f"{count:,} images; trustworthiness {quality.trustworthiness:.3f} "
        f"({baseline.title}: {baseline.trustworthiness:.3f})"
    ]
    if quality.accuracy is not None and features.accuracy is not None:
        lines.append(
            f"{NEIGHBOURS}-NN accuracy {100 * quality.accuracy:.1f} % in the map, "
            f"{100 * features.accuracy:.1f} % in the features, "
            f"{100 * (baseline.accuracy or 0):.1f} % in {baseline.title}"
        )
    lines += [layout.sampled] if layout.sampled else []
    return "\n".join(lines)

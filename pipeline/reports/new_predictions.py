"""Predictions of new images, as text for a terminal and as JSON."""

from typing import Any

from features.text import for_terminal, in_line, plural
from pipeline.reports.tables import render
from pipeline.results.new_predictions import NewPredictions

SHOWN = 20  # images of which each is shown; of more, classes are counted


def text(result: NewPredictions) -> str:
    """Return the classes of a few images one by one, of many as counts; and what looks wrong."""
    facts = result.facts
    total = facts["source"]["count"]
    sections = [
        in_line(f"{plural(total, 'image')} by {facts['candidate']}"),
        _images(result) if total <= SHOWN else _classes(facts),
    ]
    if facts["unlike"]:
        sections.append(
            f"{plural(facts['unlike'], 'image')} marked as unlike those learned from "
            f"({facts['alarms']:.0%} of images like those would be)"
        )
    if facts["unreadable"]:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in facts["problems"].items())
        unreadable = plural(facts["unreadable"], "image")
        sections.append(in_line(f"{unreadable} could not be read: {reasons}"))
    sections.append(in_line(f"written: {result.path}"))
    return "\n\n".join(sections)


def data(result: NewPredictions) -> dict[str, Any]:
    """Return the note beside the table, and the table's path, as JSON takes them."""
    return result.facts | {"path": str(result.path)}


def _images(result: NewPredictions) -> str:
    frame = result.frame()
    rows = []
    for row in frame.to_dict("records"):
        if isinstance(row["problem"], str) and row["problem"]:
            rows.append((for_terminal(str(row["id"])), "", "", row["problem"], ""))
            continue
        members = row["set"].split("|") if isinstance(row["set"], str) else list(row["set"])
        unlike = "unlike" if row["unlike"] in (True, "True") else ""
        rows.append(
            (
                for_terminal(str(row["id"])),
                for_terminal(str(row["class"])),
                f"{100 * row['probability']:.1f} %",
                for_terminal(", ".join(members)),
                unlike,
            )
        )
    promised = f"{result.facts['coverage']:.0%} sure it is one of"
    return render(("image", "class", "probability", promised, ""), rows)


def _classes(facts: dict[str, Any]) -> str:
    total = sum(facts["classes"].values())
    rows = [
        (for_terminal(name), f"{count:,}", f"{100 * count / total:.1f} %")
        for name, count in facts["classes"].items()
    ]
    return render(("class", "images", "share"), rows)

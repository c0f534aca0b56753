"""What a feature file holds, as text for a terminal."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from features.sources.reading import note_sentences
from features.text import for_terminal, in_line
from pipeline.reports.tables import render
from pipeline.results.inspection import Inspection

REJECTED = 10  # at most in a terminal; the file has all


def text(inspection: Inspection) -> str:
    """Return the facts, the tables, the rejected images and the problems."""
    sections = [
        _summary(inspection),
        _layers(inspection),
        _classes(inspection),
        _columns(inspection),
        "\n".join(f"warning: {text}" for text in _warnings(inspection)),
        "\n".join(_rejected(inspection)),
        "\n".join(_problems(inspection)),
    ]
    return "\n\n".join(section for section in sections if section)


def data(inspection: Inspection) -> dict[str, Any]:
    """Return all of it as JSON takes it."""
    return asdict(inspection) | {
        "path": str(inspection.path),
        "classes": [{"class": row.label, "images": row.images} for row in inspection.classes],
        "rejected": [{"id": image, "reason": reason} for image, reason in inspection.rejected],
    }


def _summary(inspection: Inspection) -> str:
    facts = inspection.facts
    height, width = facts["image_size"]
    lines = {
        "file": f"{inspection.path} ({_size(facts)})",
        "images": f"{inspection.images} rows, {len(inspection.rejected)} rejected",
        "source": f"{facts['source_kind']} {_source(facts)}",
        "read": inspection.reading.sentence() if inspection.reading else "",
        "backbone": facts["backbone"],
        "weights": _weights(facts["weights"]),
        "pixels": (
            f"{height} x {width}, {facts['resize']}, {facts['interpolation']}, "
            f"scaling {facts['scaling']}"
        ),
        "forward": f"{facts['engine']}, {facts['precision']}, batches of {facts['batch_size']}",
        "versions": ", ".join(f"{name} {number}" for name, number in facts["versions"].items()),
        "recipe": facts["recipe_digest"],
        "created": facts["created"] or "unknown",
    }
    shown = {name: in_line(value) for name, value in lines.items() if value}
    return "\n".join(f"{name:<9} {value}" for name, value in shown.items())


def _source(facts: dict[str, Any]) -> str:
    """Return where the images were, or of how many rows of which source a file was joined."""
    parts = (
        f"{part['rows']:,} rows of {part['provenance'].get('source')}" for part in facts["parts"]
    )
    return facts["source"] or ", ".join(parts)


def _size(facts: dict[str, Any]) -> str:
    """Return the megabytes of the file, and the number of its shards where it has any."""
    shards = f"index of {facts['shards']:,} shards, " if facts["shards"] else ""
    return f"{shards}{facts['bytes'] / 1e6:.1f} MB"


def _weights(facts: dict[str, Any]) -> str:
    """Return the weights source, and the sha256 or the parameters of a hand-crafted descriptor."""
    shown = {"sha256": facts["sha256"][:16]} if facts["sha256"] else {}
    known = ("weights_source", "sha256")
    shown |= {name: value for name, value in facts.items() if name not in known}
    return ", ".join(
        [facts["weights_source"], *(f"{name} {value}" for name, value in shown.items())]
    )


def _layers(inspection: Inspection) -> str:
    rows = [
        (layer.name, "x".join(map(str, layer.shape)), layer.pooling, layer.dtype)
        for layer in inspection.layers
    ]
    return render(("layer", "features", "pooling", "dtype"), rows)


def _classes(inspection: Inspection) -> str:
    if not inspection.classes:
        return ""
    titles = ["images" if split == "none" else split for split in inspection.splits]
    rows = [
        ("(unlabelled)" if row.label is None else row.label, *row.images.values())
        for row in inspection.classes
    ]
    total = ("(all)", *map(inspection.total, inspection.splits))
    return render(("class", *titles), [*rows, total])


def _columns(inspection: Inspection) -> str:
    rows = list(inspection.columns.items())
    return render(("column", "distinct values"), rows) if rows else ""


def _warnings(inspection: Inspection) -> list[str]:
    of_source = inspection.reading.warnings if inspection.reading else ()
    return [for_terminal(text, 300) for text in (*of_source, *note_sentences(inspection.notes))]


def _rejected(inspection: Inspection) -> Iterator[str]:
    for image, reason in inspection.rejected[:REJECTED]:
        yield for_terminal(f"rejected: {image}: {reason}", 300)
    if (more := len(inspection.rejected) - REJECTED) > 0:
        yield f"... and {more} more"


def _problems(inspection: Inspection) -> Iterator[str]:
    for problem in inspection.problems:
        yield in_line(f"problem: {problem}")
    yield "not as it was written" if inspection.problems else "every check passed"

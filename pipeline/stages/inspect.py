"""The inspect stage: what is in a feature file, and whether it is as it was written."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from features.records import Split
from features.store import FeatureFile
from pipeline.reports.tables import render


def describe(path: Path) -> tuple[str, list[str]]:
    """Return a description of a feature file and the problems found in it, one line each.

    Raises:
        DataError: it is no feature file.
    """
    with FeatureFile(path) as file:
        sections = [_summary(file), _layers(file), _classes(file), _columns(file), _rejected(file)]
        return "\n\n".join(section for section in sections if section), file.problems()


def _summary(file: FeatureFile) -> str:
    recipe = file.recipe
    height, width = recipe.image_size
    provenance = json.loads(str(file.attributes.get("provenance", "{}")))
    facts = {
        "file": f"{file.path} ({file.path.stat().st_size / 1e6:.1f} MB)",
        "images": f"{len(file)} rows, {len(file.rejected)} rejected",
        "source": f"{recipe.source['kind']} {provenance.get('source', '')}",
        "backbone": recipe.backbone,
        "weights": _weights(recipe.weights),
        "pixels": (
            f"{height} x {width}, {recipe.resize}, {recipe.interpolation}, "
            f"scaling {recipe.scaling['name']}"
        ),
        "forward": f"{recipe.engine}, {recipe.precision}, batches of {recipe.batch_size}",
        "versions": ", ".join(f"{name} {number}" for name, number in recipe.versions.items()),
        "recipe": recipe.digest,
        "created": provenance.get("created", "unknown"),
    }
    return "\n".join(f"{name:<9} {value}" for name, value in facts.items())


def _weights(facts: dict[str, Any]) -> str:
    """Return where weights came from; of a hand-crafted descriptor its parameters."""
    shown = {"sha256": facts["sha256"][:16]} if facts["sha256"] else {}
    shown |= {name: value for name, value in facts.items() if name not in ("origin", "sha256")}
    return ", ".join([facts["origin"], *(f"{name} {value}" for name, value in shown.items())])


def _layers(file: FeatureFile) -> str:
    rows = [
        (name, "x".join(map(str, file.shape(name)[1:])), file.recipe.pooling, file.recipe.store)
        for name in file.layers
    ]
    return render(("layer", "features", "pooling", "dtype"), rows)


def _classes(file: FeatureFile) -> str:
    names = [*file.class_names, "(unlabelled)"]
    counts = Counter(zip(file.labels.tolist(), file.splits.tolist(), strict=True))
    parts = [split for split in Split if any(part == split for _, part in counts)]
    rows = [
        (names[label], *(counts[label, part] for part in parts))
        for label in [*range(len(file.class_names)), -1]
        if any(counts[label, part] for part in parts)
    ]
    if not rows:
        return ""
    total = ("(all)", *(sum(counts[key] for key in counts if key[1] == part) for part in parts))
    return render(("class", *(_part_name(part) for part in parts)), [*rows, total])


def _part_name(part: Split) -> str:
    return "images" if part is Split.NONE else part.name.lower()


def _columns(file: FeatureFile) -> str:
    rows = [(name, len(set(file.column(name)))) for name in file.columns]
    return render(("column", "distinct values"), rows) if rows else ""


def _rejected(file: FeatureFile) -> str:
    return "\n".join(_rejected_lines(file))


def _rejected_lines(file: FeatureFile, most: int = 10) -> Iterator[str]:
    rejected = file.rejected
    for image, reason in rejected[:most]:
        yield f"rejected: {image}: {reason}"
    if len(rejected) > most:
        yield f"... and {len(rejected) - most} more"

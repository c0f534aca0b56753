"""The inspect stage: a feature file in; what it holds, and whether it is as it was written, out."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from features.arguments import as_location
from features.records import Split
from features.storage.store import FeatureFile
from pipeline.results.inspection import ClassCount, Inspection, StoredLayer


def run(path: str | Path) -> Inspection:
    """Describe a feature file and check it against its checksums.

    Raises:
        DataError: it is no feature file.
    """
    with FeatureFile(as_location(path, "file")) as file:
        recipe = file.recipe
        present = set(np.unique(file.splits).tolist())
        splits = [split for split in Split if split in present]
        return Inspection(
            path=file.path,
            images=len(file),
            facts=_facts(file),
            layers=tuple(
                StoredLayer(name, tuple(file.shape(name)[1:]), recipe.pooling, recipe.store)
                for name in file.layers
            ),
            splits=tuple(split.name.lower() for split in splits),
            classes=tuple(_classes(file, splits)),
            columns={name: len(set(file.column(name))) for name in file.columns},
            rejected=tuple(file.rejected),
            problems=tuple(file.problems()),
            reading=file.source_reading,
            notes=file.notes,
        )


def _facts(file: FeatureFile) -> dict[str, Any]:
    recipe = file.recipe
    provenance = file.provenance
    parts = [asdict(part) for part in file.parts]
    return {
        "bytes": file.nbytes,
        "layout": file.layout,
        "shards": len(file.shards),
        "source_kind": recipe.source["kind"],
        "source": provenance.get("source", ""),
        "parts": parts,
        "backbone": recipe.backbone,
        "weights": _weights(recipe.weights),
        "image_size": list(recipe.image_size),
        "resize": recipe.resize,
        "interpolation": recipe.interpolation,
        "scaling": recipe.scaling["name"],
        "engine": recipe.engine,
        "precision": recipe.precision,
        "batch_size": recipe.batch_size,
        "versions": recipe.versions,
        "recipe_digest": recipe.digest,
        "created": provenance.get("created"),
    }


def _weights(stored: dict[str, Any]) -> dict[str, Any]:
    """Return the weights of a recipe; files call the weights source their origin."""
    rest = {name: value for name, value in stored.items() if name != "origin"}
    return {"weights_source": stored["origin"], **rest}


def _classes(file: FeatureFile, splits: list[Split]) -> list[ClassCount]:
    """Count the images of each class that occurs by split; unlabelled ones come last."""
    pairs, numbers = np.unique(
        np.stack([file.labels, file.splits]), axis=1, return_counts=True
    )  # (2, m)
    counts = Counter(dict(zip(map(tuple, pairs.T.tolist()), numbers.tolist(), strict=True)))
    labelled = {label for label, _ in counts}
    return [
        ClassCount(
            None if label < 0 else file.class_names[label],
            {split.name.lower(): counts[label, split] for split in splits},
        )
        for label in [*range(len(file.class_names)), -1]
        if label in labelled
    ]

"""Who is on a map: images with their class and part, as far as these may be looked at."""

from pathlib import Path

import numpy as np

from features.errors import UsageError
from features.records import UNLABELLED, Split
from features.store import FeatureFile
from pipeline.config import METRIC
from pipeline.data.splits import Splits
from pipeline.results.map import LOCKED, CandidatePredictions, Points
from pipeline.results.ranking import rank_candidates

_PARTS = {Split.NONE: "", Split.TRAIN: "train", Split.VALIDATION: "validation", Split.TEST: LOCKED}


def points(path: Path, limit: int | None, results: Path | None) -> Points:
    """Read who is on the map of a feature file.

    The classes of the locked test stay hidden, because whoever chooses by looking at them has
    opened it. Locked are the images that `classify` locked away where its results are given, else
    the source's own test part.

    Args:
        path: of the feature file.
        limit: take that many images only, spread evenly over the file.
        results: a folder that `classify` wrote, for the same images.

    Raises:
        UsageError: the results are of other images.
        DataError: a file cannot be read.
    """
    with FeatureFile(path) as file:
        ids, labels, names = file.ids, file.labels, file.class_names
        parts = [_PARTS[Split(code)] for code in file.splits.tolist()]
    candidates: tuple[CandidatePredictions, ...] = ()
    if results is not None:
        parts, candidates = _with_results(results, path, ids, labels, names)
    labels[[part == LOCKED for part in parts]] = UNLABELLED
    rows = _spread(len(ids), limit)
    return Points(
        tuple(ids[row] for row in rows),
        rows,
        labels[rows],
        names,
        tuple(parts[row] for row in rows),
        tuple(CandidatePredictions(one.name, one.title, one.predicted[rows]) for one in candidates),
    )


def _spread(count: int, limit: int | None) -> np.ndarray:
    limit = count if limit is None else min(limit, count)
    return np.arange(limit, dtype=np.int64) * count // max(1, limit)


def _with_results(
    results: Path, path: Path, ids: list[str], labels: np.ndarray, names: tuple[str, ...]
) -> tuple[list[str], tuple[CandidatePredictions, ...]]:
    """Return the part of each image of a feature file, and what candidates predicted of it."""
    ranking = rank_candidates((results,), METRIC)
    splits = ranking.splits
    places = _places(results, splits, path, ids, labels, names)  # -1: unlabelled, so not split
    parts = np.full(len(splits) + 1, "train", object)
    parts[splits.validated] = "validation" if splits.count == 1 else "train and validation"
    parts[splits.test], parts[-1] = LOCKED, ""
    numbers = np.array([names.index(name) for name in splits.class_names], np.int32)
    candidates = []
    for entry in ranking.entries:
        predicted = np.full(len(splits) + 1, UNLABELLED, np.int32)
        predicted[splits.validated] = numbers[entry.predicted]
        candidates.append(CandidatePredictions(entry.label, entry.record.title, predicted[places]))
    return parts[places].tolist(), tuple(candidates)


def _places(
    results: Path,
    splits: Splits,
    path: Path,
    ids: list[str],
    labels: np.ndarray,
    names: tuple[str, ...],
) -> np.ndarray:
    """Return where each image stands in the splits, int64, -1 where it is unlabelled."""
    known = {image: place for place, image in enumerate(splits.ids)}
    there = [splits.class_names[label] for label in splits.labels.tolist()]
    places = np.full(len(ids), -1, np.int64)
    for row in np.flatnonzero(labels != UNLABELLED).tolist():
        place = known.get(ids[row])
        if place is None or there[place] != names[labels[row]]:
            raise UsageError(
                f"{results} is not of the images in {path}: "
                + (f"it does not know {ids[row]}" if place is None else
                   f"{ids[row]} is {names[labels[row]]!r} here and {there[place]!r} there")
                + "; give the results of `classify` for these features"
            )  # fmt: skip
        places[row] = place
    return places

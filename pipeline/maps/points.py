"""The images on a map, with class and split as far as these may be shown."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from features.errors import UsageError
from features.records import UNLABELLED, Split
from features.store import FeatureFile
from pipeline.config import METRIC
from pipeline.data.splits import Splits
from pipeline.results.map import LOCKED, CandidatePredictions, Points
from pipeline.results.ranking import rank_candidates

_SPLITS = {
    Split.NONE: "", Split.TRAIN: "train", Split.VALIDATION: "validation", Split.TEST: LOCKED
}  # fmt: skip


def read_points(path: Path, limit: int | None, results: Path | None) -> Points:
    """Read the images on the map of a feature file.

    The classes of the locked test stay hidden, because whoever chooses by looking at them has
    opened it. Where results are given, the images that `classify` locked away are locked, else
    the source's own test split.

    Args:
        path: the feature file.
        limit: the number of images to take, spread evenly over the file; None takes all.
        results: a results folder of the same images.

    Raises:
        UsageError: the results are of other images.
        DataError: a file cannot be read.
    """
    with FeatureFile(path) as file:
        ids, labels, names = file.ids, file.labels, file.class_names
        splits = [_SPLITS[Split(code)] for code in file.splits.tolist()]
    candidates: tuple[CandidatePredictions, ...] = ()
    if results is not None:
        splits, candidates = _with_results(results, path, ids, labels, names)
    labels[[split == LOCKED for split in splits]] = UNLABELLED
    rows = _spread(len(ids), limit)
    return Points(
        tuple(ids[row] for row in rows),
        rows,
        labels[rows],
        names,
        tuple(splits[row] for row in rows),
        tuple(replace(candidate, predicted=candidate.predicted[rows]) for candidate in candidates),
    )


def _spread(count: int, limit: int | None) -> np.ndarray:
    limit = count if limit is None else min(limit, count)
    return np.arange(limit, dtype=np.int64) * count // max(1, limit)


def _with_results(
    results: Path, path: Path, ids: list[str], labels: np.ndarray, names: tuple[str, ...]
) -> tuple[list[str], tuple[CandidatePredictions, ...]]:
    """Return the split of each image of a feature file, and the predictions of candidates."""
    ranking = rank_candidates((results,), METRIC)
    splits = ranking.splits
    places = _places(results, splits, path, ids, labels, names)  # -1: unlabelled, so not split
    split = np.full(len(splits) + 1, "train", object)
    split[splits.validated] = "validation" if splits.count == 1 else "train and validation"
    split[splits.excluded] = "excluded"
    split[splits.test], split[-1] = LOCKED, ""
    numbers = np.array([names.index(name) for name in splits.class_names], np.int32)
    candidates = []
    for entry in ranking.entries:
        predicted = np.full(len(splits) + 1, UNLABELLED, np.int32)
        predicted[splits.validated] = numbers[entry.predicted]
        candidates.append(CandidatePredictions(entry.label, entry.record.title, predicted[places]))
    return split[places].tolist(), tuple(candidates)


def _places(
    results: Path,
    splits: Splits,
    path: Path,
    ids: list[str],
    labels: np.ndarray,
    names: tuple[str, ...],
) -> np.ndarray:
    """Return the position of each image in the splits, int64, -1 where it is unlabelled."""
    known = {image: place for place, image in enumerate(splits.ids)}
    recorded = [splits.class_names[label] for label in splits.labels.tolist()]
    places = np.full(len(ids), -1, np.int64)
    for row in np.flatnonzero(labels != UNLABELLED).tolist():
        place = known.get(ids[row])
        if place is None or recorded[place] != names[labels[row]]:
            raise UsageError(
                f"{results} is not of the images in {path}: "
                + (f"it does not know {ids[row]}" if place is None else
                   f"{ids[row]} is {names[labels[row]]!r} here and {recorded[place]!r} there")
                + "; give the results of `classify` for these features"
            )  # fmt: skip
        places[row] = place
    return places

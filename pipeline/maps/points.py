"""The images on a map, with class and split as far as these may be shown."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from features.errors import UsageError
from features.records import UNLABELLED, Split
from features.storage.store import FeatureFile
from features.storage.texts import Texts
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
        splits = np.array([_SPLITS[code] for code in Split], object)[file.splits]
    candidates: tuple[CandidatePredictions, ...] = ()
    if results is not None:
        splits, candidates = _with_results(results, path, ids, labels, names)
    labels[splits == LOCKED] = UNLABELLED
    rows = _spread(len(ids), limit)
    return Points(
        ids[rows],
        rows,
        labels[rows],
        names,
        tuple(splits[rows].tolist()),
        tuple(replace(candidate, predicted=candidate.predicted[rows]) for candidate in candidates),
    )


def _spread(count: int, limit: int | None) -> np.ndarray:
    limit = count if limit is None else min(limit, count)
    return np.arange(limit, dtype=np.int64) * count // max(1, limit)


def _with_results(
    results: Path, path: Path, ids: Texts, labels: np.ndarray, names: tuple[str, ...]
) -> tuple[np.ndarray, tuple[CandidatePredictions, ...]]:
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
    return split[places], tuple(candidates)


def _places(
    results: Path,
    splits: Splits,
    path: Path,
    ids: Texts,
    labels: np.ndarray,
    names: tuple[str, ...],
) -> np.ndarray:
    """Return the position of each image in the splits, int64, -1 where it is unlabelled."""
    rows = np.flatnonzero(labels != UNLABELLED)
    places = np.full(len(ids), -1, np.int64)
    places[rows] = found = Texts.of(splits.ids).places_of(ids[rows])
    recorded = np.array([*splits.class_names, ""], object)[splits.labels[found]]  # if found
    wrong = (found < 0) | (recorded != np.array(names, object)[labels[rows]])
    if wrong.any():
        first = int(wrong.argmax())
        image, name = ids[rows[first]], names[labels[rows[first]]]
        raise UsageError(
            f"{results} is not of the images in {path}: "
            + (f"it does not know {image}" if found[first] < 0 else
               f"{image} is {name!r} here and {recorded[first]!r} there")
            + "; give the results of `classify` for these features"
        )  # fmt: skip
    return places

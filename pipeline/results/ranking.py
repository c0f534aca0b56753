"""Candidates ranked on validation: the best, those tied with it, and the recommended one.

Only records and predictions on validation are read, never the locked test or the features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from features.errors import DataError, UsageError, unknown_name
from pipeline.data.splits import Splits
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.records import RECORD, Record, candidates
from pipeline.statistics import metrics, significance

FLOOR = "dummy"  # the method that only knows class frequencies


@dataclass(frozen=True)
class Entry:
    """One finished candidate.

    Attributes:
        label: its name, with the results folder before it where names occur twice.
        folder: `results/<candidate>`.
        record: its record.
        probabilities: float32 (R, n, K), of the validation images in the order of the splits, in
            each of R repeats of cross-validation; each repeat is scored by itself.
    """

    label: str
    folder: Path
    record: Record
    probabilities: np.ndarray

    @cached_property
    def predicted(self) -> np.ndarray:
        """The most probable class of each image in the first repeat, int64 (n,)."""
        return self.probabilities[0].argmax(axis=1)


@dataclass(frozen=True)
class Ranking:
    """m candidates, the best first.

    Attributes:
        metric: the metric by which they are ranked.
        splits: the splits that all of them share.
        entries: m candidates.
        scores: the metric of each, 0 to 1.
        p_values: float64 (m, m), McNemar's test between all pairs, corrected by Holm's method.
        unfinished: folders of candidates without a record.
    """

    metric: str
    splits: Splits
    entries: tuple[Entry, ...]
    scores: tuple[float, ...]
    p_values: np.ndarray
    unfinished: tuple[str, ...]

    @property
    def labels(self) -> np.ndarray:
        """True classes of the validation images, int32 (n,)."""
        return self.splits.labels[self.splits.validated]

    @property
    def tied(self) -> np.ndarray:
        """Bool (m,): the best, and those that McNemar's test cannot tell from it."""
        return self.p_values[0] >= significance.LEVEL

    @property
    def recommended(self) -> int:
        """Rank of the cheapest of the tied; of equally cheap ones the best.

        A candidate that only knows class frequencies is taken where no other is tied.
        """
        able = [n for n in np.flatnonzero(self.tied).tolist() if not self.is_floor(n)] or [0]
        return min(able, key=lambda n: self.entries[n].record.cost)

    @property
    def best_entry(self) -> Entry:
        """The candidate with the highest score on validation."""
        return self.entries[0]

    @property
    def recommended_entry(self) -> Entry:
        """The cheapest of the best and those tied with it."""
        return self.entries[self.recommended]

    def entry(self, name: str) -> Entry:
        """Return the candidate of that name; raises UsageError where there is none."""
        for entry in self.entries:
            if entry.label == name:
                return entry
        raise unknown_name("candidate", name, [entry.label for entry in self.entries])

    def is_floor(self, number: int) -> bool:
        """Tell whether a candidate only knows class frequencies."""
        return self.entries[number].record.method == FLOOR


def rank_candidates(results: Sequence[Path], metric: str) -> Ranking:
    """Rank the candidates of results folders by a metric on validation.

    Raises:
        UsageError: there is no such metric, no candidate, or folders have different splits.
        DataError: a record, or predictions, cannot be read or do not belong to the splits.
    """
    metrics.check(metric)
    splits = _common_splits(results)
    labels = splits.labels[splits.validated]
    scored = [
        (mean_score(metric, labels, entry.probabilities), entry)
        for entry in _entries(results, splits)
    ]
    scored.sort(key=lambda pair: (-pair[0], pair[1].record.cost, pair[1].label))
    scores, entries = zip(*scored, strict=True)
    p_values = significance.pairwise(np.stack([entry.predicted == labels for entry in entries]))
    return Ranking(metric, splits, entries, scores, p_values, _unfinished(results))


def mean_score(metric: str, labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean over repeats of a metric, higher is better.

    Probabilities are not averaged first: that would score an ensemble which nobody keeps.

    Args:
        metric: its name.
        labels: int (n,).
        probabilities: float (R, n, K).
    """
    return float(np.mean([metrics.score(metric, labels, given) for given in probabilities]))


def _common_splits(results: Sequence[Path]) -> Splits:
    if not results:
        raise UsageError("no results folder is given; `classify` makes one")
    first = Splits.read(results[0])
    for folder in results[1:]:
        if (other := Splits.read(folder)).digest != first.digest:
            raise UsageError(
                f"{folder} has other splits ({other.digest}) than {results[0]} ({first.digest}); "
                "compare results of the same images, with equal --folds, --group-by and --seed"
            )
    return first


def _entries(results: Sequence[Path], splits: Splits) -> list[Entry]:
    finished = [
        (folder, name, record)
        for folder in dict.fromkeys(results)
        for name, record in candidates(folder).items()
    ]
    names = [name for _, name, _ in finished]
    return [
        Entry(
            name if names.count(name) == 1 else f"{folder}/{name}",
            folder / name,
            record,
            read_probabilities(folder / name, record, splits),
        )
        for folder, name, record in finished
    ]


def read_probabilities(folder: Path, record: Record, splits: Splits) -> np.ndarray:
    """Read a candidate's probabilities on validation, in the order of the splits.

    Args:
        folder: the candidate's.
        record: the candidate's.
        splits: of the results folder.

    Returns:
        float32 (R, n, K), for each repeat of cross-validation that the candidate validated on a
        row for each image of `splits.validated`; rows sum to 1.

    Raises:
        DataError: they cannot be read, or do not belong to the splits.
    """
    if (record.splits, record.class_names) != (splits.digest, splits.class_names):
        raise DataError(
            f"{folder / RECORD} belongs to other splits ({record.splits}) than those of its "
            f"results folder ({splits.digest}); run `classify` again"
        )
    path = folder / VALIDATION
    predictions = Predictions.read(path, splits.class_names)
    rows = {image: row for row, image in enumerate(predictions.ids)}
    expected = [splits.ids[place] for place in splits.validated]
    if len(predictions.ids) != len(expected) or set(rows) != set(expected):
        raise DataError(
            f"{path} has predictions of {len(predictions.ids)} images, expected those of exactly "
            f"the {len(expected)} that validate; run `classify` again"
        )
    order = np.array([rows[image] for image in expected])
    if (predictions.labels[order] != splits.labels[splits.validated]).any():
        raise DataError(f"{path} has other labels than the splits; run `classify` again")
    probabilities = predictions.repeats[:, order]
    if not (
        np.isfinite(probabilities).all() and np.allclose(probabilities.sum(axis=2), 1, 0, 0.01)
    ):
        raise DataError(f"{path} holds values that are no probabilities; run `classify` again")
    return probabilities


def _unfinished(results: Sequence[Path]) -> tuple[str, ...]:
    return tuple(
        str(folder)
        for parent in dict.fromkeys(results)
        for folder in sorted(parent.iterdir())
        if folder.is_dir() and not folder.name.startswith(".") and not (folder / RECORD).exists()
    )

"""A comparison of candidates on validation."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config import CompareConfig
from pipeline.data import duplicates
from pipeline.results.display import html, mistakes, percent
from pipeline.results.entries import Entry
from pipeline.results.ranking import Ranking
from pipeline.statistics import calibration, metrics, precision_recall
from pipeline.statistics.estimates import estimates
from pipeline.statistics.intervals import Interval
from pipeline.statistics.metrics import Reliability
from pipeline.statistics.precision_recall import Curve
from pipeline.statistics.selection import Selected

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = (
    "rank",
    "candidate",
    "title",
    "could_be_best",
    "recommended",
)  # in a notebook, beside the metric


@dataclass(frozen=True, repr=False)
class Comparison:
    """A comparison of candidates on validation.

    Attributes:
        config: the settings of `compare`.
        ranking: the candidates, best first, and which of them could be the best.
        estimates: every metric of each candidate with its interval, by rank.
        reliability: of each candidate, before and after temperature scaling (cross-fitted).
        expected: what the best of all that was tried will score on new images, by the metric that
            ranks: its own score here is too good, because it was chosen by it.
        near_duplicates: validation images with an equal or nearly equal image among those that
            a candidate may have learned from.
        files: the files that were written.
    """

    config: CompareConfig
    ranking: Ranking
    estimates: tuple[dict[str, Interval], ...]
    reliability: tuple[tuple[Reliability, Reliability], ...]
    expected: Selected
    near_duplicates: int
    files: tuple[Path, ...] = field(default=())

    @property
    def best(self) -> str:
        """Name of the candidate with the highest score."""
        return self.ranking.best_entry.label

    @property
    def recommended(self) -> str | None:
        """Name of the candidate to take; None where none knows more than class frequencies."""
        entry = self.ranking.recommended_entry
        return None if entry is None else entry.label

    @cached_property
    def confusion(self) -> np.ndarray:
        """Of the recommended candidate, or else the best: true class by row, int64 (K, K)."""
        return self.confusion_of(self.ranking.shown)

    def confusion_of(self, rank: int) -> np.ndarray:
        """Return the confusion matrix of the candidate at a rank, 0 for the best.

        Of several repeats of cross-validation it is that of the first.
        """
        classes = len(self.ranking.splits.class_names)
        predicted = self.ranking.entries[rank].predicted
        return metrics.confusion(self.ranking.labels, predicted, classes)

    @cached_property
    def sought(self) -> int | None:
        """The class, by number, that is looked for among two: the rarer one; None among more."""
        labels, classes = self.ranking.labels, len(self.ranking.splits.class_names)
        return precision_recall.rarest(labels) if classes == 2 else None

    def precision_recall(self, rank: int, sought: int) -> Curve:
        """Return the precision-recall curve of the candidate at a rank, in the first repeat."""
        scores = self.ranking.entries[rank].calibrated[:, sought]
        return precision_recall.curve(self.ranking.labels == sought, scores)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A flat dictionary for each candidate, best first, as comparison.csv has it."""
        return list(_rows(self))

    def frame(self) -> "pd.DataFrame":
        """Return a row for each candidate, best first, with the columns of comparison.csv.

        Metrics have `_low` and `_high` ends of their intervals; what is not known of a candidate
        is missing.
        """
        import pandas as pd

        return pd.DataFrame(self.rows)

    def mistakes(self, candidate: str | None = None) -> "pd.DataFrame":
        """Return the validation images that a candidate predicts wrongly, the surest first.

        Of several repeats of cross-validation these are the mistakes of the first.

        Args:
            candidate: its name; None takes the recommended one, or else the best.

        Returns:
            columns `id`, `label` (the true class), `predicted` and `probability` (of the predicted
            class, 0 to 1, calibrated by the record's temperature).

        Raises:
            UsageError: there is no such candidate.
        """
        ranking = self.ranking
        shown = ranking.entries[ranking.shown]
        entry = shown if candidate is None else ranking.entry(candidate)
        ids = ranking.splits.ids_of(ranking.splits.validated)
        return mistakes(
            ids, ranking.labels, entry.predicted, entry.calibrated, ranking.splits.class_names
        )

    def __repr__(self) -> str:
        ranking, metric = self.ranking, self.ranking.metric
        count, score = len(ranking.entries), self.estimates[ranking.shown][metric]
        name = f"recommended: {self.recommended}"
        if self.recommended is None:
            name = f"none is recommended; the best: {self.best}"
        return (
            f"Comparison of {count} candidate{'s' * (count != 1)} by {metric}\n"
            f"{name}, {percent(score.value, score.low, score.high, metric)}"
        )

    def _repr_html_(self) -> str:
        metric = self.ranking.metric
        shown = [*_SHOWN, metric, f"{metric}_low", f"{metric}_high", "p_best"]
        return html(repr(self), self.frame()[shown])


def judge(ranking: Ranking, config: CompareConfig) -> Comparison:
    """Measure ranked candidates by every metric, with intervals; nothing is written."""
    ids = ranking.splits.ids_of(ranking.splits.validated)
    kept = duplicates.free_of_near_duplicates(config.results, "validation", ids)
    judged = [_judge(entry, ranking, kept, config) for entry in ranking.entries]
    measured, reliability = zip(*judged, strict=True)
    expected = ranking.expected(config.resamples, config.confidence, config.seed)
    return Comparison(config, ranking, measured, reliability, expected, int((~kept).sum()))


def _judge(
    entry: Entry, ranking: Ranking, kept: np.ndarray, config: CompareConfig
) -> tuple[dict[str, Interval], tuple[Reliability, Reliability]]:
    probabilities, labels = entry.probabilities, ranking.labels
    calibrated = np.stack(
        [calibration.cross_fitted(given, labels, config.seed) for given in probabilities]
    )
    measured = estimates(
        labels, probabilities, calibrated, kept, ranking.splits.validation_groups,
        config.resamples, config.confidence, config.seed, entry.deciding,
    )  # fmt: skip
    return measured, (
        metrics.reliability(labels, probabilities[0]),
        metrics.reliability(labels, calibrated[0]),
    )


def _rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Yield a flat dictionary for each candidate: every metric with its bounds, and every cost."""
    ranking = comparison.ranking
    for rank, (entry, measured) in enumerate(
        zip(ranking.entries, comparison.estimates, strict=True)
    ):
        row: dict[str, Any] = {
            "rank": rank + 1,
            "candidate": entry.label,
            "title": entry.record.title,
            "method": entry.record.method,
            "could_be_best": bool(ranking.could_be_best[rank]),
            "recommended": rank == ranking.recommended,
            "p_best": rounded(ranking.p_best[rank]),
            "p_chance": rounded(ranking.p_chance[rank]),
            "p_value": rounded(ranking.p_values[rank]),
        }
        if any(ranking.conditions):
            row["conditions"] = ranking.conditions[rank]
        if kept := entry.record.threshold:
            row |= {"threshold": rounded(kept["value"]), "threshold_class": kept["class"]}
        for name, estimate in measured.items():
            bounds = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
            row |= {name + suffix: rounded(value) for suffix, value in bounds.items()}
        yield row | entry.record.costs


def rounded(value: float | np.floating) -> float:
    """Return six digits of a number: the last ones depend on the processor."""
    return float(f"{value:.6g}")

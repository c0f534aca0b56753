"""Candidates held against each other on validation."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import CompareConfig
from pipeline.data import duplicates
from pipeline.results.ranking import Entry, Ranking
from pipeline.statistics import bootstrap, calibration, metrics
from pipeline.statistics.bootstrap import Estimate
from pipeline.statistics.metrics import Reliability


@dataclass(frozen=True)
class Comparison:
    """Candidates held against each other on validation.

    Attributes:
        config: what was asked for.
        ranking: the candidates, best first, and who is tied.
        estimates: of each candidate, every metric with its interval.
        reliability: of each candidate, before and after temperature scaling (cross-fitted).
        suspects: images that validate and have a twin among those that were learned from.
        files: that were written.
    """

    config: CompareConfig
    ranking: Ranking
    estimates: tuple[dict[str, Estimate], ...]
    reliability: tuple[tuple[Reliability, Reliability], ...]
    suspects: int
    files: tuple[Path, ...] = field(default=())

    @property
    def best(self) -> str:
        """Name of the candidate with the highest score."""
        return self.ranking.entries[0].label

    @property
    def recommended(self) -> str:
        """Name of the cheapest of the best and those tied with it."""
        return self.ranking.entries[self.ranking.recommended].label

    @cached_property
    def confusion(self) -> np.ndarray:
        """Of the recommended candidate: true class by row, predicted by column, int64 (K, K)."""
        return self.confusion_of(self.ranking.recommended)

    def confusion_of(self, rank: int) -> np.ndarray:
        """Return the same of the candidate at a rank, 0 for the best."""
        classes = len(self.ranking.splits.class_names)
        predicted = self.ranking.entries[rank].predicted
        return metrics.confusion(self.ranking.labels, predicted, classes)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A flat dictionary a candidate, best first, as the CSV file has it."""
        return _rows(self)


def judge(ranking: Ranking, config: CompareConfig) -> Comparison:
    """Measure ranked candidates by every metric, with intervals; nothing is written."""
    ids = [ranking.splits.ids[place] for place in ranking.splits.validated]
    kept = duplicates.without_duplicates(config.results, "validation", ids)
    judged = [_judged(entry, ranking.labels, kept, config) for entry in ranking.entries]
    estimates, reliability = zip(*judged, strict=True)
    return Comparison(config, ranking, estimates, reliability, int((~kept).sum()))


def _rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return a flat dictionary a candidate: every metric with its bounds, and every cost."""
    ranking = comparison.ranking
    found = []
    for rank, (entry, estimates) in enumerate(
        zip(ranking.entries, comparison.estimates, strict=True)
    ):
        record = entry.record
        row: dict[str, Any] = {
            "rank": rank + 1,
            "candidate": entry.label,
            "title": record.title,
            "method": record.method,
            "tied": bool(ranking.tied[rank]),
            "recommended": rank == ranking.recommended,
            "p_value": rounded(ranking.p_values[0, rank]),
        }
        for name, estimate in estimates.items():
            bounds = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
            row |= {name + suffix: rounded(value) for suffix, value in bounds.items()}
        row |= {f"{name}_seconds": seconds for name, seconds in record.seconds.items()}
        row |= {"model_bytes": record.model["bytes"], "peak_bytes": record.peak_memory}
        found.append(row)
    return found


def _judged(
    entry: Entry, labels: np.ndarray, kept: np.ndarray, config: CompareConfig
) -> tuple[dict[str, Estimate], tuple[Reliability, Reliability]]:
    given = entry.probabilities
    calibrated = calibration.cross_fitted(given, labels, config.seed)
    estimates = bootstrap.estimates(
        labels, given, calibrated, kept, config.resamples, config.confidence, config.seed
    )
    return estimates, (metrics.reliability(labels, given), metrics.reliability(labels, calibrated))


def rounded(value: float | np.floating) -> float:
    """Return six digits of a number: the last ones depend on the processor."""
    return float(f"{value:.6g}")

"""The compare stage: results folders in, a ranking out; the locked test is never touched."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from features import durable
from pipeline.config import METRIC, CompareConfig
from pipeline.evaluation import bootstrap, calibration, duplicates, metrics
from pipeline.evaluation.bootstrap import Estimate
from pipeline.evaluation.metrics import Reliability
from pipeline.evaluation.standings import Entry, Standings, standings

CSV, JSON = "comparison.csv", "comparison.json"


@dataclass(frozen=True)
class Comparison:
    """Candidates held against each other on validation.

    Attributes:
        config: what was asked for.
        standings: the candidates, best first, and who is tied.
        estimates: of each candidate, every metric with its interval.
        reliability: of each candidate, before and after temperature scaling (cross-fitted).
        suspects: images that validate and have a twin among those that were learned from.
        files: that were written.
    """

    config: CompareConfig
    standings: Standings
    estimates: tuple[dict[str, Estimate], ...]
    reliability: tuple[tuple[Reliability, Reliability], ...]
    suspects: int
    files: tuple[Path, ...] = field(default=())

    @property
    def best(self) -> str:
        """Name of the candidate with the highest score."""
        return self.standings.entries[0].label

    @property
    def recommended(self) -> str:
        """Name of the cheapest of the best and those tied with it."""
        return self.standings.entries[self.standings.recommended].label

    @cached_property
    def confusion(self) -> np.ndarray:
        """Of the recommended candidate: true class by row, predicted by column, int64 (K, K)."""
        return self.confusion_of(self.standings.recommended)

    def confusion_of(self, rank: int) -> np.ndarray:
        """Return the same of the candidate at a rank, 0 for the best."""
        classes = len(self.standings.splits.class_names)
        predicted = self.standings.entries[rank].predicted
        return metrics.confusion(self.standings.labels, predicted, classes)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A flat dictionary a candidate, best first, as the CSV file has it."""
        from pipeline.reports import comparison

        return comparison.rows(self)

    @property
    def text(self) -> str:
        """All of it for a terminal."""
        from pipeline.reports import comparison

        return comparison.text(self)


def run(config: CompareConfig) -> Comparison:
    """Rank candidates on validation; write comparison.csv and comparison.json.

    Raises:
        UsageError: an unknown metric, no candidate, folders with different splits, or a place
            that cannot be written to.
        DataError: a record or predictions cannot be read, or do not belong to the splits.
    """
    from pipeline.reports import comparison

    bootstrap.check(config.resamples, config.confidence)
    ranking = standings(config.results, config.metric)
    out = config.out or config.results[0]
    durable.prepare_folder(out)
    result = replace(judge(ranking, config), files=(out / CSV, out / JSON))
    durable.write(out / CSV, comparison.csv_text(result).encode())
    durable.write(out / JSON, comparison.json_text(result).encode())
    return result


def judge(ranking: Standings, config: CompareConfig) -> Comparison:
    """Measure ranked candidates by every metric, with intervals; nothing is written."""
    ids = [ranking.splits.ids[place] for place in ranking.splits.validated]
    kept = duplicates.unsuspected(config.results, "validation", ids)
    judged = [_judged(entry, ranking.labels, kept, config) for entry in ranking.entries]
    estimates, reliability = zip(*judged, strict=True)
    return Comparison(config, ranking, estimates, reliability, int((~kept).sum()))


def best(results: Sequence[Path], metric: str = METRIC) -> Entry:
    """Return the candidate with the highest score on validation; raises as `run` does."""
    return standings(results, metric).entries[0]


def recommended(results: Sequence[Path], metric: str = METRIC) -> Entry:
    """Return the cheapest of the best and those tied with it; raises as `run` does."""
    ranking = standings(results, metric)
    return ranking.entries[ranking.recommended]


def _judged(
    entry: Entry, labels: np.ndarray, kept: np.ndarray, config: CompareConfig
) -> tuple[dict[str, Estimate], tuple[Reliability, Reliability]]:
    given = entry.probabilities
    calibrated = calibration.cross_fitted(given, labels, config.seed)
    estimates = bootstrap.estimates(
        labels, given, calibrated, kept, config.resamples, config.confidence, config.seed
    )
    return estimates, (metrics.reliability(labels, given), metrics.reliability(labels, calibrated))

"""The compare stage: results folders in, a ranking out; the locked test is never touched."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from features import durable
from pipeline.config import METRIC, CompareConfig
from pipeline.evaluation import bootstrap, calibration, duplicates, metrics
from pipeline.evaluation.bootstrap import Estimate
from pipeline.evaluation.standings import Entry, Standings, standings

CSV, JSON = "comparison.csv", "comparison.json"


@dataclass(frozen=True)
class Comparison:
    """Candidates held against each other on validation.

    Attributes:
        config: what was asked for.
        standings: the candidates, best first, and who is tied.
        estimates: of each candidate, every metric with its interval.
        suspects: images that validate and have a twin among those that were learned from.
        files: that were written.
    """

    config: CompareConfig
    standings: Standings
    estimates: tuple[dict[str, Estimate], ...]
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
        entry = self.standings.entries[self.standings.recommended]
        classes = len(self.standings.splits.class_names)
        return metrics.confusion(self.standings.labels, entry.predicted, classes)

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
    ids = [ranking.splits.ids[place] for place in ranking.splits.validated]
    kept = duplicates.unsuspected(config.results, "validation", ids)
    estimates = tuple(_estimates(entry, ranking, kept, config) for entry in ranking.entries)
    files = (out / CSV, out / JSON)
    result = Comparison(config, ranking, estimates, int((~kept).sum()), files)
    durable.write(files[0], comparison.csv_text(result).encode())
    durable.write(files[1], comparison.json_text(result).encode())
    return result


def best(results: Sequence[Path], metric: str = METRIC) -> Entry:
    """Return the candidate with the highest score on validation; raises as `run` does."""
    return standings(results, metric).entries[0]


def recommended(results: Sequence[Path], metric: str = METRIC) -> Entry:
    """Return the cheapest of the best and those tied with it; raises as `run` does."""
    ranking = standings(results, metric)
    return ranking.entries[ranking.recommended]


def _estimates(
    entry: Entry, ranking: Standings, kept: np.ndarray, config: CompareConfig
) -> dict[str, Estimate]:
    calibrated = calibration.cross_fitted(entry.probabilities, ranking.labels, config.seed)
    return bootstrap.estimates(
        ranking.labels, entry.probabilities, calibrated, kept,
        config.resamples, config.confidence, config.seed,
    )  # fmt: skip

"""Candidates ranked on validation: the best, those that could be, and the recommended one.

Only records and predictions on validation are read, never the locked test or the features.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from features.errors import UsageError, unknown_name
from pipeline.config import METRIC
from pipeline.config.judging import GIVE_UP
from pipeline.data.layers import parts_of
from pipeline.data.splits import Splits
from pipeline.results import left_out, verdict
from pipeline.results.entries import Entry, read_entry
from pipeline.results.records import EXTERNAL, RECORD, Record, candidates
from pipeline.results.trials import TriedSettings
from pipeline.statistics import (
    influence,
    metrics,
    resampling,
    scoring,
    selection,
    significance,
)
from pipeline.statistics.influence import Measured
from pipeline.statistics.resampling import Units
from pipeline.statistics.selection import Selected
from pipeline.statistics.significance import LEVEL

log = logging.getLogger("offshelf")

_CONDITIONS = ("image_size", "precision")  # of images, and of the network that reads them
FLOOR = "dummy"  # the method that only knows class frequencies


@dataclass(frozen=True)
class Ranking:
    """m candidates, the best first.

    Attributes:
        metric: the metric by which they are ranked.
        splits: the splits that all of them share.
        entries: m candidates.
        measured: the metric of each, and each validation image's influence on it.
        family: the same of all candidates, and then of every setting that was tried for them, as
            far as it is known: all that was chosen among on these images.
        p_best: float64 (m,), how well the images agree with each one's being the best: those from
            0.05 on are a set that holds the best one with 95 % confidence.
        p_chance: float64 (m,), how well they agree with its knowing class frequencies alone.
        p_values: float64 (m,), McNemar's test of accuracy against the first, by Holm's method.
        give_up: points of the metric that the recommended one may be below the best, for its cost.
        unfinished: folders of candidates without a record.
        left_out: why a run left candidates out, by name.
    """

    metric: str
    splits: Splits
    entries: tuple[Entry, ...]
    measured: Measured
    family: Measured
    p_best: np.ndarray
    p_chance: np.ndarray
    p_values: np.ndarray
    give_up: float
    unfinished: tuple[str, ...]
    left_out: dict[str, str]

    @property
    def labels(self) -> np.ndarray:
        """True classes of the validation images, int32 (n,)."""
        return self.splits.labels[self.splits.validated]

    @cached_property
    def conditions(self) -> tuple[str, ...]:
        """Image size and precision of each candidate, such as "96 x 96, bfloat16".

        Only what differs between candidates is in it; empty where nothing does or is known.
        """
        known = [_conditions(entry.record) for entry in self.entries]
        differ = [len({values.get(name) for values in known} - {None}) > 1 for name in _CONDITIONS]
        names = [name for name, differs in zip(_CONDITIONS, differ, strict=True) if differs]
        return tuple(
            ", ".join(values[name] for name in names if name in values) for values in known
        )

    @property
    def units(self) -> Units:
        """The groups of validation images, as the metric takes them."""
        return units_of(self.metric, self.splits)

    @property
    def scores(self) -> tuple[float, ...]:
        """The metric of each candidate."""
        return tuple(self.measured.scores.tolist())

    def expected(self, resamples: int, confidence: float, seed: int) -> Selected:
        """Return what new images will give of the best, corrected for all that was chosen among.

        Its arguments are those of `statistics.selection.corrected`.
        """
        selected = selection.corrected(self.family, self.units, resamples, confidence, seed)
        return selected.at_most(self.scores[0], self.metric)

    @property
    def could_be_best(self) -> np.ndarray:
        """Bool (m,): the candidates that could be the best by the metric that ranks."""
        return self.p_best >= LEVEL

    @property
    def better_than_chance(self) -> np.ndarray:
        """Bool (m,): the candidates that know more than class frequencies, by that metric."""
        return self.p_chance < LEVEL

    @cached_property
    def recommended(self) -> int | None:
        """Rank of the candidate to take, by `verdict.recommend`.

        None where no candidate that could be the best knows more than class frequencies.
        """
        floors = np.array([self.is_floor(rank) for rank in range(len(self.entries))])
        return verdict.recommend(
            self.measured,
            self.could_be_best & self.better_than_chance & ~floors,
            self.give_up / 100,
            [entry.record.cost for entry in self.entries],
            [mean_log_loss(self.labels, entry.probabilities) for entry in self.entries],
            [entry.label for entry in self.entries],
        )

    @property
    def shown(self) -> int:
        """Rank of the candidate that is shown first: the recommended one, or else the best."""
        return self.recommended or 0

    @property
    def best_entry(self) -> Entry:
        """The candidate with the highest score on validation."""
        return self.entries[0]

    @property
    def recommended_entry(self) -> Entry | None:
        """The candidate to take, if there is one."""
        return None if self.recommended is None else self.entries[self.recommended]

    def entry(self, name: str) -> Entry:
        """Return the candidate of that name; raises UsageError where there is none."""
        for entry in self.entries:
            if entry.label == name:
                return entry
        raise unknown_name("candidate", name, [entry.label for entry in self.entries])

    def is_floor(self, number: int) -> bool:
        """Tell whether a candidate only knows class frequencies."""
        return self.entries[number].record.method == FLOOR


def rank_candidates(
    results: Sequence[Path], metric: str | None = None, give_up: float = GIVE_UP
) -> Ranking:
    """Rank the candidates of results folders by a metric on validation.

    Args:
        results: results folders with equal splits.
        metric: one of `scoring.RANKING_METRICS`; None takes the one by which they were chosen.
        give_up: points of the metric that the recommended candidate may be below the best.

    Raises:
        UsageError: there is no such metric, no candidate, candidates were chosen by different
            metrics, or folders have different splits.
        DataError: a record, or predictions, cannot be read or do not belong to the splits.
    """
    splits = _common_splits(results)
    metric = metric or metric_of(results)
    scoring.check(metric)
    labels = splits.labels[splits.validated]
    entries = _entries(results, splits)
    measured = influence.measure(metric, labels, [entry.read_by(metric) for entry in entries])
    # Equal scores differ by rounding alone, which depends on the processor.
    goodness = np.round(measured.goodness, 12)
    losses = [mean_log_loss(labels, entry.probabilities) for entry in entries]
    order = sorted(
        range(len(entries)), key=lambda n: (-goodness[n], round(losses[n], 6), entries[n].label)
    )
    entries = [entries[n] for n in order]
    measured = Measured(metric, measured.scores[order], measured.influence[order])
    units = units_of(metric, splits)
    family = _with_tried_settings(measured, entries, splits)
    chance = verdict.p_of_chance(family, labels, len(splits.class_names), units)
    return Ranking(
        metric,
        splits,
        tuple(entries),
        measured,
        family,
        verdict.p_of_being_best(measured, units),
        chance[: len(entries)],
        significance.against_first(np.stack([entry.predicted == labels for entry in entries])),
        give_up,
        _unfinished(results),
        {name: why for folder in results for name, why in left_out.read(folder).items()},
    )


def _with_tried_settings(measured: Measured, entries: Sequence[Entry], splits: Splits) -> Measured:
    """Return candidates and the settings that were tried for them, in the first repeat.

    By a metric of probabilities these are the settings that it chose among.
    """
    labels, classes = splits.labels[splits.validated], len(splits.class_names)
    read = [TriedSettings.read(entry.folder, entry.record.trials_file) for entry in entries]
    tried = [one for one in read if one and one.tells(measured.metric)]
    return measured.with_others([one.measured(measured.metric, labels, classes) for one in tried])


def metric_of(results: Sequence[Path]) -> str:
    """Return the metric by which the candidates of results folders were chosen.

    Predictions of other tools were chosen by none; alone they are ranked by accuracy.

    Raises:
        UsageError: there is no candidate, or they were chosen by different metrics.
        DataError: a record cannot be read.
    """
    records = [record for folder in results for record in candidates(folder).values()]
    used = sorted({record.metric for record in records if record.kind != EXTERNAL})
    if len(used) > 1:
        raise UsageError(
            f"the candidates in {', '.join(map(str, dict.fromkeys(results)))} were chosen by "
            f"different metrics ({', '.join(used)}); say by --metric which one ranks them"
        )
    return used[0] if used else METRIC


def _conditions(record: Record) -> dict[str, str]:
    """Return what is known of image size and precision, as text."""
    sizes: dict[str, None] = {}
    precisions: dict[str, None] = {}
    for part in parts_of(record.inputs):
        facts = part.get("recipe") or part
        size, precision = (facts.get(name) for name in _CONDITIONS)
        sizes |= {" x ".join(map(str, size)): None} if size else {}
        precisions |= {str(precision): None} if precision else {}
    shown = {"image_size": " and ".join(sizes)} if sizes else {}
    return shown | ({"precision": " and ".join(precisions)} if precisions else {})


def units_of(metric: str, splits: Splits) -> Units:
    """Return the units of chance of the validation images, as a metric takes them."""
    labels = splits.labels[splits.validated]
    return resampling.units(splits.validation_groups, labels, metric in scoring.CLASS_WISE)


def mean_score(metric: str, labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean over repeats of a metric.

    Probabilities are not averaged first: that would score an ensemble which nobody keeps.

    Args:
        metric: its name.
        labels: int (n,).
        probabilities: float (R, n, K).
    """
    return float(np.mean([scoring.score(metric, labels, given) for given in probabilities]))


def mean_log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean over repeats of the log loss, of probabilities (R, n, K)."""
    return float(np.mean([metrics.log_loss(labels, given) for given in probabilities]))


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
    if unsealed := [name for _, name, record in finished if not record.predictions]:
        log.info(
            "%d of %d candidates are of a version that kept no checksum of predictions, such as "
            "%s: these are taken as they stand", len(unsealed), len(finished), unsealed[0],
        )  # fmt: skip
    names = [name for _, name, _ in finished]
    return [
        read_entry(
            name if names.count(name) == 1 else f"{folder}/{name}", folder / name, record, splits
        )
        for folder, name, record in finished
    ]


def _unfinished(results: Sequence[Path]) -> tuple[str, ...]:
    return tuple(
        str(folder)
        for parent in dict.fromkeys(results)
        for folder in sorted(parent.iterdir())
        if folder.is_dir() and not folder.name.startswith(".") and not (folder / RECORD).exists()
    )

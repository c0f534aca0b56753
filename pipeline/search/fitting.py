"""The jobs of the worker process: fitting one candidate, and measuring what a fit costs."""

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.classifiers import storage, streaming
from pipeline.classifiers.base import Classifier, Setting, probabilities
from pipeline.classifiers.blocks import Rows
from pipeline.classifiers.threads import one_thread
from pipeline.config.judging import CONFIDENCE, RESAMPLES
from pipeline.data.splits import Splits
from pipeline.data.stored_rows import Loaded, StoredRows
from pipeline.results.library_warnings import collected_warnings
from pipeline.results.memory import peak_since_reset, reset_peak
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.ranking import mean_score, units_of
from pipeline.results.records import Trial
from pipeline.results.trials import TriedSettings
from pipeline.search import tuning
from pipeline.search.tuning import Clock, Examples, Report
from pipeline.statistics import calibration, selection

Matrix = Path | StoredRows | Loaded

SAMPLE = 1000  # rows on which costs are measured first
_SMALL = 10_000_000  # values of a matrix, 40 MB
_FACTOR = 3  # the next measurement takes so many times the rows, while there is time
_TIMES = 3  # that predicting is timed
_WARM_UP = 200  # rows of a fit that is not timed, because it loads libraries


@dataclass(frozen=True)
class FitJob:
    """A candidate to fit.

    Attributes:
        classifier: the classifier to fit, which may be a fallback.
        matrix: float32 (N, D), in the order of the splits: an .npy file, or stored rows, read in
            blocks or loaded.
        results: the folder of the splits.
        folder: an existing folder, to which model and predictions are written.
        settings: the settings to search; a single one is taken without a search.
        share: the share of the training rows to use, above 0 to 1.
        metric: the metric by which the setting is chosen.
        seed: the seed of everything random.
        seconds: the time by which search and last fit should end; infinite for no limit.
        widths: as `Task` has them.
    """

    classifier: Classifier
    matrix: Matrix
    results: Path
    folder: Path
    settings: tuple[Setting, ...]
    share: float
    metric: str
    seed: int
    seconds: float
    widths: tuple[int, ...] = ()

    @property
    def method(self) -> str:
        """The classifier's name."""
        return self.classifier.name


@dataclass(frozen=True)
class FitResult:
    """The outcome of a `FitJob`.

    Attributes:
        setting, trials, rows, seconds, peak_memory, model, temperature, trials_file, expected,
            warnings, predictions: as in a record.
        score: the metric on validation, the mean over the repeats.
        accelerated: whether Intel's extension fitted it.
        stopped_early: whether the search ran out of time.
    """

    setting: Setting
    trials: tuple[Trial, ...]
    rows: int
    seconds: dict[str, float]
    peak_memory: int
    model: dict[str, Any]
    temperature: float
    trials_file: dict[str, Any]
    expected: dict[str, Any]
    warnings: tuple[str, ...]
    score: float
    accelerated: bool
    stopped_early: bool
    predictions: dict[str, Any]


@dataclass(frozen=True)
class MeasureJob:
    """A classifier whose default is to be timed on more and more rows.

    Attributes:
        classifier, matrix, results, seed, widths: as a `FitJob` has them.
        seconds: the time that measuring takes, about.
        most: the number of rows that memory allows.
    """

    classifier: Classifier
    matrix: Matrix
    results: Path
    seed: int
    seconds: float
    most: int
    widths: tuple[int, ...] = ()

    @property
    def method(self) -> str:
        """The classifier's name."""
        return self.classifier.name


@dataclass(frozen=True)
class Cost:
    """The time that a classifier takes.

    Attributes:
        rows: the number of rows on which it was measured.
        fit: the seconds of fitting them that grow with their number.
        predict: the seconds of predicting as many.
        fixed: the seconds of fitting any number of rows, such as a decomposition by features.
    """

    rows: int
    fit: float
    predict: float
    fixed: float = 0.0


def fit(job: FitJob, report: Report) -> FitResult:
    """Search, fit on all rows that are not locked, and write model and predictions.

    Raises:
        MissingPackageError: the classifier needs a package that is not installed.
        DataError: a file cannot be written.
    """
    examples = _examples(job, job.share)
    with threads(examples):
        return _fit(job, examples, report)


def _fit(job: FitJob, examples: Examples, report: Report) -> FitResult:
    reset_peak()
    started = time.perf_counter()
    classifier = job.classifier
    clock = _clock(classifier, examples, job.seconds)
    search = tuning.search(classifier, job.settings, examples, job.metric, clock, report)
    searched = time.perf_counter()
    report("the last fit")
    rows = examples.subset(examples.splits.rest)
    x, y = examples.rows_of(classifier, rows), examples.splits.labels[rows]
    model = classifier.pipeline(examples.task(len(rows))).set_params(**search.setting)
    with collected_warnings() as caught:
        streaming.fit_pipeline(model, x, y)
    fitted = time.perf_counter()
    predict_1000 = _seconds_of_predicting(model, x, examples.classes)
    predictions = _predictions(examples.splits, search.probabilities)
    score = mean_score(job.metric, predictions.labels, predictions.repeats)
    return FitResult(
        search.setting,
        search.trials,
        len(rows),
        {"search": searched - started, "fit": fitted - searched, "predict_1000": predict_1000},
        peak_since_reset(),
        (storage.save_untrusted if classifier.own else storage.save)(model, job.folder),
        _temperature(predictions),
        search.tried.write(job.folder),
        _expected(job, search.tried, examples.splits, score),
        tuple(caught),
        score,
        any(type(step).__module__.startswith("sklearnex") for _, step in model.steps),
        search.stopped_early,
        predictions.write(job.folder / VALIDATION, examples.splits.class_names),
    )


def _expected(job: FitJob, tried: TriedSettings, splits: Splits, score: float) -> dict[str, Any]:
    """Return what new images will give of the best of all settings that were tried."""
    labels, units = splits.labels[splits.validated], units_of(job.metric, splits)
    measured = tried.measured(job.metric, labels, len(splits.class_names))
    best = selection.corrected(measured, units, RESAMPLES, CONFIDENCE, job.seed)
    return best.at_most(score, job.metric).facts() | {"settings": len(measured.scores)}


def measure(job: MeasureJob, report: Report) -> Cost:
    """Fit a classifier's default on few rows, then on more; return the cost on the most rows."""
    end = time.monotonic() + job.seconds
    classifier = job.classifier
    examples = _examples(job, 1.0)
    with threads(examples):
        _timed(classifier, examples, _WARM_UP)
        cost = last = _timed(classifier, examples, min(SAMPLE, job.most))
        while last.rows * _FACTOR < min(len(examples.splits.rest), job.most):
            expected = last.fit * _FACTOR**classifier.growth + last.predict * _FACTOR**2
            if time.monotonic() + 2 * expected > end:
                break
            before, last = last, _timed(classifier, examples, _FACTOR * last.rows)
            cost = _with_fixed(before, last, classifier.growth)
    return cost


def _timed(classifier: Classifier, examples: Examples, count: int) -> Cost:
    rest = examples.splits.rest
    rows = examples.subset(rest, min(1.0, count / len(rest)))
    x, y = examples.x[rows], examples.splits.labels[rows]
    model = classifier.pipeline(examples.task(len(rows))).set_params(**classifier.default)
    started = time.perf_counter()
    model.fit(x, y)
    fitted = time.perf_counter()
    probabilities(model, x, examples.classes)
    return Cost(len(rows), fitted - started, time.perf_counter() - fitted)


def _with_fixed(few: Cost, many: Cost, growth: float) -> Cost:
    """Return the cost of many rows, with the seconds that do not grow with their number apart."""
    ratio = (many.rows / few.rows) ** growth
    if ratio <= 1:
        return many
    fixed = min(max(0.0, (ratio * few.fit - many.fit) / (ratio - 1)), many.fit)
    return Cost(many.rows, many.fit - fixed, many.predict, fixed)


def threads(examples: Examples) -> AbstractContextManager:
    """Return a context in which products of small matrices use one thread."""
    if len(examples.splits.rest) * examples.x.shape[1] > _SMALL:
        return nullcontext()
    return one_thread()


def opened(matrix: Matrix) -> np.ndarray | StoredRows:
    """Return the rows of a matrix, mapped or read in blocks."""
    if isinstance(matrix, Path):
        return np.load(matrix, mmap_mode="r")
    return matrix.rows if isinstance(matrix, Loaded) else matrix


@lru_cache(maxsize=1)
def _read(matrix: Matrix, results: Path) -> tuple[Rows, Splits]:
    rows = matrix.rows[:] if isinstance(matrix, Loaded) else opened(matrix)
    return rows, Splits.read(results)


def _examples(job: FitJob | MeasureJob, share: float) -> Examples:
    x, splits = _read(job.matrix, job.results)
    return Examples(x, splits, share, job.seed, job.widths)


def _clock(classifier: Classifier, examples: Examples, seconds: float) -> Clock:
    splits = examples.splits
    larger = len(splits.rest) / splits.smallest
    repeats = len(splits.folds)  # the best setting is judged on the other repeats too
    refit = larger**classifier.growth / splits.count + repeats - 1
    return Clock(time.monotonic() + seconds, refit)


def _seconds_of_predicting(model: Any, x: Rows, classes: int) -> float:
    """Return the seconds of predicting 1,000 rows, after a first call that is not timed.

    Other work on the machine only adds to a time, so that the shortest of a few is the best guess.
    """
    some = np.ascontiguousarray(x[:1000])
    probabilities(model, some[:10], classes)
    spent = []
    for _ in range(_TIMES):
        started = time.perf_counter()
        probabilities(model, some, classes)
        spent.append(time.perf_counter() - started)
    return min(spent) * 1000 / len(some)


def _predictions(splits: Splits, values: np.ndarray) -> Predictions:
    """Return predictions of (R, V, K) probabilities; one repeat needs no column for it."""
    rows = splits.validated
    ids = splits.ids_of(rows)
    return Predictions(ids, splits.labels[rows], values if len(values) > 1 else values[0])


def _temperature(predictions: Predictions) -> float:
    """Return the temperature of the predictions of all repeats."""
    repeats = predictions.repeats
    return calibration.temperature(
        np.concatenate(list(repeats)), np.tile(predictions.labels, len(repeats))
    )

"""One candidate from start to end: search, last fit, predictions, model; and what a fit will cost.

This runs in a process of its own (see `worker`), so that it can be ended and its memory measured.
"""

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.classifiers import find
from pipeline.classifiers import storage as models
from pipeline.classifiers.base import Classifier, Setting, probabilities
from pipeline.data.splits import Splits
from pipeline.results.memory import peak_since_reset, reset_peak
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.records import Trial
from pipeline.search import tuning
from pipeline.search.tuning import Clock, Examples, Report
from pipeline.statistics import calibration

_SMALL = 10_000_000  # features of all rows, 40 MB
SAMPLE = 1000  # rows on which costs are measured first
_MORE = 3  # times as many are next, as long as there is time: the more, the surer
_WARM = 200  # rows of a fit that loads what is needed and is not timed


@dataclass(frozen=True)
class Job:
    """What a worker is told to fit.

    Attributes:
        method: name of a classifier, or of a cheaper fallbacks.
        matrix: .npy file of float32 (N, D), in the order of the splits.
        results: folder of the splits.
        folder: for model and predictions; made if it is not there.
        settings: to be searched; a single one is taken.
        share: of the rows to learn from, above 0 to 1.
        metric: by which the setting is chosen.
        seed: of everything random.
        seconds: until search and last fit should have ended; infinite for no end.
    """

    method: str
    matrix: Path
    results: Path
    folder: Path
    settings: tuple[Setting, ...]
    share: float
    metric: str
    seed: int
    seconds: float


@dataclass(frozen=True)
class Fitted:
    """What became of a job.

    Attributes:
        setting, trials, rows, seconds, peak_memory, model, temperature: as in a record.
        accelerated: whether Intel's extension fitted it.
        cut: whether time ended the search.
    """

    setting: Setting
    trials: tuple[Trial, ...]
    rows: int
    seconds: dict[str, float]
    peak_memory: int
    model: dict[str, Any]
    temperature: float
    accelerated: bool
    cut: bool


@dataclass(frozen=True)
class Sample:
    """A job of measuring: the default of a method on ever more rows, as `seconds` allow."""

    method: str
    matrix: Path
    results: Path
    seed: int
    seconds: float


@dataclass(frozen=True)
class Cost:
    """What a method costs.

    Attributes:
        rows: on which it was measured.
        fit: seconds of fitting them, that grow with their number.
        predict: seconds of predicting as many.
        fixed: seconds of fitting any number of rows, such as those of a decomposition by features.
    """

    rows: int
    fit: float
    predict: float
    fixed: float = 0.0


def fit(job: Job, report: Report) -> Fitted:
    """Search, fit on all rows to learn from, and leave model and predictions in the job's folder.

    Raises:
        MissingPackageError: the classifier needs a package that is not installed.
        DataError: a file cannot be written.
    """
    examples = _examples(job.matrix, job.results, job.share, job.seed)
    with threads(examples):
        return _fit(job, examples, report)


def _fit(job: Job, examples: Examples, report: Report) -> Fitted:
    reset_peak()
    started = time.perf_counter()
    classifier = find(job.method)
    clock = _clock(classifier, examples, job.seconds)
    found = tuning.search(classifier, job.settings, examples, job.metric, clock, report)
    searched = time.perf_counter()
    report("the last fit")
    rows = examples.taken(examples.splits.rest)
    x, y = examples.x[rows], examples.splits.labels[rows]
    model = classifier.build(examples.task(len(rows))).set_params(**found.setting).fit(x, y)
    fitted = time.perf_counter()
    accelerated = any(type(step).__module__.startswith("sklearnex") for _, step in model.steps)
    predict_1000 = _predicting(model, x, examples.classes)
    facts = models.save(model, job.folder)
    truth = examples.splits.labels[examples.splits.validated]
    _predictions(examples.splits, found.probabilities).write(
        job.folder / VALIDATION, examples.splits.class_names
    )
    return Fitted(
        found.setting,
        found.trials,
        len(rows),
        {"search": searched - started, "fit": fitted - searched, "predict_1000": predict_1000},
        peak_since_reset(),
        facts,
        calibration.temperature(found.probabilities, truth),
        accelerated,
        found.cut,
    )


def measure(sample: Sample, report: Report) -> Cost:
    """Fit a method's default on a few rows, then on more; return what many will take."""
    end = time.monotonic() + sample.seconds
    classifier = find(sample.method)
    examples = _examples(sample.matrix, sample.results, 1.0, sample.seed)
    with threads(examples):
        _timed(classifier, examples, _WARM)
        found = last = _timed(classifier, examples, SAMPLE)
        while last.rows * _MORE < len(examples.splits.rest):
            expected = last.fit * _MORE**classifier.growth + last.predict * _MORE**2
            if time.monotonic() + 2 * expected > end:
                break
            few, last = last, _timed(classifier, examples, _MORE * last.rows)
            found = _apart(few, last, classifier.growth)
    return found


def _timed(classifier: Classifier, examples: Examples, count: int) -> Cost:
    rest = examples.splits.rest
    rows = examples.taken(rest, min(1.0, count / len(rest)))
    x, y = examples.x[rows], examples.splits.labels[rows]
    model = classifier.build(examples.task(len(rows))).set_params(**classifier.default)
    started = time.perf_counter()
    model.fit(x, y)
    fitted = time.perf_counter()
    probabilities(model, x, examples.classes)
    return Cost(len(rows), fitted - started, time.perf_counter() - fitted)


def _apart(few: Cost, more: Cost, growth: float) -> Cost:
    """Return the cost of `more` rows, parted into what grows with them and what does not."""
    ratio = (more.rows / few.rows) ** growth
    if ratio <= 1:
        return more
    fixed = min(max(0.0, (ratio * few.fit - more.fit) / (ratio - 1)), more.fit)
    return Cost(more.rows, more.fit - fixed, more.predict, fixed)


def threads(examples: Examples) -> AbstractContextManager:
    """Keep products of small matrices to one thread: two wait for each other longer than they work.

    On a machine with other work to do they take twenty times as long.
    """
    from threadpoolctl import threadpool_limits

    if len(examples.splits.rest) * examples.x.shape[1] > _SMALL:
        return nullcontext()
    return threadpool_limits(1, user_api="blas")


@lru_cache(maxsize=1)
def _read(matrix: Path, results: Path) -> tuple[np.ndarray, Splits]:
    return np.load(matrix, mmap_mode="r"), Splits.read(results)


def _examples(matrix: Path, results: Path, share: float, seed: int) -> Examples:
    x, splits = _read(matrix, results)
    return Examples(x, splits, share, seed)


def _clock(classifier: Classifier, examples: Examples, seconds: float) -> Clock:
    splits = examples.splits
    more = len(splits.rest) / splits.smallest
    repeats = len(splits.folds)  # the chosen setting is judged on the others too
    refit = more**classifier.growth / splits.count + repeats - 1
    return Clock(time.monotonic() + seconds, refit)


def _predicting(model: Any, x: np.ndarray, classes: int) -> float:
    """Return seconds to predict 1,000 rows, once everything is warm."""
    some = np.ascontiguousarray(x[:1000])
    probabilities(model, some[:10], classes)
    started = time.perf_counter()
    probabilities(model, some, classes)
    return (time.perf_counter() - started) * 1000 / len(some)


def _predictions(splits: Splits, values: np.ndarray) -> Predictions:
    rows = splits.validated
    return Predictions(tuple(splits.ids[row] for row in rows.tolist()), splits.labels[rows], values)

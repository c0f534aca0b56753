"""The search for a classifier's setting on the images that validate, and what it costs.

Whatever is fitted is fitted on the training rows of a round alone: scaling, principal components,
the classifier. Settings of a path share those steps and start where the one before ended; grids
are narrowed by successive halving (K. Jamieson, A. Talwalkar, "Non-stochastic best arm
identification and hyperparameter optimization", AISTATS 2016, section 3) on growing shares of the
training rows.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.classifiers.base import Classifier, Setting, Task, probabilities
from pipeline.data.splits import Splits
from pipeline.results.records import Trial
from pipeline.statistics import metrics

FACTOR = 3  # by which halving adds rows and drops settings
FEW_ROWS = 4000  # up to here a fit costs too little to save any
PATIENCE = 2  # settings in a row that score below the best end a path

_MODEL = "model__"

Report = Callable[[str], None]


@dataclass(frozen=True)
class Examples:
    """What a search and the last fit read.

    Attributes:
        x: float32 (N, D), often a memory map, in the order of the splits.
        splits: who learns and who validates.
        share: of the rows to learn from that are used, above 0 to 1.
        seed: of the choice of rows, and of the classifiers.
    """

    x: np.ndarray
    splits: Splits
    share: float
    seed: int

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.splits.class_names)

    def taken(self, rows: np.ndarray, share: float = 1.0) -> np.ndarray:
        """Return a stratified choice of rows, increasing: less is part of more."""
        share *= self.share
        if share >= 1:
            return rows
        labels = self.splits.labels[rows]
        mixed = np.random.default_rng(self.seed).permutation(len(rows))
        order = mixed[np.argsort(labels[mixed], kind="stable")]
        sizes = np.bincount(labels, minlength=self.classes)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        ranks = np.arange(len(rows)) - starts[labels[order]]  # within its class
        kept = ranks < np.maximum(1, np.round(share * sizes[labels[order]]))
        return np.sort(rows[order[kept]])

    def task(self, rows: int) -> Task:
        """Return what a classifier is told of a fit on so many rows."""
        return Task(rows, self.x.shape[1], self.classes, self.seed)


@dataclass(frozen=True)
class Clock:
    """When a search must end so that the last fit still ends in time.

    Attributes:
        deadline: of both, by `time.monotonic`.
        refit: seconds that the last fit takes, as a multiple of those of one setting.
    """

    deadline: float = math.inf
    refit: float = 0.0

    def allows(self, full: float, first: float = 0.0) -> bool:
        """Tell whether a setting that takes `full` seconds fits in, and the last fit after it.

        `first` is how many seconds are to be spent before.
        """
        return time.monotonic() + first + (1 + self.refit) * full <= self.deadline


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        setting: the best one.
        trials: all that were tried, in their order.
        probabilities: of that setting, float32 (V, K), of `splits.validated` in order; with
            repeated cross-validation the mean over the repeats.
        cut: whether the time ended before the search did.
    """

    setting: Setting
    trials: tuple[Trial, ...]
    probabilities: np.ndarray
    cut: bool


@dataclass(frozen=True)
class _Attempt:
    trial: Trial
    probabilities: np.ndarray


def search(
    classifier: Classifier,
    settings: Sequence[Setting],
    examples: Examples,
    metric: str,
    clock: Clock,
    report: Report = lambda text: None,
) -> Found:
    """Try settings on the first repeat's rounds; judge the best one on all repeats.

    Args:
        classifier: of the suite.
        settings: in the order of its space; a single one is judged, not searched.
        examples: the rows.
        metric: of `metrics.METRICS`, higher is better; of equals the first setting wins.
        clock: when to end; one setting is always tried on all rows.
        report: is told what is being tried, in a few words.
    """
    rounds = list(examples.splits.rounds(1))
    shares = _shares(classifier, len(settings), examples.splits.smallest)
    tried: list[_Attempt] = []
    left, cut = list(settings), False
    for share in shares:
        if cut and share < 1:  # no time to narrow further
            continue
        level: list[_Attempt] = []
        for attempt in _attempts(classifier, left, examples, rounds, share, metric):
            level.append(attempt)
            tried.append(attempt)
            report(f"{len(tried)} settings tried")
            if (classifier.ordered and _falls(level)) or len(level) == len(left):
                break
            seconds = attempt.trial.seconds
            if not clock.allows(seconds / share**classifier.growth, seconds * (share < 1)):
                cut = True
                break
        best = sorted(level, key=lambda attempt: -attempt.trial.score)
        chosen = [attempt.trial.setting for attempt in best[: 1 if cut else _kept(len(left))]]
        left = [setting for setting in left if setting in chosen]
    found = best[0]
    return Found(
        found.trial.setting,
        tuple(attempt.trial for attempt in tried),
        _averaged(classifier, found, examples, metric),
        cut,
    )


def cost(classifier: Classifier, settings: int, rows: int) -> float:
    """Return what searching so many settings costs, as a multiple of trying one on all rows."""
    if classifier.path:
        return 1.0
    total, left = 0.0, settings
    for share in _shares(classifier, settings, rows):
        total += left * share**classifier.growth
        left = _kept(left)
    return total


def _shares(classifier: Classifier, settings: int, rows: int) -> list[float]:
    """Return the shares of training rows of each level of a search; the last is 1."""
    if classifier.ordered or classifier.path or rows <= FEW_ROWS:
        return [1.0]
    levels = math.ceil(math.log(settings, FACTOR) - 1e-9)
    return [FACTOR ** -float(level) for level in range(levels, -1, -1)]


def _kept(settings: int) -> int:
    """Return how many settings go on to the next level."""
    return math.ceil(settings / FACTOR)


def _falls(level: list[_Attempt]) -> bool:
    """Tell whether the last settings of a path scored below the best before them."""
    scores = [attempt.trial.score for attempt in level]
    return len(scores) > PATIENCE and max(scores[-PATIENCE:]) < max(scores[:-PATIENCE])


def _attempts(
    classifier: Classifier,
    settings: Sequence[Setting],
    examples: Examples,
    rounds: Sequence[tuple[np.ndarray, np.ndarray]],
    share: float,
    metric: str,
) -> Iterator[_Attempt]:
    """Yield each setting's score over all rounds of a repeat, which are fitted side by side."""
    chosen = [(examples.taken(train, share), held) for train, held in rounds]
    held = np.concatenate([held for _, held in chosen])
    order, truth = np.argsort(held, kind="stable"), np.sort(held)
    runs = [_predicted(classifier, settings, examples, *one) for one in chosen]
    rows = min(len(train) for train, _ in chosen)
    for setting in settings:
        started = time.perf_counter()
        values = np.concatenate([next(run) for run in runs])[order]
        seconds = time.perf_counter() - started
        score = metrics.score(metric, examples.splits.labels[truth], values)
        yield _Attempt(Trial(setting, score, round(seconds, 4), rows), values)


def _predicted(
    classifier: Classifier,
    settings: Sequence[Setting],
    examples: Examples,
    train: np.ndarray,
    held: np.ndarray,
) -> Iterator[np.ndarray]:
    """Yield the probabilities of the held-out rows by setting, float32 (len(held), K)."""
    pipeline = classifier.build(examples.task(len(train)))
    x, y, unseen = examples.x[train], examples.splits.labels[train], examples.x[held]
    if classifier.path:
        present = np.unique(y)
        for values in classifier.path(pipeline, settings, x, y, unseen):
            full = np.zeros((len(held), examples.classes), np.float32)
            full[:, present] = values
            yield full
        return
    if classifier.ordered:
        pipeline.set_params(model__warm_start=True)
    model, front = pipeline[-1], None
    for setting in settings:
        model.set_params(**_of_model(setting))
        steps = {name: value for name, value in setting.items() if not name.startswith(_MODEL)}
        if front != steps:  # else what comes before the model is as it was
            front, x_model, unseen_model = steps, x, unseen
            for step in pipeline.set_params(**steps)[:-1]:
                x_model = step.fit_transform(x_model, y)
                unseen_model = step.transform(unseen_model)
        yield probabilities(model.fit(x_model, y), unseen_model, examples.classes)


def _of_model(setting: Setting) -> Setting:
    """Return the parameters of the model itself, by its own names."""
    return {
        name.removeprefix(_MODEL): value
        for name, value in setting.items()
        if name.startswith(_MODEL)
    }


def _averaged(
    classifier: Classifier, found: _Attempt, examples: Examples, metric: str
) -> np.ndarray:
    """Return the mean probabilities of a setting over all repeats, float32 (V, K)."""
    total, repeats = found.probabilities.astype(np.float64), 1
    per_repeat = examples.splits.count
    rounds = list(examples.splits.rounds())[per_repeat:]
    setting = [found.trial.setting]
    for start in range(0, len(rounds), per_repeat):
        repeat = rounds[start : start + per_repeat]
        (again,) = _attempts(classifier, setting, examples, repeat, 1.0, metric)
        total += again.probabilities
        repeats += 1
    return (total / repeats).astype(np.float32)

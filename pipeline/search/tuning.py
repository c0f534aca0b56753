"""The search for a classifier's best setting on the validation images, and what it costs.

All fitting (scaling, principal components, the classifier) uses the training rows of a round alone.
A path of settings shares the steps before the classifier, and each fit starts from the solution of
the one before. A grid is narrowed by successive halving (K. Jamieson, A. Talwalkar, "Non-stochastic
best arm identification and hyperparameter optimization", AISTATS 2016, section 3) on growing shares
of the training rows.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.classifiers import streaming
from pipeline.classifiers.base import CLASS_WEIGHT, Classifier, Path, Setting, Task
from pipeline.classifiers.blocks import Rows
from pipeline.data.sampling import stratified
from pipeline.data.splits import Splits
from pipeline.results.records import Trial
from pipeline.results.trials import TriedSettings
from pipeline.statistics import scoring

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FACTOR = 3  # each level of halving multiplies the rows by it and divides the settings by it
FEW_ROWS = 4000  # with fewer training rows a fit is so cheap that halving saves nothing
PATIENCE = 2  # a path ends after so many settings in a row that score below the best one

_MODEL = "model__"

Report = Callable[[str], None]


@dataclass(frozen=True)
class Examples:
    """The rows that a search and the last fit read.

    Attributes:
        x: features, float32 (N, D), in the order of the splits: often a memory map, or rows that
            are read in blocks.
        splits: the training, validation and locked images.
        share: the share of the training rows that is used, above 0 to 1.
        seed: the seed of the choice of rows and of the classifiers.
        widths: as `Task` has them.
    """

    x: Rows
    splits: Splits
    share: float
    seed: int
    widths: tuple[int, ...] = ()

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.splits.class_names)

    def subset(self, rows: np.ndarray, share: float = 1.0) -> np.ndarray:
        """Return a stratified random subset of rows, increasing; smaller ones lie in larger ones.

        Rows of a group are taken one after the other, so that fewer rows are fewer groups.

        Args:
            rows: positions, int64 (n,).
            share: the share of them to keep, multiplied by the share of these examples; every class
                keeps at least one row.
        """
        share *= self.share
        if share >= 1:
            return rows
        labels = self.splits.labels[rows]
        shuffled = np.random.default_rng(self.seed).permutation(len(rows))
        if self.splits.groups is not None:
            shuffled = shuffled[_by_first_appearance(self.splits.groups[rows[shuffled]])]
        return np.sort(rows[stratified(labels, share, shuffled)])

    def rows_of(self, classifier: Classifier, rows: np.ndarray) -> Rows:
        """Return rows to learn from, as a classifier takes them: in memory, or read in blocks."""
        if isinstance(self.x, np.ndarray) or not classifier.by_blocks:
            return self.x[rows]
        return self.x.subset(rows)

    def judged(self, rows: np.ndarray) -> Rows:
        """Return rows to predict: in memory, or read in blocks."""
        return self.x[rows] if isinstance(self.x, np.ndarray) else self.x.subset(rows)

    def task(self, rows: int) -> Task:
        """Return the task of a fit on so many rows."""
        return Task(rows, self.x.shape[1], self.classes, self.seed, self.widths)


def _by_first_appearance(groups: np.ndarray) -> np.ndarray:
    """Return the order, int64 (n,), that brings each group's rows to the place of its first one."""
    _, first, numbers = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(first[numbers], kind="stable")


@dataclass(frozen=True)
class Clock:
    """The time by which a search must end so that the last fit still ends in time.

    Attributes:
        deadline: for search and last fit together, on the clock of `time.monotonic`.
        refit: seconds of the last fit, as a multiple of those of one setting.
    """

    deadline: float = math.inf
    refit: float = 0.0

    def allows(self, full: float, first: float = 0.0) -> bool:
        """Tell whether there is time to try one more setting, and for the last fit after it.

        Args:
            full: seconds that the setting takes on all rows.
            first: seconds that are spent before it.
        """
        return time.monotonic() + first + (1 + self.refit) * full <= self.deadline


@dataclass(frozen=True)
class SearchResult:
    """The outcome of a search.

    Attributes:
        setting: the best setting.
        trials: all settings that were tried, in their order.
        probabilities: the best setting's in each of R repeats, float32 (R, V, K), for
            `splits.validated` in order.
        tried: what the settings that were tried on all rows predicted in the first repeat.
        stopped_early: whether the search ran out of time.
    """

    setting: Setting
    trials: tuple[Trial, ...]
    probabilities: np.ndarray
    tried: TriedSettings
    stopped_early: bool


@dataclass(frozen=True)
class _Attempt:
    trial: Trial
    goodness: float  # its score so that higher is better
    tried: TriedSettings  # this one alone
    probabilities: np.ndarray  # (V, K); empty where a setting before it was as good


def search(
    classifier: Classifier,
    settings: Sequence[Setting],
    examples: Examples,
    metric: str,
    clock: Clock,
    report: Report = lambda text: None,
) -> SearchResult:
    """Try settings on the rounds of the first repeat, and judge the best one on all repeats.

    Args:
        classifier: the classifier to tune.
        settings: in the order of its space; a single one is judged, not searched.
        examples: the rows.
        metric: one of `scoring.RANKING_METRICS`; of equally good settings the first one wins.
        clock: the time limit; at least one setting is always tried on all rows.
        report: called with a few words about the progress.
    """
    rounds = list(examples.splits.rounds(1))
    shares = _shares(classifier, len(settings), examples.splits.smallest)
    attempts: list[Trial] = []
    candidates, stopped_early = list(settings), False
    for share in shares:
        if stopped_early and share < 1:  # no time to narrow the grid further
            continue
        level: list[_Attempt] = []
        for attempt, more in _along_paths(classifier, candidates, examples, rounds, share, metric):
            level = _with_one(level, attempt)
            attempts.append(attempt.trial)
            report(f"{len(attempts)} settings tried")
            if not more:
                break
            seconds = attempt.trial.seconds
            if not clock.allows(seconds / share**classifier.growth, seconds * (share < 1)):
                stopped_early = True
                break
        ranked = sorted(level, key=lambda attempt: -attempt.goodness)
        kept = ranked[: 1 if stopped_early else _kept(len(candidates))]
        chosen = [attempt.trial.setting for attempt in kept]
        candidates = [setting for setting in candidates if setting in chosen]
    best = next(attempt for attempt in level if attempt.probabilities.size)
    return SearchResult(
        best.trial.setting,
        tuple(attempts),
        _in_each_repeat(classifier, best, examples, metric),
        TriedSettings.joined([attempt.tried for attempt in level]),
        stopped_early,
    )


def cost(classifier: Classifier, settings: int, rows: int) -> float:
    """Return the cost of searching so many settings, as a multiple of trying one on all rows."""
    if classifier.path:
        return 1.0
    total, left = 0.0, settings
    for share in _shares(classifier, settings, rows):
        total += left * share**classifier.growth
        left = _kept(left)
    return total


def _shares(classifier: Classifier, settings: int, rows: int) -> list[float]:
    """Return the shares of the training rows at each level of a search; the last one is 1."""
    if classifier.ordered or classifier.path or rows <= FEW_ROWS:
        return [1.0]
    levels = math.ceil(math.log(settings, FACTOR) - 1e-9)
    return [FACTOR ** -float(level) for level in range(levels, -1, -1)]


def _kept(settings: int) -> int:
    """Return how many settings go on to the next level."""
    return math.ceil(settings / FACTOR)


def _along_paths(
    classifier: Classifier,
    settings: Sequence[Setting],
    examples: Examples,
    rounds: Sequence[tuple[np.ndarray, np.ndarray]],
    share: float,
    metric: str,
) -> Iterator[tuple[_Attempt, bool]]:
    """Yield attempts and whether more follow; a path of an ordered space ends where scores fall."""
    paths = _paths(settings) if classifier.ordered else [list(settings)]
    for number, path in enumerate(paths, 1):
        tried: list[_Attempt] = []
        for attempt in _attempts(classifier, path, examples, rounds, share, metric):
            tried.append(attempt)
            ended = len(tried) == len(path) or (classifier.ordered and _falls(tried))
            yield attempt, not ended or number < len(paths)
            if ended:
                break


def _paths(settings: Sequence[Setting]) -> list[list[Setting]]:
    """Return settings by class weight: the others lie along one parameter each."""
    paths: dict[str, list[Setting]] = {}
    for setting in settings:
        paths.setdefault(str(setting.get(CLASS_WEIGHT)), []).append(setting)
    return list(paths.values())


def _falls(level: list[_Attempt]) -> bool:
    """Tell whether the last settings of a path all scored below the best one before them."""
    scores = [attempt.goodness for attempt in level]
    return len(scores) > PATIENCE and max(scores[-PATIENCE:]) < max(scores[:-PATIENCE])


def _attempts(
    classifier: Classifier,
    settings: Sequence[Setting],
    examples: Examples,
    rounds: Sequence[tuple[np.ndarray, np.ndarray]],
    share: float,
    metric: str,
) -> Iterator[_Attempt]:
    """Yield each setting's score over all rounds of a repeat, which advance together."""
    subsets = [(examples.subset(train, share), validation) for train, validation in rounds]
    validated = np.concatenate([validation for _, validation in subsets])
    order, rows = np.argsort(validated, kind="stable"), np.sort(validated)
    runs = [_predicted(classifier, settings, examples, *subset) for subset in subsets]
    smallest = min(len(train) for train, _ in subsets)
    for setting in settings:
        started = time.perf_counter()
        values = np.concatenate([next(run) for run in runs])[order]
        seconds = time.perf_counter() - started
        score = scoring.score(metric, examples.splits.labels[rows], values)
        trial = Trial(setting, float(score), round(seconds, 4), smallest)
        labels = examples.splits.labels[rows]
        tried = TriedSettings.of(metric, labels, [values], [trial.score])
        yield _Attempt(trial, float(scoring.goodness(metric, score)), tried, values)


def _predicted(
    classifier: Classifier,
    settings: Sequence[Setting],
    examples: Examples,
    train: np.ndarray,
    validation: np.ndarray,
) -> Iterator[np.ndarray]:
    """Yield the probabilities of the validation rows by setting, float32 (len(validation), K)."""
    pipeline = classifier.pipeline(examples.task(len(train)))
    y, unseen = examples.splits.labels[train], examples.judged(validation)
    if classifier.path:
        data = examples.x[train], y, unseen
        yield from _by_path(classifier.path, pipeline, settings, data, examples.classes)
        return
    x = examples.rows_of(classifier, train)
    yield from _fitted_in_turn(classifier, pipeline, settings, (x, y, unseen), examples.classes)


def _by_path(
    path: Path,
    pipeline: "Pipeline",
    settings: Sequence[Setting],
    data: tuple[np.ndarray, np.ndarray, Rows],
    classes: int,
) -> Iterator[np.ndarray]:
    """Yield the probabilities of the unseen rows by setting, as `_fitted_in_turn`."""
    x, y, unseen = data
    present, full = np.unique(y), np.zeros((len(settings), len(unseen), classes), np.float32)
    for rows, block in streaming.in_blocks(unseen):
        for number, values in enumerate(path(pipeline, settings, x, y, block)):
            full[number, rows][:, present] = values
    yield from full


def _fitted_in_turn(
    classifier: Classifier,
    pipeline: "Pipeline",
    settings: Sequence[Setting],
    data: tuple[Rows, np.ndarray, Rows],
    classes: int,
) -> Iterator[np.ndarray]:
    """Yield the probabilities of the unseen rows as each setting is fitted, float32 (n, K).

    Args:
        classifier: the classifier that built the pipeline.
        pipeline: an unfitted pipeline.
        settings: the settings to fit, in their order.
        data: x and y of the training rows, and x of the unseen rows.
        classes: K.
    """
    from sklearn.base import clone

    x, y, unseen = data
    model, steps_before = pipeline[-1], None
    if classifier.ordered:
        model.set_params(warm_start=True)
    for setting in settings:
        steps = {name: value for name, value in setting.items() if not name.startswith(_MODEL)}
        if steps_before != steps:  # else the steps before the model are still the same
            steps_before, x_model, unseen_model = steps, x, unseen
            for step in pipeline.set_params(**steps)[:-1]:
                x_model = streaming.fit_transform(step, x_model, y)
                unseen_model = streaming.transform(step, unseen_model)
        # A setting need not name all parameters, so it must not inherit those of the one before.
        fresh = model if classifier.ordered else clone(model)
        streaming.fit(fresh.set_params(**_of_model(setting)), x_model, y)
        yield streaming.predict(fresh, unseen_model, classes)


def _of_model(setting: Setting) -> Setting:
    """Return the parameters of the model itself, by its own names."""
    return {
        name.removeprefix(_MODEL): value
        for name, value in setting.items()
        if name.startswith(_MODEL)
    }


def _with_one(level: list[_Attempt], attempt: _Attempt) -> list[_Attempt]:
    """Return attempts with one more, of which only the first best keeps its probabilities."""
    better = all(attempt.goodness > other.goodness for other in level)
    nothing = np.empty((0, 0), np.float32)
    if not better:
        return [*level, replace(attempt, probabilities=nothing)]
    return [*(replace(other, probabilities=nothing) for other in level), attempt]


def _in_each_repeat(
    classifier: Classifier, best: _Attempt, examples: Examples, metric: str
) -> np.ndarray:
    """Return the probabilities of the best setting in each repeat, float32 (R, V, K)."""
    values = [best.probabilities]
    per_repeat = examples.splits.count
    rounds = list(examples.splits.rounds())[per_repeat:]
    setting = [best.trial.setting]
    for start in range(0, len(rounds), per_repeat):
        repeat = rounds[start : start + per_repeat]
        (again,) = _attempts(classifier, setting, examples, repeat, 1.0, metric)
        values.append(again.probabilities)
    return np.stack(values)

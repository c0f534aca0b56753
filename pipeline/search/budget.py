"""How long candidates will take, and how each is reduced so that all of them end in time.

Each remaining candidate is granted the time that it is predicted to need, up to a level at which
all grants together fill the time. The cheapest candidate comes first, and time that one does not
need raises the level for the next. A candidate that is too expensive for its share searches fewer
settings, else a cheaper fallback takes its place, else it learns from fewer images.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.classifiers.base import Classifier, Setting
from pipeline.data.splits import Splits
from pipeline.search import tuning
from pipeline.search.fitting import Cost

# From the cheapest to the most expensive, as fits of the defaults were measured; an analyst's own,
# of which nothing is known, come last.
_ORDER = ("dummy", "nearest-centroid", "ridge", "knn-euclidean", "knn-cosine", "lda", "linear-svm",
          "logistic", "rbf-svm-nystroem", "rbf-svm", "extra-trees", "random-forest",
          "gradient-boosting", "dense-head")  # fmt: skip
ALWAYS = _ORDER[:2]  # are fitted however short the time: all others are compared with them
LEAST_SECONDS = 1.0  # no other candidate is begun with less time than this
FEWEST_ROWS = 1000  # a reduction to fewer images keeps at least so many
_PLANNED = 0.8  # a plan fills this fraction of its share, because predictions err
_SLACK = 1.5  # grants are this multiple of the prediction, so that what just fits is planned whole
_PATIENCE = 0.5  # no candidate may take more than this fraction of all remaining time


def place_by_cost(classifier: Classifier) -> int:
    """Return a classifier's place when nothing was measured, from 0 for the cheapest."""
    return _ORDER.index(classifier.name) if classifier.name in _ORDER else len(_ORDER)


class Budget:
    """The time that a run may take.

    Args:
        seconds: for all candidates together; None for no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def over(self) -> bool:
        """Whether too little time is left to begin a candidate."""
        return self._end is not None and self._end - time.monotonic() < LEAST_SECONDS

    def share(self, needs: Sequence[float]) -> "Share":
        """Return the time for the next candidate: all that is not granted to those after it.

        It is never less than an even share.

        Args:
            needs: the predicted seconds of all remaining candidates, the next one first; infinite
                where nothing is known, so that candidates of unknown cost share evenly.
        """
        if self._end is None:
            return Share(math.inf, math.inf)
        left = max(0.0, self._end - time.monotonic())
        wanted = [_SLACK * need for need in needs]
        level = _level(wanted, left)
        others = sum(min(want, level) for want in wanted[1:])
        return Share(max(left / len(needs), left - others), left)


def _level(wanted: Sequence[float], total: float) -> float:
    """Return the level at which the wanted amounts, each capped at it, add up to the total.

    Where their sum is below the total, the level is the largest of them.
    """
    rising = sorted(wanted)
    for number, want in enumerate(rising):
        level = total / (len(rising) - number)
        if want >= level:
            return level
        total -= want
    return rising[-1]


class Share(NamedTuple):
    """The seconds that a candidate may take, and the remaining seconds of the whole run."""

    own: float
    left: float


@dataclass(frozen=True)
class Sizes:
    """The numbers of rows and rounds that decide how long a candidate takes.

    Attributes:
        train: the training rows of the smallest round.
        validation: the validation rows of all rounds of a repeat together.
        rest: the rows of the last fit, which are all that are not locked.
        rounds: the rounds of a repeat.
        repeats: the repeats of cross-validation; 1 without it.
    """

    train: int
    validation: int
    rest: int
    rounds: int
    repeats: int

    @classmethod
    def of(cls, splits: Splits) -> "Sizes":
        """Return the sizes of these splits."""
        validation, rest = len(splits.validated), len(splits.rest)
        return cls(splits.smallest, validation, rest, splits.count, len(splits.folds))


@dataclass(frozen=True)
class FitPlan:
    """One way to make a candidate.

    Attributes:
        classifier: the classifier to fit, which may be a fallback.
        settings: the settings to search.
        share: the share of the training rows to use, above 0 to 1.
        reason: what was given up and why; empty where nothing was.
        seconds: the time by which search and last fit should end; the search keeps to it.
        limit: the time after which the worker is stopped; both are infinite without a budget.
    """

    classifier: Classifier
    settings: tuple[Setting, ...]
    share: float
    reason: str
    seconds: float
    limit: float

    def rank(self, requested: Classifier) -> tuple[bool, float, int]:
        """Return a sorting key, which is larger the less was given up of what was requested."""
        return self.classifier is requested, self.share, len(self.settings)


@dataclass(frozen=True)
class Planner:
    """Plans how to make a candidate in the time that there is.

    Attributes:
        sizes: the sizes of the data.
        tune: whether to search a classifier's space or to take its default.
        cost_of: returns a classifier's cost on a few rows, or None where it was not measured.
        most: returns the share of the training rows that memory allows it, above 0 to 1.
    """

    sizes: Sizes
    tune: bool
    cost_of: Callable[[Classifier], Cost | None]
    most: Callable[[Classifier], float] = lambda classifier: 1.0

    def plans(
        self,
        requested: Classifier,
        fallbacks: Sequence[Classifier],
        share: Callable[[], Share],
        failure: Callable[[], str] = lambda: "",
    ) -> Iterator[FitPlan]:
        """Yield plans for a candidate, the best first; each is for when the one before failed.

        Args:
            requested: the classifier that was asked for.
            fallbacks: its cheaper fallbacks, the most expensive first.
            share: returns the candidate's share of the time at the moment of the call.
            failure: returns the error that ended the plan before, empty where time did.
        """
        for classifier in (requested, *fallbacks):
            plan = self._on_all_rows(classifier, share())
            if plan and classifier is not requested:
                why = "would take longer than its share of the time"
                if error := failure():
                    why = f"failed: {error}"
                reason = "; ".join(filter(None, (f"{requested.title} {why}", plan.reason)))
                plan = dataclasses.replace(plan, reason=reason)
            if plan:
                yield plan
        yield self._on_fewer_rows((requested, *fallbacks)[-1], share(), failure())

    def seconds(self, classifier: Classifier, settings: int = 0, share: float = 1.0) -> float:
        """Return the predicted seconds of search and last fit.

        Args:
            classifier: the classifier to fit.
            settings: the number of settings to search; 0 means all of them.
            share: the share of the training rows to use.
        """
        cost, sizes = self.cost_of(classifier), self.sizes
        if cost is None:
            return 0.0
        settings = settings or len(self._space(classifier))
        train = share * sizes.train
        slower = train / cost.rows if classifier.keeps_rows else 1.0
        fit = cost.fixed + cost.fit * (train / cost.rows) ** classifier.growth
        trial = sizes.rounds * fit + cost.predict * slower * sizes.validation / cost.rows
        last = cost.fixed + cost.fit * (share * sizes.rest / cost.rows) ** classifier.growth
        trials = tuning.cost(classifier, settings, int(train)) + sizes.repeats - 1
        return trials * trial + last

    def _on_all_rows(self, classifier: Classifier, share: Share) -> FitPlan | None:
        """Return a plan with as many settings as there is time for; None where there is none."""
        space, rows = self._space(classifier), self.most(classifier)
        sampled = f"{self._rows(rows)}, as memory was short" if rows < 1 else ""
        for count in range(len(space), 0, -1):
            if self.seconds(classifier, count, rows) <= share.own * _PLANNED:
                few = f"{count} of {len(space)} settings were searched, as time was short"
                reason = "; ".join(filter(None, (sampled, few if count < len(space) else "")))
                settings = _around(classifier, space, count)
                return self._plan(classifier, settings, rows, reason, share)
        return None

    def _rows(self, share: float) -> str:
        return f"on {round(share * self.sizes.rest):,} of {self.sizes.rest:,} images"

    def _on_fewer_rows(self, classifier: Classifier, share: Share, error: str) -> FitPlan:
        """Return a plan with one setting and as many rows as there is time for."""
        rows = self.most(classifier) / 2  # all of these shares are of the training rows
        least = min(2 * rows, FEWEST_ROWS / self.sizes.rest)
        while rows > least and self.seconds(classifier, 1, rows) > share.own * _PLANNED:
            rows /= 2
        rows = max(rows, least)
        few = f" {self._rows(rows)}"
        why = f"because the fit before failed: {error}" if error else "as time was short"
        reason = f"one setting{few if rows < 1 else ''}, {why}"
        settings = _around(classifier, self._space(classifier), 1)
        return self._plan(classifier, settings, rows, reason, share)

    def _plan(
        self,
        classifier: Classifier,
        settings: tuple[Setting, ...],
        rows: float,
        reason: str,
        share: Share,
    ) -> FitPlan:
        limit = max(share.own, share.left * _PATIENCE)
        return FitPlan(classifier, settings, rows, reason, share.own * _PLANNED, limit)

    def _space(self, classifier: Classifier) -> tuple[Setting, ...]:
        return classifier.space if self.tune else (classifier.default,)


def _around(classifier: Classifier, space: tuple[Setting, ...], count: int) -> tuple[Setting, ...]:
    """Return so many settings around the default, or around the middle without a default."""
    known = classifier.default in space
    place = space.index(classifier.default) if known else len(space) // 2
    start = min(max(0, place - count // 2), len(space) - count)
    return space[start : start + count]

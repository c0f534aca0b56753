"""How long candidates will take, and what is given up so that all of them end in time.

Each candidate that is left is granted what it is predicted to need, up to a level at which all
grants together fill the time. They come cheapest first, and what one does not need raises the level
for the next. A candidate too dear for its share searches fewer settings, else a cheaper relative
takes its place, else it learns from fewer images.
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

FEWEST_ROWS = 1000  # of a fallback to fewer images
_PLANNED = 0.8  # of a share: predictions err, and should a candidate be ended there is a fallback
_SLACK = 1.5  # granted as a multiple of what is predicted, so that what just fits is planned whole
_PATIENCE = 0.5  # of all the time that is left, which no candidate may take for itself


class Budget:
    """The time of a run.

    Args:
        seconds: in all; None for no end.
    """

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def share(self, needs: Sequence[float]) -> "Share":
        """Return what the next candidate may take: what those after it are not granted.

        That is never less than an even share.

        Args:
            needs: predicted seconds of all that are left, the next one first; infinite where
                nothing is known, so that candidates of unknown cost share evenly.
        """
        if self._end is None:
            return Share(math.inf, math.inf)
        left = max(0.0, self._end - time.monotonic())
        wanted = [_SLACK * need for need in needs]
        level = _level(wanted, left)
        others = sum(min(want, level) for want in wanted[1:])
        return Share(max(left / len(needs), left - others), left)


def _level(wanted: Sequence[float], total: float) -> float:
    """Return the level at which the wanted amounts, none above it, add up to the total.

    Where all of them together are less, the level is that of the largest.
    """
    rising = sorted(wanted)
    for number, want in enumerate(rising):
        level = total / (len(rising) - number)
        if want >= level:
            return level
        total -= want
    return rising[-1]


class Share(NamedTuple):
    """Seconds that are a candidate's own, and those of the whole run that are left."""

    own: float
    left: float


@dataclass(frozen=True)
class Sizes:
    """How much there is to fit.

    Attributes:
        train: rows for training in the smallest round.
        held: rows that validate in all rounds of a repeat.
        rest: rows of the last fit.
        rounds: of a repeat.
        repeats: of cross-validation, else 1.
    """

    train: int
    held: int
    rest: int
    rounds: int
    repeats: int

    @classmethod
    def of(cls, splits: Splits) -> "Sizes":
        """Return the sizes of these splits."""
        held, rest = len(splits.validated), len(splits.rest)
        return cls(splits.smallest, held, rest, splits.count, len(splits.folds))


@dataclass(frozen=True)
class FitPlan:
    """One way to make a candidate.

    Attributes:
        classifier: that is fitted.
        settings: that are searched.
        share: of the rows to learn from that are used, above 0 to 1.
        reason: what was given up and why, else empty.
        seconds: until search and last fit should have ended; the search sees to it.
        limit: seconds after which it is ended; both are infinite where there is no end.
    """

    classifier: Classifier
    settings: tuple[Setting, ...]
    share: float
    reason: str
    seconds: float
    limit: float

    def rank(self, requested: Classifier) -> tuple[bool, float, int]:
        """Return what is larger the less was given up of what was asked for."""
        return self.classifier is requested, self.share, len(self.settings)


@dataclass(frozen=True)
class Planner:
    """Finds ways to make a candidate in the time there is.

    Attributes:
        sizes: of the data.
        tune: whether to search a classifier's space, or to take its default.
        cost_of: a classifier's cost on a few rows; None where it was not measured.
    """

    sizes: Sizes
    tune: bool
    cost_of: Callable[[Classifier], Cost | None]

    def ways(
        self,
        requested: Classifier,
        fallbacks: Sequence[Classifier],
        share: Callable[[], Share],
    ) -> Iterator[FitPlan]:
        """Yield ways to make a candidate, the best first; the next is for when one did not end.

        Args:
            requested: the classifier asked for.
            fallbacks: its cheaper relatives, dearest first.
            share: of the time, when it is called.
        """
        for classifier in (requested, *fallbacks):
            found = self._on_all_rows(classifier, share())
            if found and classifier is not requested:
                why = f"{requested.title} would take longer than its share of the time"
                found = dataclasses.replace(
                    found, reason="; ".join(filter(None, (why, found.reason)))
                )
            if found:
                yield found
        yield self._on_fewer_rows((requested, *fallbacks)[-1], share())

    def seconds(self, classifier: Classifier, settings: int = 0, share: float = 1.0) -> float:
        """Return how long searching so many settings (0: all) and the last fit will take."""
        cost, sizes = self.cost_of(classifier), self.sizes
        if cost is None:
            return 0.0
        settings = settings or len(self._space(classifier))
        train = share * sizes.train
        known = train / cost.rows if classifier.keeps_rows else 1.0
        fit = cost.fixed + cost.fit * (train / cost.rows) ** classifier.growth
        trial = sizes.rounds * fit + cost.predict * known * sizes.held / cost.rows
        last = cost.fixed + cost.fit * (share * sizes.rest / cost.rows) ** classifier.growth
        trials = tuning.cost(classifier, settings, int(train)) + sizes.repeats - 1
        return trials * trial + last

    def _on_all_rows(self, classifier: Classifier, share: Share) -> FitPlan | None:
        """Return a plan with as many settings as there is time for; None where for none."""
        space = self._space(classifier)
        for count in range(len(space), 0, -1):
            if self.seconds(classifier, count) <= share.own * _PLANNED:
                few = f"{count} of {len(space)} settings were searched, as time was short"
                reason = few if count < len(space) else ""
                return self._plan(classifier, _around(classifier, space, count), 1.0, reason, share)
        return None

    def _on_fewer_rows(self, classifier: Classifier, share: Share) -> FitPlan:
        """Return a plan with one setting and as many rows as there is time for."""
        part, least = 0.5, min(1.0, FEWEST_ROWS / self.sizes.rest)
        while part > least and self.seconds(classifier, 1, part) > share.own * _PLANNED:
            part /= 2
        part = max(part, least)
        few = f"{round(part * self.sizes.rest):,} of {self.sizes.rest:,} images"
        reason = f"one setting on {few}, as time or memory was short"
        chosen = _around(classifier, self._space(classifier), 1)
        return self._plan(classifier, chosen, part, reason, share)

    def _plan(
        self,
        classifier: Classifier,
        settings: tuple[Setting, ...],
        part: float,
        reason: str,
        share: Share,
    ) -> FitPlan:
        limit = max(share.own, share.left * _PATIENCE)
        return FitPlan(classifier, settings, part, reason, share.own * _PLANNED, limit)

    def _space(self, classifier: Classifier) -> tuple[Setting, ...]:
        return classifier.space if self.tune else (classifier.default,)


def _around(classifier: Classifier, space: tuple[Setting, ...], count: int) -> tuple[Setting, ...]:
    """Return so many settings that lie around the default."""
    place = space.index(classifier.default)
    start = min(max(0, place - count // 2), len(space) - count)
    return space[start : start + count]

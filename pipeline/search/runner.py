"""Candidates one after the other, each in its share of the time, until all have a record."""

import logging
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from features.errors import DataError, MissingPackageError, OffshelfError
from pipeline.classifiers.base import Classifier
from pipeline.config import ClassifyConfig
from pipeline.data.layers import Layer
from pipeline.data.splits import Splits
from pipeline.results.records import Record, discard, place_candidate, versions, write_record
from pipeline.search import fitting
from pipeline.search.budget import Budget, FitPlan, Planner, Sizes
from pipeline.search.fitting import Cost, Fitted, Job, Sample
from pipeline.search.progress import Bar
from pipeline.search.worker import JobFailedError, OutOfTimeError, Worker

log = logging.getLogger("offshelf")

CLASSIFIER = "classifier"  # of the candidates that are fitted here
MEASURED_FROM = 5000  # images: with fewer, measuring costs would cost more than it tells
_MEASURING = 0.1  # of the budget, at most
_LEAST_MEASURING = 5.0  # seconds a classifier, at least: a process has to start

_PACKAGES = ("numpy", "scipy", "scikit-learn", "skops")
_INTEL = "scikit-learn-intelex"
_NETWORKS = ("keras", "tensorflow", "jax", "torch")  # what a dense head may run on


@dataclass(frozen=True)
class PlannedCandidate:
    """A classifier to be fitted on a layer; equal keys lead to equal results."""

    classifier: Classifier
    layer: Layer
    key: str

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"{self.layer.title}.{self.classifier.name}"


class CandidateRunner:
    """Fits candidates in a worker and writes their records.

    Args:
        config: of the run.
        splits: who learns and who validates.
        matrices: the file of each layer's features, by the layer's title.
        worker: in which everything is fitted.
    """

    def __init__(
        self, config: ClassifyConfig, splits: Splits, matrices: dict[str, Path], worker: Worker
    ) -> None:
        self._config, self._splits, self._matrices = config, splits, matrices
        self._worker = worker
        self._budget = Budget(config.budget)
        self._sizes = Sizes.of(splits)
        self._costs: dict[tuple[str, str], Cost | None] = {}
        self._measuring = 0.0  # seconds a classifier
        self._made: dict[str, FitPlan] = {}  # how each candidate came about, by its title

    def run(self, candidates: list[PlannedCandidate]) -> None:
        """Fit all candidates, the cheapest first.

        Raises:
            DataError: none of them could be finished.
            MissingPackageError: one that was asked for by name needs a package.
        """
        done = 0

        def so_far() -> str:
            return (
                f"{done} of {len(candidates)} candidates are finished in {self._config.out}; the "
                f"same command{' without --restart' if self._config.restart else ''} goes on"
            )

        try:
            with Bar(len(candidates), self._config.progress) as bar:
                needs = self._needs(candidates, bar)
                ordered = sorted(candidates, key=lambda candidate: needs[candidate.title])
                for number, candidate in enumerate(ordered):
                    bar.begin(candidate.title)
                    done += self._fit(candidate, self._left(ordered[number:], needs), bar)
                    bar.end()
                self._use_what_is_left(ordered, needs, bar)
        except KeyboardInterrupt:
            log.warning("stopped: %s", so_far())
            raise
        except (DataError, OSError) as error:  # such as a full disk
            raise DataError(f"{error}; {so_far()}") from None
        if not done:
            raise DataError("no candidate could be finished; the lines above say why")

    def _needs(self, candidates: list[PlannedCandidate], bar: Bar) -> dict[str, float]:
        """Return the predicted seconds of each candidate; infinite where they are not known."""
        if self._config.budget is None or len(self._splits.rest) < MEASURED_FROM:
            return dict.fromkeys((candidate.title for candidate in candidates), math.inf)
        share = self._config.budget * _MEASURING / len(candidates)
        self._measuring = max(_LEAST_MEASURING, share)
        needs = {}
        for candidate in candidates:
            bar.say(f"measuring {candidate.title}")
            planner = self._planner(candidate.layer)
            known = planner.cost_of(candidate.classifier) is not None
            needs[candidate.title] = planner.seconds(candidate.classifier) if known else math.inf
        return needs

    def _use_what_is_left(
        self, candidates: list[PlannedCandidate], needs: dict[str, float], bar: Bar
    ) -> None:
        """Make those anew that gave something up, if by now there is time for more."""
        short = [one for one in candidates if (plan := self._made.get(one.title)) and plan.reason]
        for number, candidate in enumerate(short):
            bar.begin(candidate.title)
            self._fit(candidate, self._left(short[number:], needs), bar)

    def _fit(self, candidate: PlannedCandidate, needs: list[float], bar: Bar) -> bool:
        """Make one candidate, by the best way that ends in time; tell whether one did.

        Args:
            candidate: to be made; one that was made before is made again only in a better way.
            needs: predicted seconds of it and of those that are left after it.
            bar: is told what is being done.
        """
        fallbacks = tuple(
            one
            for one in candidate.classifier.fallbacks
            if one.name not in self._config.classifiers
        )
        ways = self._planner(candidate.layer).ways(
            candidate.classifier, fallbacks, lambda: self._budget.share(needs)
        )
        before = self._made.get(candidate.title)
        for plan in ways:
            if before and plan.rank(candidate.classifier) <= before.rank(candidate.classifier):
                return True
            try:
                record = self._follow(plan, candidate, bar)
            except (OutOfTimeError, JobFailedError) as error:
                log.warning("%s: %s", candidate.title, error)
            except MissingPackageError as error:
                if candidate.classifier.name in self._config.classifiers:
                    raise
                log.warning("%s is left out: %s", candidate.title, error)
                return False
            else:
                log.info("%s", _line(record))
                self._made[candidate.title] = plan
                return True
        log.warning("%s is left out: there was no way to fit it in its share", candidate.title)
        return False

    def _left(self, candidates: list[PlannedCandidate], needs: dict[str, float]) -> list[float]:
        return [needs[candidate.title] for candidate in candidates]

    def _follow(self, plan: FitPlan, candidate: PlannedCandidate, bar: Bar) -> Record:
        """Fit as planned; put the whole candidate in its place when it is finished."""
        name = f"{candidate.layer.title}.{plan.classifier.name}"
        if plan.share < 1:
            name += f".{round(plan.share * self._sizes.rest)}-images"
        draft = self._matrices[candidate.layer.title].parent / name
        draft.mkdir(exist_ok=True)
        job = Job(
            plan.classifier.name, self._matrices[candidate.layer.title], self._config.out, draft,
            plan.settings, plan.share, self._config.metric, self._config.seed, plan.seconds,
        )  # fmt: skip
        fitted = self._worker.run(fitting.fit, job, plan.limit, bar.say)
        if self._measuring:  # what was seen is surer than what was predicted
            self._costs[candidate.layer.title, plan.classifier.name] = Cost(
                fitted.rows, fitted.seconds["fit"],
                fitted.seconds["predict_1000"] * fitted.rows / 1000,
            )  # fmt: skip
        if plan.classifier.needs:
            self._worker.close()  # what such a package holds in memory is not the next one's
        record = self._record(name, plan, candidate, fitted)
        write_record(draft, record)
        # What was made before, in less time or with other settings, goes when the new is whole.
        discard(self._config.out, lambda old: old.key == record.key or old.name == name)
        place_candidate(draft, self._config.out)
        return record

    def _record(
        self, name: str, plan: FitPlan, candidate: PlannedCandidate, fitted: Fitted
    ) -> Record:
        reasons = [plan.reason, "time ended the search" if fitted.cut else ""]
        title = plan.classifier.title
        if plan.share < 1:
            title += f", {fitted.rows:,} images"
        packages = [*_PACKAGES, *(_NETWORKS if plan.classifier.needs else ())]
        packages += [_INTEL] if fitted.accelerated else []
        return Record(
            name=name,
            kind=CLASSIFIER,
            title=title,
            method=plan.classifier.name,
            requested=candidate.classifier.name,
            reason="; ".join(filter(None, reasons)),
            inputs=candidate.layer.facts(),
            splits=self._splits.digest,
            class_names=self._splits.class_names,
            setting=fitted.setting,
            trials=fitted.trials,
            metric=self._config.metric,
            seed=self._config.seed,
            rows=fitted.rows,
            budget=self._config.budget,
            key=candidate.key,
            seconds={what: round(seconds, 4) for what, seconds in fitted.seconds.items()},
            peak_memory=fitted.peak_memory,
            model=fitted.model,
            temperature=fitted.temperature,
            versions=versions(*packages),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _planner(self, layer: Layer) -> Planner:
        def cost_of(classifier: Classifier) -> Cost | None:
            place = layer.title, classifier.name
            if place not in self._costs:
                self._costs[place] = self._measure(layer, classifier) if self._measuring else None
            return self._costs[place]

        return Planner(self._sizes, self._config.tune, cost_of)

    def _measure(self, layer: Layer, classifier: Classifier) -> Cost | None:
        """Return what a classifier costs on a few rows: at least the time there was."""
        sample = Sample(
            classifier.name, self._matrices[layer.title], self._config.out, self._config.seed,
            self._measuring,
        )  # fmt: skip
        try:
            return self._worker.run(fitting.measure, sample, 2 * self._measuring)
        except OutOfTimeError:
            return Cost(fitting.SAMPLE, self._measuring, 0.0)
        except (JobFailedError, OffshelfError):  # it will be told when it is to be fitted
            return None


def _line(record: Record) -> str:
    """Return what is said of a finished candidate."""
    score = max(trial.score for trial in record.trials if trial.setting == record.setting)
    seconds = record.seconds["search"] + record.seconds["fit"]
    chosen = [f"{name.rpartition('__')[2]} {value}" for name, value in record.setting.items()]
    parts = [f"{record.metric.replace('_', ' ')} {score:.4f} on validation", f"{seconds:.1f} s"]
    parts += chosen + ([f"({record.reason})"] if record.reason else [])
    return f"{record.name}: {', '.join(parts)}"

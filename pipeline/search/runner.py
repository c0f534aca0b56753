"""The runner, which fits candidates one after the other, each in its share of the time."""

import json
import logging
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from features.errors import DataError, MissingPackageError, OffshelfError
from features.processes.stopping import saying_how_to_go_on
from pipeline.classifiers import storage
from pipeline.classifiers.base import Classifier, Setting, Task
from pipeline.config import ClassifyConfig
from pipeline.data.layers import Layer
from pipeline.data.splits import Splits
from pipeline.results import left_out
from pipeline.results.records import (
    CLASSIFIER,
    Record,
    place_candidate,
    versions,
    write_record,
)
from pipeline.search import fitting
from pipeline.search.budget import ALWAYS, Budget, FitPlan, Planner, Share, Sizes, place_by_cost
from pipeline.search.candidates import NETWORKS, PlannedCandidate
from pipeline.search.fitting import Cost, FitJob, FitResult, Matrix, MeasureJob
from pipeline.search.memory import Memory
from pipeline.search.progress import Bar
from pipeline.search.worker import JobFailedError, OutOfTimeError, Worker
from pipeline.search.workspace import WORKSPACE

log = logging.getLogger("offshelf")

MEASURED_FROM = 5000  # images: with fewer, measuring costs takes longer than it saves
_MEASURING = 0.1  # at most this fraction of the budget is spent on measuring
_LEAST_MEASURING = 5.0  # seconds for each classifier; with less, costs are not measured
# At least, for candidates that are fitted however short the time, and more for each image.
_ALWAYS_SECONDS = 30.0
_ALWAYS_SECONDS_AN_IMAGE = 1e-4

_NO_TIME = "there was no way to fit it in its share of the time"

_PACKAGES = ("numpy", "scipy", "scikit-learn", "skops")
_INTEL = "scikit-learn-intelex"


class CandidateRunner:
    """Fits candidates in a worker and writes their records.

    Args:
        config: the settings of the run.
        splits: the training, validation and locked images.
        matrices: where each layer's features lie, by the layer's title.
        worker: the process in which everything is fitted.
        budget: the time of the whole run.
    """

    def __init__(
        self,
        config: ClassifyConfig,
        splits: Splits,
        matrices: dict[str, Matrix],
        worker: Worker,
        budget: Budget,
        memory: Memory,
    ) -> None:
        self._config, self._splits, self._matrices = config, splits, matrices
        self._worker, self._budget, self._memory = worker, budget, memory
        self._sizes = Sizes.of(splits)
        self._costs: dict[tuple[str, str], Cost | None] = {}  # by layer and classifier
        self._measuring = 0.0  # seconds for each classifier; 0: costs are not measured
        self._plans: dict[str, FitPlan] = {}  # the plan that made each candidate, by its title

    def run(self, candidates: list[PlannedCandidate]) -> None:
        """Fit all candidates, the cheapest first.

        Raises:
            DataError: none of them could be finished.
            MissingPackageError: one that was asked for by name needs a package.
        """
        finished, missing = 0, left_out.read(self._config.out)

        def state() -> str:
            return (
                f"{finished} of {len(candidates)} candidates are finished in {self._config.out}; "
                f"the same command{' without --restart' if self._config.restart else ''} goes on"
            )

        try:
            with saying_how_to_go_on(state), Bar(len(candidates), self._config.progress) as bar:
                needs = self._needs(candidates, bar)
                ordered = sorted(candidates, key=lambda candidate: self._expense(candidate, needs))
                for number, candidate in enumerate(ordered):
                    bar.begin(candidate.title)
                    why = self._fit(candidate, _in_order(ordered[number:], needs), bar)
                    finished += not why
                    missing |= {candidate.title: why}
                    bar.end()
                self._use_remaining_time(ordered, needs, bar)
                self._tell_left_out({title: why for title, why in missing.items() if why})
        except (DataError, OSError) as error:  # such as a full disk
            raise DataError(f"{error}; {state()}") from None
        if not finished:
            raise DataError("no candidate could be finished; the lines above say why")

    def _needs(self, candidates: list[PlannedCandidate], bar: Bar) -> dict[str, float]:
        """Return the predicted seconds of each candidate; infinite where they are not known."""
        if self._config.budget is None or len(self._splits.rest) < MEASURED_FROM:
            return dict.fromkeys((candidate.title for candidate in candidates), math.inf)
        share = self._config.budget * _MEASURING / len(candidates)
        if share < _LEAST_MEASURING:
            return dict.fromkeys((candidate.title for candidate in candidates), math.inf)
        self._measuring = share
        needs = {}
        for candidate in candidates:
            bar.say(f"measuring {candidate.title}")
            planner = self._planner(candidate.layer)
            known = planner.cost_of(candidate.classifier) is not None
            needs[candidate.title] = planner.seconds(candidate.classifier) if known else math.inf
        return needs

    def _expense(
        self, candidate: PlannedCandidate, needs: dict[str, float]
    ) -> tuple[bool, float, bool, int]:
        """Return a sorting key: what is always fitted first, then by need, then by usual cost.

        Where nothing was measured, those that learn from all images come before those of a sample.
        """
        classifier = candidate.classifier
        is_sampled = self._memory.share(classifier, self._task(candidate.layer)) < 1
        place = place_by_cost(classifier)
        return classifier.name not in ALWAYS, needs[candidate.title], is_sampled, place

    def _use_remaining_time(
        self, candidates: list[PlannedCandidate], needs: dict[str, float], bar: Bar
    ) -> None:
        """Fit those candidates again that gave something up, if now there is time for more."""
        plans = self._plans
        reduced = [c for c in candidates if c.title in plans and plans[c.title].reason]
        for number, candidate in enumerate(reduced):
            if self._budget.over:
                return
            bar.begin(candidate.title)
            self._fit(candidate, _in_order(reduced[number:], needs), bar)

    def _tell_left_out(self, missing: dict[str, str]) -> None:
        """Keep in the results folder what was left out and why; say in one line what for time."""
        left_out.write(self._config.out, missing)
        late = [title for title, why in missing.items() if why == _NO_TIME]
        if late:
            log.warning("left out, as the time was over: %s; a larger --budget makes up for it",
                        ", ".join(late))  # fmt: skip

    def _fit(self, candidate: PlannedCandidate, needs: list[float], bar: Bar) -> str:
        """Make one candidate by the best plan that ends in time.

        Args:
            candidate: the candidate to make; if it was made before, only by a better plan.
            needs: predicted seconds of it and of all candidates after it.
            bar: the progress bar to update.

        Returns:
            why it was left out; empty where it is there.
        """
        requested, before = candidate.classifier, self._plans.get(candidate.title)
        failures = [""]  # the error of each plan that did not end, empty where time was short
        for plan in self._planner(candidate.layer).plans(
            requested,
            self._fallbacks(requested),
            lambda: self._share(requested, needs),
            lambda: failures[-1],
        ):
            if before and plan.rank(requested) <= before.rank(requested):
                return ""
            if self._budget.over and requested.name not in ALWAYS:
                break
            try:
                line = self._follow(plan, candidate, bar)
            except (OutOfTimeError, JobFailedError) as error:
                log.warning("%s: %s", candidate.title, error)
                failures.append(str(error) if isinstance(error, JobFailedError) else "")
                if isinstance(error, OutOfTimeError):
                    self._note_least_cost(candidate.layer, plan)
            except MissingPackageError as error:
                if self._asked_for(requested):
                    raise
                log.warning("%s is left out: %s", candidate.title, error)
                return str(error)
            else:
                log.info("%s", line)
                self._plans[candidate.title] = plan
                return ""
        if failures[-1]:
            log.warning("%s is left out: %s", candidate.title, failures[-1])
        return failures[-1] or _NO_TIME

    def _note_least_cost(self, layer: Layer, plan: FitPlan) -> None:
        """Keep that a fit took all its time, so that the next plan gives up enough."""
        rows = round(plan.share * self._sizes.rest)
        self._costs[layer.title, plan.classifier.name] = Cost(rows, plan.limit, 0.0)

    def _share(self, requested: Classifier, needs: list[float]) -> Share:
        """Return a candidate's share of the time, once the worker has started."""
        if requested.name in ALWAYS:
            share = self._budget.share(needs)
            least = _ALWAYS_SECONDS + _ALWAYS_SECONDS_AN_IMAGE * self._sizes.rest
            return Share(max(share.own, least), max(share.left, least))
        if not self._budget.over:
            self._worker.start()
        return self._budget.share(needs)

    def _asked_for(self, classifier: Classifier) -> bool:
        return classifier.name in self._config.classifiers

    def _fallbacks(self, classifier: Classifier) -> tuple[Classifier, ...]:
        """Return a classifier's fallbacks that are not candidates themselves."""
        return tuple(fallback for fallback in classifier.fallbacks if not self._asked_for(fallback))

    def _follow(self, plan: FitPlan, candidate: PlannedCandidate, bar: Bar) -> str:
        """Fit as planned; move the candidate into the results folder; return a line about it."""
        name = f"{candidate.layer.title}.{plan.classifier.name}"
        if plan.share < 1:
            name += f".{round(plan.share * self._sizes.rest)}-images"
        matrix = self._matrices[candidate.layer.title]
        draft = self._config.out / WORKSPACE / name
        draft.mkdir(exist_ok=True)
        job = FitJob(
            plan.classifier, matrix, self._config.out, draft, plan.settings, plan.share,
            self._config.metric, self._config.seed, plan.seconds, candidate.layer.widths,
        )  # fmt: skip
        result = self._worker.run(fitting.fit, job, plan.limit, bar.say)
        if self._measuring:  # what was measured now is surer than what was predicted
            predict = result.seconds["predict_1000"] * result.rows / 1000
            cost = Cost(result.rows, result.seconds["fit"], predict)
            self._costs[candidate.layer.title, plan.classifier.name] = cost
        if plan.classifier.needs:
            self._worker.close()  # so that the package's memory is not counted for the next one
        record = self._record(name, plan, candidate, result)
        self._place(draft, record)
        return _line(record, result.score)

    def _place(self, draft: Path, record: Record) -> None:
        """Move a finished candidate into the results folder, in place of its older versions."""
        write_record(draft, record, self._config.out)
        if not record.model.get("trusted", True):
            storage.place_untrusted(draft, self._config.out)
        place_candidate(draft, self._config.out, replaces=record.key)

    def _record(
        self, name: str, plan: FitPlan, candidate: PlannedCandidate, result: FitResult
    ) -> Record:
        reasons = [plan.reason, "time ended the search" if result.stopped_early else ""]
        title = plan.classifier.title
        if plan.share < 1:
            title += f", {result.rows:,} images"
        packages = [*_PACKAGES, *(NETWORKS if plan.classifier.needs else ())]
        packages += [_INTEL] if result.accelerated else []
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
            setting=_as_json(result.setting),
            trials=tuple(replace(t, setting=_as_json(t.setting)) for t in result.trials),
            metric=self._config.metric,
            seed=self._config.seed,
            rows=result.rows,
            budget=self._config.budget,
            key=candidate.key,
            seconds={what: round(seconds, 4) for what, seconds in result.seconds.items()},
            peak_memory=result.peak_memory,
            model=result.model,
            temperature=result.temperature,
            extraction=candidate.layer.extraction,
            trials_file=result.trials_file,
            expected=result.expected,
            warnings=result.warnings,
            predictions=result.predictions,
            memory=self._memory.limit if self._memory.by_blocks else 0,
            versions=versions(*packages),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _planner(self, layer: Layer) -> Planner:
        def cost_of(classifier: Classifier) -> Cost | None:
            pair = layer.title, classifier.name
            if pair not in self._costs:
                self._costs[pair] = self._measure(layer, classifier) if self._measuring else None
            return self._costs[pair]

        task = self._task(layer)
        return Planner(
            self._sizes, self._config.tune, cost_of,
            lambda classifier: self._memory.share(classifier, task),
        )  # fmt: skip

    def _task(self, layer: Layer) -> Task:
        """Return the task of the last fit."""
        classes = len(self._splits.class_names)
        return Task(self._sizes.rest, layer.dimensions, classes, self._config.seed)

    def _measure(self, layer: Layer, classifier: Classifier) -> Cost | None:
        """Return a classifier's cost on a few rows; where time ran out, the time that it took."""
        job = MeasureJob(
            classifier, self._matrices[layer.title], self._config.out, self._config.seed,
            self._measuring, self._memory.rows(classifier, self._task(layer)), layer.widths,
        )  # fmt: skip
        try:
            return self._worker.run(fitting.measure, job, 2 * self._measuring)
        except OutOfTimeError:
            return Cost(fitting.SAMPLE, self._measuring, 0.0)
        except (JobFailedError, OffshelfError):  # the same error comes when it is to be fitted
            return None


def _in_order(candidates: list[PlannedCandidate], needs: dict[str, float]) -> list[float]:
    return [needs[candidate.title] for candidate in candidates]


def _as_json(setting: Setting) -> Setting:
    """Return a setting as JSON can hold it: an estimator in it is written as text."""
    return {name: json.loads(json.dumps(value, default=repr)) for name, value in setting.items()}


def _line(record: Record, score: float) -> str:
    """Return the message about a finished candidate."""
    seconds = record.seconds["search"] + record.seconds["fit"]
    phrases = [f"{record.metric.replace('_', ' ')} {score:.4f} on validation", f"{seconds:.1f} s"]
    phrases += [f"{name.rpartition('__')[2]} {value}" for name, value in record.setting.items()]
    phrases += [f"({record.reason})"] if record.reason else []
    phrases += [f"({record.warned}; its record has the text)"] if record.warned else []
    return f"{record.name}: {', '.join(phrases)}"

"""Whether what `compare` concludes holds, on data sets whose truth is known.

    python -m benchmarks.verdict                       500 simulated data sets of each kind
    python -m benchmarks.verdict --quick               5 of each, seconds
    python -m benchmarks.verdict resnet50.h5 vgg16.h5  also draws from feature files with the same
                                                       images: 500 are cross-validated, 20,000
                                                       others are the truth

Simulated images are of two classes, candidates share 60 % of the variance of their mistakes, and
half of that belongs to the patient where there are patients. How to read the columns, in percent,
over all data sets:

    equal in      how often each of 10 equally good candidates is among those that could be the
                  best: the hardest case; at least 95 are asked for
    best in       the same of the best of candidates up to 10 points of recall apart
    size          how many of those could be the best
    worst out     how often the worst of them is told from the best
    covers        how often the 95 % interval of a given candidate holds its true score; 92 to 98
                  are asked for. What is true of cross-validation is the score of the models that
                  validate, which learn from four fifths of the images
    kept covers   how often it holds the score of the model that learns from all of them
    as images     the same if images of one patient are taken for independent
    given         points by which the score of that candidate betters its true score: the metric's
                  own bias, and the luck of these data sets
    naive         points by which the best score of all settings betters its own true score
    corrected     the same after bias correction; within 0.5 is asked for
    +-            twice the standard error of that, which the number of data sets leaves
    corr. covers  how often the interval of the corrected score holds the true score
    kept          points by which the model that learns from all images betters the true score
    from floor    how often any setting is told from the class frequencies when labels are
                  permuted; at most 5 are asked for
"""

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import machine
from benchmarks.real_worlds import RealWorld
from benchmarks.worlds import METRICS, WORLDS, Candidates, Sample
from features.processes.cpus import available_cpus
from pipeline.reports.tables import render
from pipeline.statistics import best_set, influence, intervals, resampling, scoring, selection
from pipeline.statistics.influence import Measured
from pipeline.statistics.resampling import Units
from pipeline.statistics.significance import LEVEL

CONFIDENCE, RESAMPLES = 0.95, 200
QUICK = 5
COLUMNS = ("equal in", "best in", "size", "worst out", "covers", "kept covers", "as images",
           "given", "naive", "corrected", "+-", "corr. covers", "kept", "from floor")  # fmt: skip

Outcome = dict[str, float]
_world: Any = None


def main() -> None:
    arguments = _arguments()
    count = QUICK if arguments.quick else arguments.data_sets
    started, rows = time.perf_counter(), []
    for world in _worlds(arguments.features):
        outcomes = _outcomes(world, count)
        rows += [_row(world.name, metric, outcomes[metric]) for metric in METRICS]
    print(render(("data", "metric", *COLUMNS), [_cells(row) for row in rows]) + "\n")
    facts = {"data sets": f"{count} of each kind, in {time.perf_counter() - started:.0f} s"}
    facts |= machine.facts("numpy", "scipy")
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    if arguments.out:
        arguments.out.write_text(json.dumps({"facts": facts, "rows": rows}, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.verdict", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("features", type=Path, nargs="*", help="feature files of the same images")
    parser.add_argument("--data-sets", type=int, default=500)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} data sets of each kind")
    parser.add_argument("--out", type=Path, help="JSON file for rows and facts")
    return parser.parse_args()


def _worlds(paths: list[Path]) -> Iterator[Any]:
    yield from WORLDS
    if paths:
        yield RealWorld(paths, None)
        yield RealWorld(paths, 1 / 21)


def _outcomes(world: Any, count: int) -> dict[str, list[Outcome]]:
    """Return what came out of each data set, by metric."""
    with ProcessPoolExecutor(available_cpus(), initializer=_start, initargs=(world,)) as pool:
        judged = list(pool.map(_judged, range(count)))
    return {metric: [outcome[metric] for outcome in judged if outcome] for metric in METRICS}


def _start(world: Any) -> None:
    """Keep the world for the tasks of a process."""
    global _world
    _world = world


def _judged(seed: int) -> dict[str, Outcome]:
    """Return what the verdict on one data set gets right, by metric."""
    with threadpool_limits(1):  # the other cores have processes of their own
        sample = _world.draw(seed)
        if len(np.unique(sample.labels)) < 2:  # nothing to tell apart
            return {}
        return {metric: _by_metric(metric, sample, seed) for metric in METRICS}


def _by_metric(metric: str, sample: Sample, seed: int) -> Outcome:
    units = resampling.units(sample.groups, sample.labels, metric in scoring.CLASS_WISE)
    outcome = _of_intervals(metric, sample, units)
    for name, candidates in sample.sets.items():
        outcome |= _of_set(metric, sample.labels, candidates, units, seed, name)
    outcome |= _of_choice(metric, sample.labels, sample.settings, units, seed)
    return outcome | {"from floor": _from_floor(metric, sample, seed)}


def _tuned(
    metric: str, labels: np.ndarray, candidates: Candidates
) -> tuple[np.ndarray, Measured, Measured]:
    """Return the setting that the first repeat chooses for each candidate, as `classify` does.

    Returns:
        The settings, int (c,); the candidates with these, over all repeats; and the family: these
        and then all settings, in the first repeat.
    """
    first = influence.measure(metric, labels, candidates.probabilities[:, 0])
    families = np.unique(candidates.family)
    masked = np.where(candidates.family == families[:, None], first.goodness, -np.inf)
    tuned = masked.argmax(axis=1)
    over_all = influence.measure(metric, labels, candidates.probabilities[tuned])
    return tuned, over_all, over_all.with_others([first])


def _of_choice(
    metric: str, labels: np.ndarray, settings: Candidates, units: Units, seed: int
) -> Outcome:
    """Return how the best of all compares with what it truly scores, plain and corrected."""
    tuned, over_all, family = _tuned(metric, labels, settings)
    best = int(over_all.goodness.argmax())
    score, truth = float(over_all.scores[best]), settings.truth[metric][tuned[best]]
    found = selection.corrected(family, units, RESAMPLES, CONFIDENCE, seed).at_most(score, metric)
    return {
        "naive": score - truth,
        "corrected": found.value - truth,
        "corr. covers": found.low <= truth <= found.high,
        "kept": settings.kept[metric][tuned[best]] - truth,
    }


def _of_set(
    metric: str, labels: np.ndarray, candidates: Candidates, units: Units, seed: int, name: str
) -> Outcome:
    """Return whether the best candidate could be the best, each at its best setting."""
    tuned, contest, _ = _tuned(metric, labels, candidates)
    could = best_set.could_be_best(contest, units, seed) >= LEVEL
    truth = candidates.truth[metric][tuned]
    if name == "equal":
        return {"equal in": could.mean()}  # each of them is a best one
    return {
        "best in": could[truth.argmax()],
        "size": could.sum(),
        "worst out": not could[truth.argmin()],
    }


def _of_intervals(metric: str, sample: Sample, units: Units) -> Outcome:
    """Return whether the intervals of a given candidate hold its true score."""
    first = next(iter(sample.sets.values()))
    truth, values = first.truth[metric][first.given], first.probabilities[first.given]
    alone = resampling.units(None, sample.labels, metric in scoring.CLASS_WISE)
    measured = influence.measure(metric, sample.labels, [values])
    covers = {"given": measured.scores[0] - truth}
    kept = first.kept[metric][first.given]
    for name, unit in (("covers", units), ("as images", alone)):
        found = intervals.interval(metric, sample.labels, values, unit, CONFIDENCE)
        covers[name] = np.nan if found.reason else found.low <= truth <= found.high
        if name == "covers":
            covers["kept covers"] = found.low <= kept <= found.high
    return covers


def _from_floor(metric: str, sample: Sample, seed: int) -> bool:
    """Return whether anything is told from the class frequencies where nothing can be known."""
    order = np.random.default_rng(seed).permutation(len(sample.labels))
    _, first = np.unique(sample.groups, return_index=True)
    if (sample.labels == sample.labels[first][sample.groups]).all():  # groups stay pure in class
        labels = np.random.default_rng(seed).permutation(sample.labels[first])[sample.groups]
    else:
        labels = sample.labels[order]
    units = resampling.units(sample.groups, labels, metric in scoring.CLASS_WISE)
    _, _, family = _tuned(metric, labels, sample.settings)
    classes = sample.settings.probabilities.shape[3]
    p = best_set.better_than_chance(family, labels, classes, units, seed)
    return bool((p < LEVEL).any())


def _row(name: str, metric: str, outcomes: list[Outcome]) -> dict[str, Any]:
    """Return the means over data sets, in percent, but for the size of the set."""
    row: dict[str, Any] = {"data": name, "metric": metric}
    for column in outcomes[0]:
        values = np.array([outcome[column] for outcome in outcomes], np.float64)
        row[column] = float(np.nanmean(values)) * (1 if column == "size" else 100)
    biases = [outcome["corrected"] for outcome in outcomes]
    row["+-"] = 200 * float(np.std(biases)) / np.sqrt(len(biases))
    return row


def _cells(row: dict[str, Any]) -> list[str]:
    numbers = [f"{row[column]:.1f}" if column in row else "" for column in COLUMNS]
    return [row["data"], row["metric"], *numbers]


if __name__ == "__main__":
    main()

"""How often the forecasts of `advise` hold: few images to learn from, many others as the truth.

A learning curve of a few hundred drawn images is extended by power laws. What a linear model
reaches with that many rows of the other images is the truth: does the 95 % interval hold it?
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.real_worlds import read
from pipeline.advice import powerlaw, probes
from pipeline.classifiers.base import Task
from pipeline.classifiers.logistic import LOGISTIC
from pipeline.data.splitting import SplitConfig, make_splits
from pipeline.reports.tables import render
from pipeline.results.learning_curve import CurvePoint, PowerLaws, Score
from pipeline.search.fitting import one_thread
from pipeline.search.tuning import Examples

COMPONENTS = 256  # of the features
HELD, REPEATS = 3000, 3  # images on which the truth is measured, and how often
TIMES = (2, 4, 16)  # times the training rows
HEADER = ("classes", "rows", "forecast to", "truth %", "holds it %", "off by", "interval")


def drawn(x: np.ndarray, labels: np.ndarray, images: int, seed: int) -> Examples:
    """Return the examples of some drawn images, split as `advise` splits them."""
    rows = np.random.default_rng(seed).permutation(len(labels))[:images]
    names = tuple(str(label) for label in range(labels.max() + 1))
    splits = make_splits(
        tuple(map(str, rows.tolist())), labels[rows].astype(np.int32), names,
        np.zeros(images, np.uint8), np.arange(images), SplitConfig(seed=seed),
    )  # fmt: skip
    return Examples(x[rows], dataclasses.replace(splits, folds=splits.folds[:1]), 1.0, seed)


def forecast(examples: Examples) -> PowerLaws:
    """Return the power laws of the learning curve of examples."""
    curve = [*probes.points(examples, lambda rows: None)]
    hits = probes.hits_of(LOGISTIC, probes.SETTINGS, examples)
    score = Score.of([hits], examples.splits.validation_groups)
    laws = powerlaw.fit([*curve, CurvePoint(examples.splits.smallest, score)])
    if laws is None:
        raise SystemExit("too few images for a curve; raise --images")
    return laws


def truth(x: np.ndarray, labels: np.ndarray, rows: int) -> float:
    """Return the mean accuracy of models that learn from so many rows."""
    scores = []
    for seed in range(REPEATS):
        order = np.random.default_rng(10_000 + seed).permutation(len(labels))
        learn, held = order[:rows], order[-HELD:]
        pipeline = LOGISTIC.build(Task(rows, x.shape[1], int(labels.max()) + 1, 0))
        fitted = [
            pipeline.set_params(**setting).fit(x[learn], labels[learn]).predict(x[held])
            for setting in probes.SETTINGS
        ]
        scores.append(max((predicted == labels[held]).mean() for predicted in fitted))
    return float(np.mean(scores))


def judge(
    x: np.ndarray, labels: np.ndarray, name: str, images: int, draws: int
) -> list[tuple[str, ...]]:
    """Return a row for each number of rows that is forecast."""
    examples = [drawn(x, labels, images, seed) for seed in range(draws)]
    laws = [forecast(given) for given in examples]
    rows, shown = examples[0].splits.smallest, []
    for more in (rows * times for times in TIMES if rows * times <= len(labels) - HELD):
        true, scores = truth(x, labels, more), [law.at(more) for law in laws]
        holds = np.mean([score.low <= true <= score.high for score in scores])
        off = np.mean([abs(score.accuracy - true) for score in scores])
        width = np.mean([score.high - score.low for score in scores])
        values = (100 * true, 100 * holds, 100 * off, 100 * width)
        shown.append((name, f"{rows:,}", f"{more:,}", *(f"{value:.1f}" for value in values)))
    return shown


def _of(x: np.ndarray, labels: np.ndarray, classes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    rows = np.flatnonzero(np.isin(labels, classes))
    return x[rows], np.searchsorted(classes, labels[rows])


def main() -> None:
    """Print how often forecasts hold, by number of classes and of images."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.forecasts", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("features", type=Path, help="a feature file of thousands of images")
    parser.add_argument("--images", type=int, nargs="+", default=[250, 625])
    parser.add_argument("--draws", type=int, default=12)
    parser.add_argument(
        "--classes", nargs="+", default=[], metavar="N,N", help="some classes only, as other tasks"
    )
    options = parser.parse_args()
    x, labels = read(options.features, COMPONENTS)
    tasks = {"all": tuple(range(labels.max() + 1))}
    tasks |= {text: tuple(sorted(map(int, text.split(",")))) for text in options.classes}
    shown = []
    with one_thread():
        for name, classes in tasks.items():
            for images in options.images:
                shown += judge(*_of(x, labels, classes), name, images, options.draws)
    print(render(HEADER, shown))


if __name__ == "__main__":
    main()

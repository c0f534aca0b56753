"""Linear probes: how much of the classes a layer lays open, and how that grows with the rows.

G. Alain and Y. Bengio, "Understanding intermediate layers using linear classifier probes", 2016.
The locked images have no part in it: they are dropped before a feature is read.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from pipeline.classifiers.base import Classifier, Setting
from pipeline.classifiers.logistic import LOGISTIC
from pipeline.classifiers.nearest_centroid import NEAREST_CENTROID
from pipeline.data.images import Images
from pipeline.data.layers import Layer, read_rows
from pipeline.data.splits import TEST, Splits
from pipeline.results.advice import Point, Probe, Score, Z
from pipeline.search import tuning
from pipeline.search.fitting import threads
from pipeline.search.tuning import Clock, Examples

# Less and more regularized than the default by ten times: enough to see how layers compare.
SETTINGS: tuple[Setting, ...] = tuple({"model__C": c} for c in (1.0, 10.0, 100.0))

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of the training rows, along the learning curve
_DRAWS = {1 / 16: 4, 1 / 8: 4, 1 / 4: 2}  # of the rows of a small share; else one
_LEAST_A_CLASS = 2  # rows, for a point of the curve

_HELD = 10_000  # images that validate, at most: half a point of accuracy either way
_PROBED = 5_000  # rows that a probe of a layer learns from, at most
_ROWS, _ROWS_A_CLASS = 40_000, 20  # that the learning curve reaches, at most, and at least
_WORK = 1e9  # rows x features x classes from which on the curve reaches less far
_VALUES = 2**27  # features in memory at a time, 512 MiB

Report = Callable[[str], None]


def probe(layer: Layer, images: Images, splits: Splits, seed: int) -> Probe:
    """Judge one layer on at most `_PROBED` training rows, the same for every layer."""
    some = min(_PROBED, _VALUES // layer.dimensions)
    examples = _examples(layer, images, splits, some, seed)
    truth = examples.splits.labels[examples.splits.validated]
    hits = _hits(LOGISTIC, SETTINGS, examples)
    means = _hits(NEAREST_CENTROID, (NEAREST_CENTROID.default,), examples)
    chance = float(np.bincount(truth).max() / len(truth))
    return Probe(layer, examples.splits.smallest, _score([hits]), _score([means]), chance, hits)


def learning_curve(
    layer: Layer, images: Images, splits: Splits, seed: int, report: Report = lambda text: None
) -> Iterator[Point]:
    """Yield points from few rows to many, each on a stratified choice of the training rows.

    Small choices are drawn several times. Of many rows only as many are used as take a minute or
    so; the last point says how many these are.

    Args:
        layer: to learn from.
        images: of its file.
        splits: who trains and who validates.
        seed: of the choices.
        report: is told what comes next, in a few words.
    """
    classes = len(splits.class_names)
    most = min(_ROWS, _WORK / (layer.dimensions * classes))
    most = min(max(most, _ROWS_A_CLASS * classes), _VALUES // layer.dimensions)
    examples = _examples(layer, images, splits, int(most), seed)
    for share in SHARES:
        rows = round(share * examples.splits.smallest)
        if rows < _LEAST_A_CLASS * classes and share < 1:
            continue
        report(f"{rows:,} rows of {layer.name}")
        draws = [
            dataclasses.replace(examples, share=share, seed=seed + draw)
            for draw in range(_DRAWS.get(share, 1))
        ]
        yield Point(rows, _score([_hits(LOGISTIC, SETTINGS, draw) for draw in draws]))


def _examples(layer: Layer, images: Images, splits: Splits, most: int, seed: int) -> Examples:
    """Read what is not locked, at most `most` training rows and `_HELD` that validate."""
    chosen = _chosen(splits, most, seed)
    fewer = dataclasses.replace(
        splits,
        ids=tuple(splits.ids[place] for place in chosen.tolist()),
        labels=splits.labels[chosen],
        folds=splits.folds[:1, chosen],
    )
    return Examples(read_rows(layer, images.rows[chosen]), fewer, 1.0, seed)


def _chosen(splits: Splits, most: int, seed: int) -> np.ndarray:
    """Return positions, int64, increasing: of every fold a stratified choice."""
    folds = splits.folds[0]
    nothing = np.empty((0, 0), np.float32)
    choice = Examples(nothing, splits, 1.0, seed)
    each = most // max(1, splits.count - 1)  # of k folds, k - 1 train
    parts = []
    for fold in np.unique(folds[folds != TEST]).tolist():
        rows = np.flatnonzero(folds == fold)
        limit = _HELD if splits.count == 1 and fold == 0 else each
        parts.append(choice.subset(rows, min(1.0, limit / len(rows))))
    return np.sort(np.concatenate(parts))


def _hits(classifier: Classifier, settings: Sequence[Setting], examples: Examples) -> np.ndarray:
    """Return which validated images the best setting gets right: bool (V,)."""
    with threads(examples), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a feature never varies
        found = tuning.search(classifier, settings, examples, "accuracy", Clock())
    truth = examples.splits.labels[examples.splits.validated]
    return found.probabilities.argmax(axis=1) == truth


def _score(draws: Sequence[np.ndarray]) -> Score:
    """Return the mean accuracy of draws, and an interval for the choice of images and of rows.

    That of the images is binomial, by A. Agresti and B. Coull, "Approximate is better than
    'exact' for interval estimation of binomial proportions", The American Statistician 52, 1998.
    """
    means: Any = np.array([hits.mean() for hits in draws])
    images = len(draws[0])
    accuracy = float(means.mean())
    centre = (accuracy * images + Z**2 / 2) / (images + Z**2)
    variance = centre * (1 - centre) / (images + Z**2)
    if len(means) > 1:
        variance += means.var(ddof=1) / len(means)
    half = Z * math.sqrt(variance)
    return Score(accuracy, max(0.0, min(accuracy, centre - half)),
                 min(1.0, max(accuracy, centre + half)))  # fmt: skip

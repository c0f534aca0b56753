"""Linear probes: the accuracy of a linear model on a layer, and how it grows with training rows.

G. Alain and Y. Bengio, "Understanding intermediate layers using linear classifier probes", 2016.
The locked images are not used: they are left out before any feature is read.
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
from pipeline.data.splits import Splits
from pipeline.results.advice import Probe
from pipeline.results.learning_curve import CurvePoint, Score, Z
from pipeline.search import tuning
from pipeline.search.fitting import threads
from pipeline.search.tuning import Clock, Examples

# The default, and ten times more and less regularization: enough to compare layers.
SETTINGS: tuple[Setting, ...] = tuple({"model__C": c} for c in (1.0, 10.0, 100.0))

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of the training rows, along the learning curve
_DRAWS = {1 / 16: 4, 1 / 8: 4, 1 / 4: 2}  # how often a small share is drawn; others once
_LEAST_A_CLASS = 2  # rows of each class, for a point of the curve

_HELD = 10_000  # validation images, at most: half a point of accuracy either way
_PROBED = 5_000  # training rows of a probe, at most
_ROWS, _ROWS_A_CLASS = 40_000, 20  # the learning curve ends there, at most and at least
_WORK = 1e9  # rows x features x classes beyond which the curve ends earlier
_VALUES = 2**27  # feature values in memory at a time, 512 MiB

_ROWS_AT_A_TIME = 512  # that are held in float64

Report = Callable[[str], None]


def probe(layer: Layer, images: Images, splits: Splits, seed: int) -> Probe:
    """Score one layer with at most `_PROBED` training rows, the same for every layer."""
    most = min(_PROBED, _VALUES // layer.dimensions)
    examples = _examples(layer, images, splits, most, seed)
    truth = examples.splits.labels[examples.splits.validated]
    hits = _hits(LOGISTIC, SETTINGS, examples)
    means = _hits(NEAREST_CENTROID, (NEAREST_CENTROID.default,), examples)
    chance = float(np.bincount(truth).max() / len(truth))
    return Probe(
        layer, examples.splits.smallest, _score([hits]), _score([means]), chance, hits,
        _mean_cosine(examples.x),
    )  # fmt: skip


def learning_curve(
    layer: Layer, images: Images, splits: Splits, seed: int, report: Report = lambda text: None
) -> Iterator[CurvePoint]:
    """Yield points from few rows to many, each on a stratified sample of the training rows.

    Small samples are drawn several times. Of many rows only as many are used as take about a
    minute; the last point has their number.

    Args:
        layer: the layer to learn from.
        images: the images of its file.
        splits: the splits by which images train and validate.
        seed: the seed of the samples.
        report: called with a few words on each point before it is computed.
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
        yield CurvePoint(rows, _score([_hits(LOGISTIC, SETTINGS, draw) for draw in draws]))


def _examples(layer: Layer, images: Images, splits: Splits, most: int, seed: int) -> Examples:
    """Read at most `most` training rows and `_HELD` validation rows; none of them is locked."""
    chosen = _chosen(splits, most, seed)
    fewer = dataclasses.replace(
        splits,
        ids=tuple(splits.ids[place] for place in chosen.tolist()),
        labels=splits.labels[chosen],
        folds=splits.folds[:1, chosen],
        groups=None if splits.groups is None else splits.groups[chosen],
    )
    return Examples(read_rows(layer, images.rows[chosen]), fewer, 1.0, seed)


def _chosen(splits: Splits, most: int, seed: int) -> np.ndarray:
    """Return increasing positions, int64: a stratified sample of every fold."""
    folds = splits.folds[0]
    nothing = np.empty((0, 0), np.float32)
    choice = Examples(nothing, splits, 1.0, seed)
    each = most // max(1, splits.count - 1)  # of k folds, k - 1 train
    samples = []
    for fold in np.unique(folds[folds >= 0]).tolist():
        rows = np.flatnonzero(folds == fold)
        limit = _HELD if splits.count == 1 and fold == 0 else each
        samples.append(choice.subset(rows, min(1.0, limit / len(rows))))
    return np.sort(np.concatenate(samples))


def _hits(classifier: Classifier, settings: Sequence[Setting], examples: Examples) -> np.ndarray:
    """Return which validation images the best setting predicts right: bool (V,)."""
    with threads(examples), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about features that never vary
        result = tuning.search(classifier, settings, examples, "accuracy", Clock())
    truth = examples.splits.labels[examples.splits.validated]
    return result.probabilities[0].argmax(axis=1) == truth


def _mean_cosine(x: np.ndarray) -> float:
    """Return the mean cosine between two different rows of x, (n, D)."""
    total, rows = np.zeros(x.shape[1]), 0
    for start in range(0, len(x), _ROWS_AT_A_TIME):
        block = x[start : start + _ROWS_AT_A_TIME].astype(np.float64)
        block /= np.abs(block).max(axis=1, keepdims=True).clip(min=np.finfo(np.float64).tiny)
        lengths = np.linalg.norm(block, axis=1)
        total += (block[lengths > 0] / lengths[lengths > 0, None]).sum(axis=0)
        rows += int((lengths > 0).sum())
    return float((total @ total - rows) / (rows * (rows - 1))) if rows > 1 else 1.0


def _score(draws: Sequence[np.ndarray]) -> Score:
    """Return the mean accuracy of draws, with an interval for the sampling of images and rows.

    The interval for images is binomial, by A. Agresti and B. Coull, "Approximate is better than
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

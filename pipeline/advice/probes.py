"""Linear probes: the accuracy of a linear model on a layer, and how it grows with training rows.

G. Alain and Y. Bengio, "Understanding intermediate layers using linear classifier probes", 2016.
The locked images are not used: they are left out before any feature is read. Of many images a
sample is read, so that all probes together take seconds and little memory, however large the file.
"""

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.classifiers.base import Classifier, Setting
from pipeline.classifiers.logistic import LOGISTIC
from pipeline.classifiers.nearest_centroid import NEAREST_CENTROID
from pipeline.data.images import Images
from pipeline.data.layers import Layer, read_rows
from pipeline.data.splits import Splits
from pipeline.results.advice import Probe
from pipeline.results.learning_curve import CurvePoint, Score
from pipeline.search import tuning
from pipeline.search.fitting import one_thread
from pipeline.search.tuning import Clock, Examples

# The default, and ten times more and less regularization: enough to compare layers.
SETTINGS: tuple[Setting, ...] = tuple({"model__C": c} for c in (1.0, 10.0, 100.0))

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of the sample's training rows, along the curve
_DRAWS = {1 / 16: 4, 1 / 8: 4, 1 / 4: 2}  # how often a small share is drawn; others once
_LEAST_A_CLASS = 2  # rows of each class, for a point of the curve

_TRAINED = 8_000  # training rows of a round, at most
_HELD = 4_000  # images that validate, at most: 1.5 points of accuracy either way
_ROUNDS = 5  # beyond which folds are paid for with rows
_WORK = 2e9  # rows x features x classes x rounds, beyond which fewer rows are taken
_ENOUGH_A_CLASS = 3  # but never fewer rows of a class
_VALUES = 2**26  # feature values that are read, 256 MiB; fits take a few times as much

_ROWS_AT_A_TIME = 512  # that are held in float64

Report = Callable[[str], None]


@dataclass(frozen=True)
class Sample:
    """The images that probes read, the same for every layer.

    Attributes:
        rows: their rows in the feature file, int64 (n,), increasing.
        splits: their splits, none of them locked, with the folds of one repeat.
        seed: the seed of their choice, and of smaller samples.
    """

    rows: np.ndarray
    splits: Splits
    seed: int


def draw(layers: Sequence[Layer], images: Images, splits: Splits, seed: int) -> Sample:
    """Draw a stratified sample, in which groups stay whole, of the images that are not locked.

    Args:
        layers: the layers that will be probed; the widest one limits the number of rows.
        images: the images of their file.
        splits: the splits by which images train and validate.
        seed: the seed of the sample.
    """
    folds, everything = splits.folds[0], Examples(np.empty((0, 0), np.float32), splits, 1.0, seed)
    trained, held = _limits(max(layer.dimensions for layer in layers), splits)
    chosen = []
    for fold in np.unique(folds[folds >= 0]).tolist():
        rows = np.flatnonzero(folds == fold)
        limit = held if splits.count == 1 and fold == 0 else trained / max(1, splits.count - 1)
        chosen.append(everything.subset(rows, min(1.0, limit / len(rows))))
    places = np.sort(np.concatenate(chosen))
    sampled = dataclasses.replace(
        splits,
        ids=splits.ids_of(places),
        labels=splits.labels[places],
        folds=splits.folds[:1, places],
        groups=None if splits.groups is None else splits.groups[places],
    )
    return Sample(images.rows[places], sampled, seed)


def _limits(widest: int, splits: Splits) -> tuple[float, float]:
    """Return how many rows train in a round, and how many validate where one split is held out."""
    classes, rounds = len(splits.class_names), splits.count
    trained = min(_TRAINED * min(1, _ROUNDS / rounds), _WORK / (widest * classes * rounds))
    trained, held = max(trained, _ENOUGH_A_CLASS * classes), float(_HELD)
    fitting = min(1.0, _VALUES / (widest * (trained + held)))
    return fitting * trained, fitting * held


def probe(layer: Layer, sample: Sample) -> Probe:
    """Score one layer on all rows of a sample."""
    x = read_rows(layer, sample.rows)
    examples = Examples(x, sample.splits, 1.0, sample.seed, layer.widths)
    truth = sample.splits.labels[sample.splits.validated]
    hits = hits_of(LOGISTIC, SETTINGS, examples)
    means = hits_of(NEAREST_CENTROID, (NEAREST_CENTROID.default,), examples)
    groups = sample.splits.validation_groups
    return Probe(
        layer, sample.splits.smallest, Score.of([hits], groups), Score.of([means], groups),
        float(np.bincount(truth).max() / len(truth)), hits, groups, _mean_cosine(x),
    )  # fmt: skip


def learning_curve(
    probed: Probe, sample: Sample, report: Report = lambda text: None
) -> Iterator[CurvePoint]:
    """Yield points from few rows to many, each on a stratified sample of the training rows.

    Small samples are drawn several times. The last point is the probe itself.

    Args:
        probed: the probe of the layer to learn from.
        sample: the images that it was probed on.
        report: called with a few words on each point before it is computed.
    """
    layer = probed.layer
    x = read_rows(layer, sample.rows)
    examples = Examples(x, sample.splits, 1.0, sample.seed, layer.widths)
    yield from points(examples, lambda rows: report(f"{rows:,} rows of {layer.name}"))
    yield CurvePoint(probed.rows, probed.linear)


def points(examples: Examples, begins: Callable[[int], None]) -> Iterator[CurvePoint]:
    """Yield the points below all rows, each after a call with its number of rows."""
    splits = examples.splits
    for share in SHARES[:-1]:
        rows = round(share * splits.smallest)
        if rows < _LEAST_A_CLASS * len(splits.class_names):
            continue
        begins(rows)
        draws = [
            dataclasses.replace(examples, share=share, seed=examples.seed + number)
            for number in range(_DRAWS.get(share, 1))
        ]
        hits = [hits_of(LOGISTIC, SETTINGS, drawn) for drawn in draws]
        yield CurvePoint(rows, Score.of(hits, splits.validation_groups))


def hits_of(classifier: Classifier, settings: Sequence[Setting], examples: Examples) -> np.ndarray:
    """Return which validation images the best setting predicts right: bool (V,)."""
    with one_thread(), warnings.catch_warnings():
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

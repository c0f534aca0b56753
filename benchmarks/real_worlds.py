"""Data sets drawn from feature files: few images to learn from, all others as the truth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.worlds import METRICS, Candidates, Sample
from features.store import FeatureFile
from pipeline import classifiers
from pipeline.classifiers.base import Classifier, Task, probabilities
from pipeline.statistics import scoring

SUITE = ("logistic", "ridge", "nearest-centroid", "knn-cosine")
COMPONENTS = 256  # of the features: the fits of 500 data sets then take minutes
LEARN, VALIDATE = 250, 250
POSITIVE = 5  # the class that is looked for among all others: dogs, in CIFAR-10


class RealWorld:
    """Draws from one feature file or several of the same images.

    Every setting of four classifiers on each file's first principal components is a setting; a
    classifier on a file is a candidate.
    """

    def __init__(self, paths: Sequence[Path], share: float | None) -> None:
        """Read feature files.

        Args:
            paths: of the files; the same images in the same order.
            share: None for all classes as they are, else the share of class 1, which is one of
                the classes among all others.
        """
        read = [read(path) for path in paths]
        labels = read[0][1]
        rows = np.arange(len(labels))
        if share:
            others = np.flatnonzero(labels != POSITIVE)
            ones = np.flatnonzero(labels == POSITIVE)[: round(len(others) * share / (1 - share))]
            rows = np.concatenate([ones, others])
            labels = (labels == POSITIVE).astype(np.int64)
        self.layers = [x[rows] for x, _ in read]
        self.labels = labels[rows]
        kind = f"1:{round(1 / share) - 1}" if share else f"{labels.max() + 1} classes"
        self.name = f"{', '.join(path.stem for path in paths)}; {kind}"

    def draw(self, seed: int) -> Sample:
        """Return one data set."""
        order = np.random.default_rng(seed).permutation(len(self.labels))
        unseen = order[LEARN:]
        fitted = [
            self._fitted(classifiers.find(name), x, order[:LEARN], unseen)
            for x in self.layers
            for name in SUITE
        ]
        values = np.concatenate(fitted)
        family = np.repeat(np.arange(len(fitted)), [len(of_one) for of_one in fitted])
        new = self.labels[unseen[VALIDATE:]]
        truth = {
            metric: np.array([scoring.score(metric, new, given[VALIDATE:]) for given in values])
            for metric in METRICS
        }
        first = classifiers.find(SUITE[0])
        given = first.space.index(first.default)
        settings = Candidates(values[:, :VALIDATE], truth, family, given)
        labels = self.labels[unseen[:VALIDATE]]
        return Sample(labels, np.arange(VALIDATE), {"spread": settings}, settings)

    def _fitted(
        self, classifier: Classifier, x: np.ndarray, learn: np.ndarray, unseen: np.ndarray
    ) -> np.ndarray:
        """Return the probabilities of every setting, float32 (m, len(unseen), K)."""
        classes = int(self.labels.max()) + 1
        pipeline = classifier.build(Task(len(learn), x.shape[1], classes, 0))
        known = x[learn], self.labels[learn]
        if classifier.path:
            return np.stack([*classifier.path(pipeline, classifier.space, *known, x[unseen])])
        return np.stack(
            [
                probabilities(pipeline.set_params(**setting).fit(*known), x[unseen], classes)
                for setting in classifier.space
            ]
        )


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return principal components, float32 (N, COMPONENTS), and labels, int64 (N,)."""
    with FeatureFile(path) as file:
        x, labels = file.features().astype(np.float32), file.labels.astype(np.int64)
    x -= x.mean(axis=0)
    _, vectors = np.linalg.eigh(x.T @ x)
    return x @ vectors[:, -COMPONENTS:], labels

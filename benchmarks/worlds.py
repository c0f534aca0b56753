"""Simulated data sets: what validation shows of many candidates, and what they really score."""

from dataclasses import dataclass

import numpy as np

from pipeline.statistics import metrics

METRICS = tuple(metrics.METRICS)


@dataclass(frozen=True)
class Candidates:
    """Several candidates, each with one or more settings, on the same images.

    Attributes:
        probabilities: float (m, R, n, K), of m settings in R repeats of cross-validation.
        truth: of each metric, the scores on new images of the models that validate, float64 (m,).
        family: int (m,), the candidate that each setting belongs to.
        given: the setting that is "a given candidate", which nothing was chosen for.
        kept: of each metric, the scores on new images of models that learned from all images; the
            same where nothing is trained.
    """

    probabilities: np.ndarray
    truth: dict[str, np.ndarray]
    family: np.ndarray
    given: int
    kept: dict[str, np.ndarray]


@dataclass(frozen=True)
class Sample:
    """One data set.

    Attributes:
        labels: int (n,).
        groups: int (n,).
        sets: candidates that are compared, by name.
        settings: that are tried, and of which the best is chosen.
    """

    labels: np.ndarray
    groups: np.ndarray
    sets: dict[str, Candidates]
    settings: Candidates


@dataclass(frozen=True)
class World:
    """Where simulated images of two classes come from.

    Attributes:
        name: in tables.
        images: n.
        positive: the share of class 1.
        groups: how many patients there are, 0 for independent images.
        pure: whether all images of a patient are of one class.
    """

    name: str
    images: int
    positive: float
    groups: int = 0
    pure: bool = False

    def draw(self, seed: int) -> Sample:
        """Return new images, and candidates that share most of their mistakes."""
        rng = np.random.default_rng(seed)
        groups = np.arange(self.images) % (self.groups or self.images)
        drawn = self.groups if self.pure else self.images
        labels = (rng.random(drawn) < self.positive).astype(np.int64)
        labels = labels[groups] if self.pure else labels
        image = rng.normal(size=self.images)
        if self.groups:
            image = np.sqrt(0.5) * rng.normal(size=self.groups)[groups] + np.sqrt(0.5) * image
        sets = {
            "equal": self._candidates(np.full((10, 2), 0.85), labels, image, rng),
            "spread": self._candidates(_spread(10, 0.10), labels, image, rng),
        }
        settings = self._candidates(_spread(40, 0.05), labels, image, rng, settings=True)
        return Sample(labels, groups, sets, settings)

    def _candidates(
        self, recalls: np.ndarray, labels: np.ndarray, image: np.ndarray,
        rng: np.random.Generator, settings: bool = False,
    ) -> Candidates:  # fmt: skip
        """Return candidates with given recalls of both classes, float (m, 2)."""
        from scipy.special import expit, ndtri

        own = rng.normal(size=(len(recalls), len(labels)))
        margins = ndtri(recalls)[:, labels] + np.sqrt(0.6) * image + np.sqrt(0.4) * own
        ones = expit(2 * margins * (2 * labels - 1))
        values = np.stack([1 - ones, ones], axis=2)[:, None]
        family = np.zeros(len(recalls), int) if settings else np.arange(len(recalls))
        truth = self._truth(recalls)
        return Candidates(values, truth, family, 0, truth)

    def _truth(self, recalls: np.ndarray) -> dict[str, np.ndarray]:
        shares = np.array([1 - self.positive, self.positive])
        hits = shares * recalls
        called = hits + (shares * (1 - recalls))[:, ::-1]
        return {
            "accuracy": hits.sum(axis=1),
            "balanced_accuracy": recalls.mean(axis=1),
            "macro_f1": (2 * hits / (shares + called)).mean(axis=1),
        }


def _spread(count: int, range_: float) -> np.ndarray:
    """Return recalls of both classes, falling evenly from 0.88, float64 (count, 2)."""
    return np.linspace([0.88, 0.88], [0.88 - range_, 0.88 - range_], count)


WORLDS = (
    World("balanced", 400, 1 / 2),
    World("1:20", 1050, 1 / 21),
    World("balanced, 40 patients x 25", 1000, 1 / 2, 40, pure=True),
    World("1:20, 40 patients x 25", 1000, 1 / 21, 40),
)

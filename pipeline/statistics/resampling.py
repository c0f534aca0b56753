"""What chance draws: groups of images, within classes where the metric is class-wise.

Images of one group (a patient, a scene, near-duplicates) are not independent of each other, so
that a resample holds a group whole or not at all. From a stratum of n groups n - 1 are drawn with
replacement, and each counts n / (n - 1) times: so drawn, the variance of a mean is estimated
without bias from few groups too; a resample that draws all n makes it too small by 1 / n
(J. N. K. Rao, C. F. J. Wu, "Resampling inference with complex survey data", JASA 83, 1988,
section 2).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

BLOCK_BYTES = 2**23  # of weights held at a time: more would leave the processor's cache


@dataclass(frozen=True)
class Units:
    """The independent units that n images form.

    Attributes:
        group: int64 (n,), the group of each image, 0 to G - 1; in the images' order where each is
            a group of its own.
        stratum: int64 (G,), the stratum that each group is drawn within, 0 to H - 1.
        classes: int64 (K,), how many groups have images of each class, where the metric is
            class-wise; else empty.
    """

    group: np.ndarray
    stratum: np.ndarray
    classes: np.ndarray

    @property
    def single(self) -> tuple[int, ...]:
        """The classes, by number, whose images all belong to one group.

        Chance cannot be seen in those, so that an interval would be wrong.
        """
        return tuple(np.flatnonzero(self.classes == 1).tolist())

    @property
    def freedom(self) -> float:
        """Degrees of freedom of a score's variance, were all classes equally hard.

        A mean over classes varies with 1 / g for each class of g groups (Satterthwaite's formula).
        """
        if not self.classes.any():
            return float(self.count)
        inverse = 1 / self.classes[self.classes > 0]
        return float(inverse.sum() ** 2 / (inverse**3).sum())

    @cached_property
    def sizes(self) -> np.ndarray:
        """How many groups each stratum has, int64 (H,)."""
        return np.bincount(self.stratum)

    @property
    def count(self) -> int:
        """G, how many groups there are."""
        return len(self.stratum)

    @property
    def independent(self) -> bool:
        """Whether each image is a group of its own."""
        return len(self.stratum) == len(self.group)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over each group's images, float64 (m, G), of values (m, n).

        Where each image is a group of its own these are the values themselves.
        """
        if self.independent:
            return values
        return np.stack([np.bincount(self.group, row, self.count) for row in values])

    def deviations(self, values: np.ndarray) -> np.ndarray:
        """Return sums by group about their mean, scaled so that products estimate covariances.

        Args:
            values: float64 (m, n), the influence of each image on each of m scores.

        Returns:
            float64 (m, G), d: `d @ d.T` estimates the covariance of the m scores, without bias
            where these are sums over images (K.-Y. Liang, S. Zeger, "Longitudinal data analysis
            using generalized linear models", Biometrika 73, 1986). All 0 where G is 1.
        """
        sums = self.sums(values)
        centred = sums - sums.mean(axis=1, keepdims=True)
        return centred * np.sqrt(self.count / max(self.count - 1, 1))


def units(groups: np.ndarray | None, labels: np.ndarray, stratify: bool) -> Units:
    """Return the units of chance of n images.

    With `stratify` a group is drawn among those whose rarest class is the same; where groups are
    pure in class that is the class, and where they mix classes a rare class still is in every
    resample. A group that would be alone in its stratum joins the largest one.

    Args:
        groups: int or str (n,), equal for images that belong together; None where each image
            stands alone.
        labels: int (n,).
        stratify: whether the metric is class-wise; see `scoring.CLASS_WISE`.
    """
    group = np.arange(len(labels))
    if groups is not None and len(names := np.unique(groups)) < len(groups):
        group = np.searchsorted(names, groups)
    count = int(group.max()) + 1
    if not stratify:
        return Units(group, np.zeros(count, np.int64), np.zeros(0, np.int64))
    pairs = np.unique(group * (int(labels.max()) + 1) + labels)  # of a group and a class in it
    owner, label = np.divmod(pairs, int(labels.max()) + 1)
    spread = np.bincount(label)  # how many groups have each class
    order = np.lexsort((label, spread[label], owner))
    rarest = label[order][np.unique(owner[order], return_index=True)[1]]
    stratum = np.unique(rarest, return_inverse=True)[1].reshape(-1)
    sizes = np.bincount(stratum)
    joined = np.where(sizes[stratum] == 1, sizes.argmax(), stratum)
    return Units(group, np.unique(joined, return_inverse=True)[1].reshape(-1), spread)


def draw(units: Units, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how much each image counts in each resample: float64 (n, R), R of them at a time.

    Equal units and seeds give equal resamples, so that candidates can be held against each other
    resample by resample. A weight is 0 where the image's group was not drawn; a stratum of one
    group always counts once.
    """
    generator = np.random.default_rng(seed)
    order = np.argsort(units.stratum, kind="stable")
    starts = np.cumsum(units.sizes) - units.sizes
    draws = np.maximum(units.sizes - 1, 1)
    size, start = np.repeat(units.sizes, draws), np.repeat(starts, draws)
    scale = (units.sizes / draws)[units.stratum][:, None]
    step = max(1, BLOCK_BYTES // (8 * len(units.group)))
    for first in range(0, resamples, step):
        count = min(step, resamples - first)
        chosen = order[start + (generator.random((count, len(size))) * size).astype(np.int64)]
        chosen += np.arange(count)[:, None] * units.count
        flat = np.bincount(chosen.ravel(), minlength=count * units.count)
        weights = flat.reshape(count, units.count).T * scale  # (G, R)
        yield np.ascontiguousarray(weights[units.group])


def folds(
    units: Units, count: int, repeats: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield folds of groups, each with about its part of every stratum, and weights of the others.

    Args:
        units: what is divided.
        count: of folds, F, at most as many as there are groups.
        repeats: how often all of it is divided.
        seed: of the division.

    Yields:
        The fold of each group, int64 (G,), and float64 (G, F): how much each group counts where
        a fold is left out, 0 in the fold itself. The others keep the weight of each stratum.
    """
    generator = np.random.default_rng(seed)
    for _ in range(repeats):
        # Numbers from a stratum on, below the next: sorted, each stratum is in a random order.
        order = np.argsort(generator.random(units.count) + units.stratum)
        fold = np.empty(units.count, np.int64)
        fold[order] = (np.arange(units.count) + generator.integers(count)) % count
        left_out = np.zeros((len(units.sizes), count))
        np.add.at(left_out, (units.stratum, fold), 1)
        weights = units.sizes[:, None] / (units.sizes[:, None] - left_out)
        yield fold, weights[units.stratum] * (fold[:, None] != np.arange(count))

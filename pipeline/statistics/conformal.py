"""Sets of classes that hold the true one with a promised probability, whatever the classifier.

Split conformal prediction: a class is in an image's set where its probability is at least as high
as that of the true class was for most validated images (M. Sadinle, J. Lei and L. Wasserman, "Least
Ambiguous Set-Valued Classifiers with Bounded Error Levels", Journal of the American Statistical
Association 114, 2019, section 2). Classes of many groups get a threshold of their own, so that the
promise holds in each of them (V. Vovk et al., "Algorithmic Learning in a Random World", 2005,
section 4.5). Images of one group are not independent: each group weighs as one image (Y. Lee, R.
Barber and R. Willett, "Distribution-free inference with hierarchical data", 2023, section 3).
"""

import math
from dataclasses import dataclass

import numpy as np

OWN_THRESHOLD = 2.0  # times the fewest groups with which a promise can be kept at all


@dataclass(frozen=True)
class Thresholds:
    """The lowest probability of each class in a set.

    Attributes:
        coverage: the promised share of sets that hold the true class.
        lowest: float64 (K,): a class is in the set where it has at least this probability.
        own: bool (K,): whether the threshold comes from images of that class alone.
        groups: the number of independent groups that all thresholds rest on.
    """

    coverage: float
    lowest: np.ndarray
    own: np.ndarray
    groups: int

    @property
    def says_nothing(self) -> bool:
        """Whether every set holds all classes, as the groups are too few for the promise."""
        return bool((self.lowest <= 0).all())

    def sets(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the classes in the set of each image, bool (n, K); the likeliest always is.

        Args:
            probabilities: float (n, K), calibrated as those that gave the thresholds.
        """
        sets = np.asarray(probabilities >= self.lowest)
        sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
        return sets


def fit(
    of_true: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int, coverage: float
) -> Thresholds:
    """Return the thresholds from images that their classifier was not fitted on.

    Args:
        of_true: float (R, n), the calibrated probability of the true class in each repeat of
            cross-validation.
        labels: int (n,), the true classes.
        groups: int (n,), equal for images that are not independent.
        classes: the number K of classes.
        coverage: the promised share, between 0 and 1.
    """
    by_class = [np.flatnonzero(labels == number) for number in range(classes)]
    counts = np.array([len(np.unique(groups[rows])) for rows in by_class])
    own = counts >= OWN_THRESHOLD * fewest_groups(coverage)
    pooled = np.flatnonzero(~own[labels])
    lowest = np.full(classes, _lowest(of_true[:, pooled], groups[pooled], coverage))
    for number in np.flatnonzero(own):
        rows = by_class[number]
        lowest[number] = _lowest(of_true[:, rows], groups[rows], coverage)
    return Thresholds(coverage, lowest, own, len(np.unique(groups)))


def fewest_groups(coverage: float) -> int:
    """Return with how many groups a promise can be kept by less than all classes."""
    return math.ceil(coverage / (1 - coverage) - 1e-9)


def _lowest(of_true: np.ndarray, groups: np.ndarray, coverage: float) -> float:
    """Return the probability that true classes reach with the promised probability, else 0.

    A new group is as likely to lie in any of the gaps between the G that were seen, so that each
    of them weighs 1 / (G + 1), shared by its images and their repeats.

    Args:
        of_true: float (R, n), probabilities of the true class.
        groups: int (n,).
        coverage: the promised share.
    """
    if not len(groups):
        return 0.0
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    weights = 1 / ((len(sizes) + 1) * len(of_true) * sizes[number])  # (n,)
    order = np.argsort(-of_true, axis=None, kind="stable")
    reached = np.cumsum(np.broadcast_to(weights, of_true.shape).ravel()[order])
    enough = np.flatnonzero(reached >= coverage - 1e-12)
    return float(of_true.ravel()[order[enough[0]]]) if enough.size else 0.0

"""Which candidates could be the best, and which know more than the class frequencies.

A candidate could be the best unless another one is better by more than chance. For each candidate
that is one test, by the largest of its studentized distances to the others (single-step max-t), at
a level that needs no correction for how many candidates are tested: only the test of the truly best
one can leave it out. So the set holds the best with the confidence that is asked for, whichever
leads by luck (S. S. Gupta, "On some multiple decision rules", Technometrics 7, 1965; J. Hsu,
"Simultaneous confidence intervals for all distances from the best", Annals of Statistics 9, 1981;
M. Mogstad, J. Romano, A. Shaikh, D. Wilhelm, "Inference for ranks", Review of Economic Studies 91,
2024, section 3).

The largest distance that chance brings comes from the multiplier bootstrap: each group's share in
each score is drawn anew by a normal number, the same for all candidates, so that what they have in
common drops out (V. Chernozhukov, D. Chetverikov, K. Kato, Annals of Statistics 41, 2013).
Candidates with equal predictions are one candidate for it, and cost nothing. To the variance of a
difference one more group is added that disagrees as much as any did: what two or three images
decide alone would otherwise look sure (as A. Agresti, Y. Min do for matched pairs, Statistics in
Medicine 24, 2005).
"""

import numpy as np

from pipeline.statistics import scoring, variance
from pipeline.statistics.influence import Measured, influence
from pipeline.statistics.resampling import Units

DRAWS = 10_000  # of the largest distance: p-values of 0.05 are then right to 0.004


def could_be_best(measured: Measured, units: Units, seed: int = 0) -> np.ndarray:
    """Return for each candidate how well the images agree with its being the best, float64 (m,).

    Those with p >= 0.05 are the set that holds the best candidate with 95 % confidence; the one
    with the best score always is in it.

    Args:
        measured: the candidates by the metric that ranks them.
        units: what is independent.
        seed: of the draws.

    Returns:
        p-values, above 0 and at most 1, in the order of the candidates.
    """
    scores, deviations = measured.goodness, _deviations(measured, units)
    draws = _draws(deviations, seed)
    p = np.ones(len(scores))
    for row in range(len(scores)):
        chance = variance.spread(deviations - deviations[row])
        errors = np.sqrt(chance.variance + chance.largest)
        distances = (scores - scores[row]) * _inverse(errors)
        observed = variance.normal_quantiles(distances, chance.freedom)
        luck = (draws - draws[:, row, None]) * _inverse(np.sqrt(chance.variance))
        p[row] = _exceeded(luck.max(axis=1), observed.max())
    return p


def better_than_chance(
    measured: Measured, labels: np.ndarray, classes: int, units: Units, seed: int = 0
) -> np.ndarray:
    """Return one-sided p-values of knowing more than the class frequencies, float64 (m,).

    They are corrected for all that was measured (single-step max-t): where none knows more, any is
    below 0.05 in at most 5 % of all data sets. Settings that were tried on the same images, and of
    which the best became candidates, belong to the family: measure all of them.

    Args:
        measured: candidates and settings by one metric.
        labels: int (n,).
        classes: K.
        units: what is independent.
        seed: of the draws.
    """
    metric, deviations = measured.metric, _deviations(measured, units)
    floor = scoring.goodness(metric, np.array(scoring.chance(metric, labels, classes)))
    if metric != "macro_f1":  # whose best guess scores 1 / K whatever the frequencies
        frequencies = np.bincount(labels, minlength=classes) / len(labels)
        guesses = np.broadcast_to(frequencies, (len(labels), classes))
        of_floor = influence(metric, labels, guesses)
        deviations = deviations - units.deviations(scoring.goodness(metric, of_floor)[None])
    chance = variance.spread(deviations)
    gains = measured.goodness - floor
    # The variance is that around no gain, as in a score test: the tails of many settings hold.
    known = _freedom(metric, labels, units)
    errors = np.sqrt(chance.variance + chance.largest + gains**2 / known)
    luck = _draws(deviations, seed) * _inverse(np.sqrt(chance.variance))
    largest = luck.max(axis=1)
    return np.array([_exceeded(largest, value) for value in gains * _inverse(errors)])


def _freedom(metric: str, labels: np.ndarray, units: Units) -> float:
    """Return the degrees of freedom of a score without any knowledge, by Satterthwaite's formula.

    A mean over classes varies with 1 / g for each class of g groups.
    """
    if metric not in scoring.CLASS_WISE:
        return units.count
    groups = units.groups_by_class(labels).astype(np.float64)
    return float((1 / groups).sum() ** 2 / (1 / groups**3).sum())


def _deviations(measured: Measured, units: Units) -> np.ndarray:
    """Return each group's share in the scores so that higher is better, float64 (m, G)."""
    return units.deviations(scoring.goodness(measured.metric, measured.influence))


def _inverse(errors: np.ndarray) -> np.ndarray:
    """Return 1 / errors, 0 where an error is no more than rounding: those scores are the same."""
    return np.where(errors > _ROUNDING, 1 / np.maximum(errors, _ROUNDING), 0.0)


def _draws(deviations: np.ndarray, seed: int) -> np.ndarray:
    """Return what chance adds to the m scores, float64 (DRAWS, m)."""
    values, vectors = np.linalg.eigh(deviations @ deviations.T)
    root = vectors * np.sqrt(np.maximum(values, 0))
    return np.random.default_rng(seed).standard_normal((DRAWS, len(root))) @ root.T


def _exceeded(draws: np.ndarray, value: float) -> float:
    return float((1 + np.count_nonzero(draws >= value)) / (1 + len(draws)))


_ROUNDING = 1e-9

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
Candidates with equal predictions are one candidate for it, and cost nothing. The variance of a
difference is that around no difference, as in a score test, and one more group is added to it that
disagrees as much as any did: what two or three images decide alone would otherwise look sure (as
A. Agresti, Y. Min do for matched pairs, Statistics in Medicine 24, 2005).
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
        distances = scores - scores[row]
        errors = np.sqrt(chance.variance + chance.largest + distances**2 / units.count)
        observed = variance.normal_quantiles(distances * _inverse(errors), chance.freedom)
        luck = (draws - draws[:, row, None]) * _inverse(np.sqrt(chance.variance))
        _judge_constant(distances, chance, units, observed, luck, seed)
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
    # Few groups of a class must not make one of hundreds of settings look sure.
    errors = np.sqrt(chance.variance + chance.largest + gains**2 / units.freedom)
    observed = gains * _inverse(errors)
    luck = _draws(deviations, seed) * _inverse(np.sqrt(chance.variance))
    _judge_constant(gains, chance, units, observed, luck, seed)
    largest = luck.max(axis=1)
    return np.array([_exceeded(largest, value) for value in observed])


def _judge_constant(
    distances: np.ndarray,
    chance: variance.Spread,
    units: Units,
    observed: np.ndarray,
    luck: np.ndarray,
    seed: int,
) -> None:
    """Set what is observed, and the luck, of distances that no group varies.

    So it is with a candidate that is always right and one that names a single class. The distance
    is as sure as that of as many equal pairs as there are degrees of freedom, less one.
    """
    constant = (np.sqrt(chance.variance) <= _ROUNDING) & (np.abs(distances) > _ROUNDING)
    if constant.any():
        pairs = np.array(units.freedom)
        sure = variance.normal_quantiles(np.sqrt(pairs), np.maximum(pairs - 1, 1))
        observed[constant] = np.sign(distances[constant]) * sure
        luck[:, constant] = np.random.default_rng([seed, 1]).standard_normal((len(luck), 1))


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

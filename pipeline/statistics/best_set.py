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
common drops out (V. Chernozhukov, D. Chetverikov, K. Kato, Annals of Statistics 41, 2013). Candidates
with equal predictions are one candidate for it, and cost nothing.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.statistics import scoring, variance
from pipeline.statistics.resampling import Units

DRAWS = 10_000  # of the largest distance: p-values of 0.05 are then right to 0.004


def could_be_best(
    metric: str,
    labels: np.ndarray,
    probabilities: Sequence[np.ndarray],
    units: Units,
    seed: int = 0,
) -> np.ndarray:
    """Return for each candidate how well the images agree with its being the best, float64 (m,).

    Those with p >= 0.05 are the set that holds the best candidate with 95 % confidence; the one
    with the best score always is in it.

    Args:
        metric: by which candidates are ranked, one of `scoring.RANKING_METRICS`.
        labels: int (n,).
        probabilities: m arrays, float (n, K), of the same images in the same order.
        units: what is independent.
        seed: of the draws.

    Returns:
        p-values, above 0 and at most 1, in the order of the candidates.
    """
    scores, deviations = _measured(metric, labels, probabilities, units)
    draws = _draws(deviations, seed)
    p = np.ones(len(scores))
    for row in range(len(scores)):
        chance = variance.spread(deviations - deviations[row])
        observed = _studentized(scores - scores[row], chance)
        luck = (draws - draws[:, row, None]) * _inverse(np.sqrt(chance.variance))
        p[row] = _exceeded(luck.max(axis=1), observed.max())
    return p


def better_than_chance(
    metric: str,
    labels: np.ndarray,
    probabilities: Sequence[np.ndarray],
    units: Units,
    seed: int = 0,
) -> np.ndarray:
    """Return one-sided p-values of knowing more than the class frequencies, float64 (m,).

    They are corrected for all candidates given (single-step max-t): where no candidate knows more,
    any is below 0.05 in 5 % of all data sets. Settings that were tried and chosen among on the same
    images belong to the family: pass these too.

    Args:
        metric: one of `scoring.RANKING_METRICS`.
        labels: int (n,).
        probabilities: m arrays, float (n, K).
        units: what is independent.
        seed: of the draws.
    """
    scores, deviations = _measured(metric, labels, probabilities, units)
    classes = probabilities[0].shape[1]
    floor = scoring.goodness(metric, np.array(scoring.chance(metric, labels, classes)))
    frequencies = np.bincount(labels, minlength=classes) / len(labels)
    if metric != "macro_f1":  # whose best guess does not depend on the frequencies
        guesses = np.broadcast_to(frequencies, (len(labels), classes))
        influence = scoring.goodness(metric, scoring.influence(metric, labels, guesses))
        deviations = deviations - units.deviations(influence[None])
    chance = variance.spread(deviations)
    observed = _studentized(scores - floor, chance)
    luck = _draws(deviations, seed) * _inverse(np.sqrt(chance.variance))
    largest = luck.max(axis=1)
    return np.array([_exceeded(largest, value) for value in observed])


def _measured(
    metric: str, labels: np.ndarray, probabilities: Sequence[np.ndarray], units: Units
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores, higher is better, and each group's share in them: (m,), (m, G)."""
    scores = np.array([scoring.score(metric, labels, given) for given in probabilities])
    influences = np.stack([scoring.influence(metric, labels, given) for given in probabilities])
    goodness = scoring.goodness(metric, influences)
    return scoring.goodness(metric, scores), units.deviations(goodness)


def _studentized(distances: np.ndarray, chance: variance.Spread) -> np.ndarray:
    """Return distances in standard errors, as normal quantiles, (m,).

    One more group that disagrees as much as any did is added to the variance: differences that two
    or three groups make alone would otherwise look sure (as A. Agresti, Y. Min do for matched
    pairs, Statistics in Medicine 24, 2005).
    """
    errors = np.sqrt(chance.variance + chance.largest)
    return variance.normal_quantiles(distances * _inverse(errors), chance.freedom)


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

"""Temperature scaling: probabilities calibrated by one number, which changes no prediction.

The method of Guo et al., "On calibration of modern neural networks", 2017, section 4.2.
"""

import numpy as np

from pipeline.statistics.metrics import SMALLEST

LOWEST, HIGHEST = 1e-2, 1e2  # the range of temperatures that is searched


def temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the divisor of log probabilities that gives the lowest log loss.

    Args:
        probabilities: float (n, K), rows sum to 1.
        labels: int (n,); not those that the model was fitted on.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    logs = _logs(probabilities)
    true = logs[np.arange(len(labels)), labels].mean()

    def loss(log_temperature: float) -> float:  # convex in 1 / T, so that it has one minimum
        inverse = np.exp(-log_temperature)
        return float(logsumexp(logs * inverse, axis=1).mean() - true * inverse)

    optimum = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return float(np.exp(optimum.x))


def apply(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities at a temperature, float32 (n, K); above 1 they are less sure."""
    from scipy.special import softmax

    return softmax(_logs(probabilities) / temperature, axis=1).astype(np.float32)


def cross_fitted(probabilities: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Return cross-fitted calibrated probabilities, float32 (n, K).

    Each half of the images gets the temperature that was fitted on the other, so that metrics on
    all of them are not better than on new images.

    Args:
        probabilities: float (n, K), n at least 2.
        labels: int (n,).
        seed: the seed of the halves.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    halves = order[::2], order[1::2]
    calibrated = np.empty(probabilities.shape, np.float32)
    for half, other in (halves, halves[::-1]):
        calibrated[half] = apply(
            probabilities[half], temperature(probabilities[other], labels[other])
        )
    return calibrated


def _logs(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.clip(probabilities.astype(np.float64), SMALLEST, 1))

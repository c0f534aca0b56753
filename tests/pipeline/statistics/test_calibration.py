"""Temperature scaling finds what was done to probabilities, and fits nothing it is judged on."""

import numpy as np
import pytest

from pipeline.statistics import calibration, metrics


def sampled(images=4000, classes=5):
    """Return probabilities and labels that were drawn from them, so that they are calibrated."""
    rng = np.random.default_rng(0)
    values = rng.dirichlet(np.full(classes, 0.5), images)
    chosen = (values.cumsum(axis=1) > rng.random((images, 1))).argmax(axis=1)
    return values.astype(np.float32), chosen


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_a_sharpening(factor):
    values, labels = sampled()
    sharp = calibration.apply(values, 1 / factor)
    assert calibration.temperature(sharp, labels) == pytest.approx(factor, rel=0.1)


def test_scaling_changes_no_ranking_and_gives_probabilities():
    values, _ = sampled()
    scaled = calibration.apply(values, 2.5)
    assert scaled.dtype == np.float32
    assert (scaled.argmax(axis=1) == values.argmax(axis=1)).all()
    assert np.allclose(scaled.sum(axis=1), 1)
    assert np.allclose(calibration.apply(values, 1.0), values, atol=1e-6)


def test_cross_fitting_repairs_what_is_too_sure():
    values, labels = sampled()
    sharp = calibration.apply(values, 0.25)
    fitted = calibration.cross_fitted(sharp, labels, 0)
    for measure, bound in ((metrics.calibration_error, 0.03), (metrics.log_loss, None)):
        assert measure(labels, fitted) < measure(labels, sharp)
        assert bound is None or measure(labels, fitted) < bound
    assert (fitted == calibration.cross_fitted(sharp, labels, 0)).all()


def test_no_image_has_a_say_in_its_own_temperature():
    values, labels = sampled(100)
    before = calibration.cross_fitted(values, labels, 0)
    labels[7] = (labels[7] + 1) % 5
    after = calibration.cross_fitted(values, labels, 0)
    assert (before[7] == after[7]).all()
    assert (before != after).any()


def test_zeros_are_no_trouble():
    values = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    assert np.isfinite(calibration.temperature(values, np.array([0, 1, 2, 1])))

"""Learning rates: up and down along a cosine, down on plateaus."""

import numpy as np
import pytest

from features.errors import UsageError
from pipeline.networks import schedules
from pipeline.networks.train_stage import TrainStage, shortened
from pipeline.results.history import Epoch, History


def history(losses, rate=0.1):
    return History(tuple(
        Epoch(number, "all", rate * number, 1.0, 0.5, loss, 0.5, 1.0)
        for number, loss in enumerate(losses, 1)
    ))  # fmt: skip


def test_cosine_rises_through_the_warmup_and_falls_to_nothing():
    schedule = schedules.schedule("cosine", 0.5, steps=100, warmup=10)
    rates = np.array([float(schedule(step)) for step in range(101)])
    assert rates[0] == 0
    assert rates[10] == pytest.approx(0.5)
    assert (np.diff(rates[:11]) > 0).all()
    assert (np.diff(rates[10:]) < 0).all()
    assert rates[55] == pytest.approx(0.25, abs=0.01)
    assert rates[100] == pytest.approx(0, abs=1e-6)


def test_a_stage_of_one_step_is_possible():
    assert float(schedules.schedule("cosine", 0.5, steps=1, warmup=5)(0)) == 0.5


def test_plateau_falls_after_epochs_without_a_gain():
    gaining = [1.0, 0.9, 0.8, 0.7, 0.6]
    assert schedules.plateau_rate(0.1, history(gaining)) == 0.1
    assert schedules.plateau_rate(0.1, history([*gaining, 0.7, 0.7])) == 0.1
    assert schedules.plateau_rate(0.1, history([*gaining, 0.7, 0.7, 0.7])) == pytest.approx(0.03)
    twice = [*gaining, *[0.7] * 6]
    assert schedules.plateau_rate(0.1, history(twice)) == pytest.approx(0.009)


def test_an_unknown_schedule():
    with pytest.raises(UsageError, match="did you mean cosine"):
        schedules.check("cosin")


def test_the_last_fit_is_as_long_as_was_best():
    losses = [1.0, 0.5, 0.4, 0.6, 0.7]
    stage = TrainStage("all", 5, 0.1, patience=2, schedule="plateau")
    last = shortened(stage, history(losses))
    assert (last.epochs, last.patience) == (3, 0)
    assert last.rates == pytest.approx((0.1, 0.2, 0.3))
    assert shortened(TrainStage("all", 5, 0.1), history(losses)).rates == ()

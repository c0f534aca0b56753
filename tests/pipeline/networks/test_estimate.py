"""How long a training takes, from the time of one batch."""

import pytest

from pipeline.networks import estimate
from pipeline.networks.estimate import StageWork, Timing


def test_all_rounds_stages_and_epochs_count():
    """2 x 100 images through 3 epochs of a forward pass, and 2 epochs of three."""
    stages = [StageWork(epochs=3, passes=1.0), StageWork(epochs=2, passes=3.0)]
    assert estimate.total(Timing(0.0, 0.01), stages, [100, 100]) == pytest.approx(200 * 9 * 0.01)
    starts = estimate.total(Timing(2.0, 0.0), stages, [100, 100])
    assert starts == pytest.approx(2 * 2.0 * 7)  # to load, and to compile two stages


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "about 2 seconds"), (89, "about 89 seconds"), (700, "about 12 minutes"),
     (9000, "about 2.5 hours")],
)  # fmt: skip
def test_a_time_in_words(seconds, words):
    assert estimate.describe(seconds) == words

"""Wall time adds up over the runs of a candidate."""

import time

import pytest

from pipeline.networks import checkpoints
from pipeline.networks.elapsed import measured
from pipeline.results.history import Epoch, History


def test_the_time_of_a_stopped_run_counts(tmp_path):
    with pytest.raises(KeyboardInterrupt), measured(tmp_path / "c", before=100.0):
        raise KeyboardInterrupt
    with measured(tmp_path / "c", before=10.0) as elapsed:
        time.sleep(0.02)
        first = elapsed()
    assert 110.02 < first < 115
    assert elapsed() >= first


def test_of_a_killed_run_the_epochs_count(tmp_path):
    epochs = tuple(Epoch(n, "head", 0.1, 1.0, 0.5, 1.0, 0.5, 30.0) for n in (1, 2))
    state = checkpoints.State(False, History(epochs), [], [], [])
    (tmp_path / "fold 1").mkdir()
    checkpoints.write(tmp_path / "fold 1" / "head.npz", state)
    (tmp_path / "fold 1" / "damaged.npz").write_bytes(b"PK nothing")
    with measured(tmp_path) as elapsed:
        assert 60 <= elapsed() < 65

"""Workers and drivers on a Ray cluster of three nodes are killed; `python -m tests.soak` for longer."""

from itertools import islice

import pytest

from tests.features.faults import ray_kills

pytest.importorskip("ray")
pytestmark = pytest.mark.timeout(600)


def test_workers_and_drivers_are_killed_and_no_row_is_lost(tmp_path):
    for name in ("workers", "drivers"):
        (tmp_path / name).mkdir()
    with ray_kills.cluster() as machines:
        workers = ray_kills.worker_kills(tmp_path / "workers", machines, images=64)
        assert list(islice(workers, 2)) == [0, 0]
        drivers = ray_kills.driver_kills(tmp_path / "drivers", machines, images=64)
        assert list(islice(drivers, 1)) == [0]

"""Whatever happens to a run, its rows are there in the end, each as it would have been."""

import errno

import pytest

from tests.features.faults import disks, stub


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Twelve images: a shard of eight, and one of four."""
    return stub.images(tmp_path_factory.mktemp("source") / "images.npz", 12)


def test_every_operation_fails(source, tmp_path):
    assert sum(disks.failures(source, tmp_path, (errno.ENOSPC, errno.EIO))) == 0


def test_the_power_goes_before_every_operation(source, tmp_path):
    assert sum(disks.power_cuts(source, tmp_path, rounds=3)) == 0


def test_the_power_goes_while_another_file_is_replaced(source, tmp_path):
    assert sum(disks.power_cuts_replacing(source, tmp_path, rounds=2)) == 0

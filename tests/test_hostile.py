"""Whatever is in a file, a command takes it or refuses it in one line, within limits.

`python -m tests.soak --hostile` does the same with 50,000 files.
"""

import sys

import pytest

from tests.hostile.campaign import spoiled

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits are those of Linux")

NUMBERS = {"npz": 15, "tar": 15, "tar.gz": 15, "manifest, Parquet": 15,
           "image": 20}  # fmt: skip


@pytest.mark.parametrize(("target", "count"), NUMBERS.items(), ids=NUMBERS)
def test_hostile_files_are_taken_or_refused(target, count, tmp_path):
    results = list(spoiled(tmp_path / "files", target, range(count)))
    assert len(results) == count
    assert [str(result) for result in results if result.outcome.is_fault] == []

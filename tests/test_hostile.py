"""Whatever is in a file, a command takes it or refuses it in one line, within limits.

`python -m tests.soak --hostile` does the same with 50,000 files.
"""

import sys
from importlib.util import find_spec

import pytest

from tests.hostile import kept
from tests.hostile.campaign import spoiled
from tests.hostile.targets import TARGETS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits are those of Linux")

COUNT = 6  # of each kind


@pytest.mark.parametrize("target", [name for name, target in TARGETS.items() if target.share])
def test_hostile_files_are_taken_or_refused(target, tmp_path):
    if find_spec(TARGETS[target].package) is None:
        pytest.skip(f"{TARGETS[target].package} is not installed")
    results = list(spoiled(tmp_path / "files", target, range(COUNT)))
    assert len(results) == COUNT
    assert [str(result) for result in results if result.outcome.is_fault] == []


@pytest.mark.timeout(900)
def test_kept_files_end_as_the_page_says(tmp_path):
    """`python -m tests.hostile` writes the page anew."""
    page = kept.PAGE.read_text()
    found = list(kept.results(tmp_path))
    assert len(found) > len(list(kept.CASES.iterdir()))
    faults = [
        f"{case.name}, {case.command}: {outcome}" for case, outcome in found if outcome.is_fault
    ]
    assert faults == []
    rows = [kept.row(*pair).rsplit("|", 3)[0] for pair in found]  # without seconds and memory
    assert [row for row in rows if row not in page] == []

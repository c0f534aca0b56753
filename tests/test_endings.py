"""Commands that are ended at a random moment lose nothing, say how to go on, and leave nothing.

`python -m tests.soak --endings` does the same for longer, with training too.
"""

import os
import signal

import pytest

from features.disk.leftovers import holding, remove_left, scratch_folder
from tests.hostile.endings import endings

POSIX = pytest.mark.skipif(os.name == "nt", reason="has no such signals and no such locks")


@POSIX
@pytest.mark.parametrize(
    ("command", "by"),
    [("compare", "SIGTERM"), ("report", "SIGINT"), ("evaluate", "SIGKILL"), ("map", "SIGKILL"),
     ("advise", "SIGTERM")],
)  # fmt: skip
def test_commands_are_ended_and_repeated(command, by, tmp_path):
    assert set(endings(command, tmp_path / "runs", 2, getattr(signal, by))) == {""}


@POSIX
def test_what_a_kill_left_is_removed_and_what_is_in_use_stays(tmp_path, caplog):
    caplog.set_level("INFO")
    left, users = tmp_path / ".offshelf-map-abcdefgh", tmp_path / ".offshelf-map"
    for folder in (left, users):
        folder.mkdir()
        (folder / "features.npy").touch()
    with scratch_folder(tmp_path, "map") as first, scratch_folder(tmp_path, "map") as second:
        assert {*tmp_path.iterdir()} == {users, first, second}
    assert {*tmp_path.iterdir()} == {users}
    assert f"{left} was left by a run that was killed, and is removed" in caplog.text
    draft = tmp_path / "a.json.0123456789abcdef.tmp"
    draft.touch()
    with holding(draft):
        remove_left(tmp_path, "*.tmp")
        assert draft.exists()
    remove_left(tmp_path, "*.tmp")
    assert not draft.exists()

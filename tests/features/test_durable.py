import errno
import os

import h5py
import numpy as np
import pytest

from features.disk import durable
from features.errors import UsageError
from tests.features.faults.disks import Failing, Watched

OLD, NEW = b"old", b"new and longer"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    return path


def test_a_file_is_replaced_as_a_whole(path):
    with durable.replacing(path) as draft:
        draft.write(NEW)
        assert path.read_bytes() == OLD
    assert path.read_bytes() == NEW
    assert list(path.parent.iterdir()) == [path]


def test_the_temporary_file_can_lie_elsewhere(path):
    scratch = path.parent / "scratch"
    scratch.mkdir()
    with durable.replacing(path, scratch) as draft:
        draft.write(NEW)
        assert len(list(scratch.iterdir())) == 1
    assert path.read_bytes() == NEW
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(path, error):
    with pytest.raises(error), durable.replacing(path) as draft:
        draft.write(NEW)
        raise error
    assert path.read_bytes() == OLD
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_whatever_operation_fails_the_error_is_raised(path, monkeypatch, number):
    """Create, write, sync, rename, sync of the folder: only after the rename the new one is there."""
    for at, left in enumerate([OLD, OLD, OLD, OLD, NEW]):
        path.write_bytes(OLD)
        monkeypatch.setattr(durable, "disk", Failing(at, number))
        with pytest.raises(OSError, match=os.strerror(number)):
            durable.write(path, NEW)
        assert path.read_bytes() == left
        assert list(path.parent.iterdir()) == [path]


class Hesitant(durable.Disk):
    """Takes a few bytes at a time, as POSIX allows."""

    def write(self, file, data):
        return super().write(file, data[:7])


def test_short_writes_are_continued(path, monkeypatch):
    monkeypatch.setattr(durable, "disk", Hesitant())
    durable.write(path, bytes(range(256)))
    assert path.read_bytes() == bytes(range(256))


@pytest.mark.parametrize("at", range(1, 12))
def test_hdf5_never_meets_an_error(path, monkeypatch, at, capfd):
    """It would tell of it when it closes the file, and the interpreter when it ends."""
    monkeypatch.setattr(durable, "disk", Failing(at, errno.ENOSPC))
    with (
        pytest.raises(OSError, match="No space left"),
        durable.replacing(path) as draft,
        h5py.File(draft, "w") as file,
    ):
        file["x"] = np.arange(100_000)
        file.attrs["y"] = "z" * 100
        del file["x"]
        file["x"] = np.arange(100)
    assert path.read_bytes() == OLD
    assert capfd.readouterr().err == ""


def test_what_follows_the_first_error_goes_nowhere(path, monkeypatch):
    monkeypatch.setattr(durable, "disk", Failing(2, errno.EIO))
    with pytest.raises(OSError, match="Input/output"), durable.replacing(path) as draft:
        assert draft.write(b"1234") == 4
        draft.check()
        assert draft.write(b"5678") == 4, "half of it arrived, which nobody learns here"
        draft.write(b"9")
        assert draft.tell() == 6
        with pytest.raises(OSError, match="Input/output"):
            draft.check()


def test_a_folder_comes_to_its_place_as_a_whole(tmp_path):
    draft, place = tmp_path / "draft", tmp_path / "place"
    draft.mkdir()
    (draft / "a").write_bytes(NEW)
    durable.place_folder(draft, place)
    assert (place / "a").read_bytes() == NEW
    assert list(tmp_path.iterdir()) == [place]


class Killed(BaseException):
    """As if the process ended here."""


class Ending(Watched):
    def __init__(self, at):
        self.left = at

    def before(self, name, *arguments):
        if not self.left:
            raise Killed
        self.left -= 1


@pytest.mark.parametrize("at", range(6))
def test_a_folder_is_replaced_by_another_whatever_the_moment_of_a_kill(tmp_path, monkeypatch, at):
    """Sync of the file and the folder, both renames, sync of the names."""
    draft, place = tmp_path / "draft", tmp_path / "place"
    for folder, content in ((draft, NEW), (place, OLD)):
        folder.mkdir()
        (folder / "a").write_bytes(content)
    with monkeypatch.context() as patch:
        patch.setattr(durable, "disk", Ending(at))
        if at < 5:
            with pytest.raises(Killed):
                durable.place_folder(draft, place)
        else:
            durable.place_folder(draft, place)
    durable.recover_folder(place)
    assert (place / "a").read_bytes() == (OLD if at < 4 else NEW)
    assert not durable.aside(place).exists()


def test_a_link_of_a_temporary_name_is_not_followed(path, monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda count: "known")
    other = path.with_name("other")
    other.write_bytes(OLD)
    link = path.with_name("file.known.tmp")
    link.symlink_to(other)
    with pytest.raises(FileExistsError):
        durable.write(path, NEW)
    assert other.read_bytes() == path.read_bytes() == OLD


def test_folders_are_made_with_those_above(tmp_path):
    folder = tmp_path / "a" / "b" / "c"
    durable.make_folder(folder)
    durable.make_folder(folder)
    assert folder.is_dir()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_file_systems_that_sync_no_folders(path, monkeypatch, number):
    def sync(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", sync)
    durable.write(path, NEW)
    assert path.read_bytes() == NEW


def test_a_folder_that_cannot_be_made_is_told(path):
    with pytest.raises(UsageError, match=r"cannot write to .*file/b: .*choose another --out"):
        durable.prepare_folder(path / "b")

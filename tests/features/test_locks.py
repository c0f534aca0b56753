"""The lock of a folder: held by one process, freed by the dead, and contended by many."""

import errno
import os
import subprocess
import sys
import threading

import pytest

from features.disk.locks import locked
from features.errors import DataError, UsageError

HOLDER = """
import sys
from pathlib import Path
from features.disk.locks import locked
from tests.features.test_locks import without_locks

if int(sys.argv[2]):
    import fcntl
    fcntl.flock = without_locks(int(sys.argv[2]))
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def without_locks(number):
    def flock(*arguments):
        raise OSError(number, os.strerror(number))

    return flock


@pytest.mark.filterwarnings("ignore:flock not supported")
@pytest.mark.parametrize("number", [0, errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_the_second_process_is_refused_and_a_dead_one_leaves_no_lock(tmp_path, monkeypatch, number):
    """Also where the file system has no locks."""
    if number:
        fcntl = pytest.importorskip("fcntl")
        monkeypatch.setattr(fcntl, "flock", without_locks(number))
    folder = tmp_path / "out.h5.partial"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), str(number)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match="another process"), locked(folder):
        pass
    holder.kill()
    holder.communicate()
    with locked(folder):
        (folder / "0.h5").touch()
        with pytest.raises(UsageError, match="another process"), locked(folder):
            pass
    assert (folder / "0.h5").exists(), "what is left in the folder stays there"
    with locked(folder):
        (folder / "0.h5").unlink()
    assert not folder.exists()


def test_a_lock_that_cannot_be_had_is_told(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", without_locks(errno.EIO))
    message = r"cannot write .*partial: Input/output error"
    with pytest.raises(DataError, match=message), locked(tmp_path / "out.h5.partial"):
        pass


CONTENDER = """
import sys, time
from pathlib import Path
from features.errors import UsageError
from features.disk.locks import locked

folder, inside = Path(sys.argv[1]), Path(sys.argv[2])
held = refused = 0
until = time.monotonic() + 1.5
while time.monotonic() < until:
    try:
        with locked(folder):
            inside.open("x").close()  # fails where another process is inside too
            inside.unlink()
            held += 1
    except UsageError as error:
        assert "another process is writing" in str(error), error
        refused += 1
print(held, refused)
"""


def test_many_processes_contend_and_each_holds_the_lock_or_is_refused(tmp_path):
    """None is told of a file that is missing or exists, though the folder comes and goes."""
    command = [sys.executable, "-c", CONTENDER, tmp_path / "out.h5.partial", tmp_path / "inside"]
    contenders = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    results = [contender.communicate() for contender in contenders]
    assert [error for _, error in results] == [""] * 6
    held, refused = map(sum, zip(*(map(int, out.split()) for out, _ in results), strict=True))
    assert held > 0 < refused
    assert list(tmp_path.iterdir()) == []


def test_threads_of_one_process_contend_too(tmp_path):
    folder, inside, errors = tmp_path / "x.partial", [], []

    def contend():
        for _ in range(100):
            try:
                with locked(folder):
                    inside.append(1)
                    assert len(inside) == 1
                    inside.pop()
            except UsageError as error:
                assert "another process is writing" in str(error)
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert not folder.exists()


def test_one_can_wait_for_the_lock(tmp_path):
    folder, held = tmp_path / "x.partial", threading.Event()

    def hold():
        with locked(folder):
            held.set()
            threading.Event().wait(0.1)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with locked(folder, wait=10):
        pass
    thread.join()


def test_a_file_where_the_folder_should_be_is_told_at_once(tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(DataError, match="cannot write .*File exists"), locked(tmp_path / "x"):
        pass

"""Images that crash what decodes them are found and rejected, and nothing else is lost."""

import os
import signal
import subprocess
import sys
import time

import pytest

import features
from features.decoding import trial
from features.errors import DataError
from features.extraction.shards import partial_folder
from features.extraction.watch import ENDED, NOTE, Look, Watch
from features.sources import open_source
from tests.features.faults import crashing, mutilation, stub

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="commands are supervised on Linux")
POSIX = pytest.mark.skipif(os.name == "nt", reason="has no such signals")
LOOK = Look((8, 8), "stretch", "bilinear")


@pytest.fixture
def images(tmp_path):
    """Twenty images, and those three of them that crash processes."""
    source = tmp_path / "images"
    mutilation.write_images(source, 20)
    paths = sorted(path for path in source.rglob("*") if path.is_file())
    bad = {paths[4]: "SIGSEGV", paths[5]: "SIGABRT", paths[15]: "SIGILL"}
    return source, {path.relative_to(source).as_posix(): by for path, by in bad.items()}


def spoil(source, bad):
    for name, by in bad.items():
        crashing.spoil(source / name, by)


def command(source, out, *options, module="tests.features.faults.crashing", **settings):
    words = [sys.executable, "-m", module, "extract", source, "--out", out, "--max-rejected", "0.5"]
    return subprocess.run(
        [*map(str, words), *options], capture_output=True, text=True, timeout=120, **settings
    )


def rows(path):
    """The content of rows by the ids of their images, and the reasons of those without one."""
    with features.FeatureFile(path) as file:
        vectors = file.features().tolist()
        return dict(zip(file.ids, vectors, strict=True)), dict(file.rejected)


@LINUX
def test_a_command_goes_on_behind_images_that_crash_it(images, tmp_path):
    source, bad = images
    expected, _ = rows(stub.extract(source, tmp_path / "whole.h5"))
    spoil(source, bad)
    out = tmp_path / "new" / "out.h5"
    for number in (3, 0):  # crashes of the command, and of the same on what is finished
        result = command(source, out, "--quiet")
        assert result.returncode == 0, result.stderr
        found, rejected = rows(out)
        assert found == {name: row for name, row in expected.items() if name not in bad}
        assert rejected == {name: f"{ENDED} ({by})" for name, by in bad.items()}
        assert result.stderr.count("and is begun again") == number
        assert "Traceback" not in result.stderr
        assert list(out.parent.iterdir()) == [out]


@POSIX
def test_a_repeated_call_finds_the_images_at_which_a_process_crashed(images, tmp_path, caplog):
    source, bad = images
    bad = dict(list(bad.items())[2:])
    spoil(source, bad)
    out = tmp_path / "out.h5"
    code = (
        "import sys; from pathlib import Path; from tests.features.faults import crashing, stub\n"
        "with crashing.crashing(): stub.extract(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    ended = subprocess.run([sys.executable, "-c", code, source, out], stderr=subprocess.DEVNULL)
    assert ended.returncode == -signal.SIGILL
    assert list(partial_folder(out).glob(f"*{NOTE}"))
    with crashing.crashing():  # it would end this process, too
        stub.extract(source, out, max_rejected=0.1)
    assert f"{next(iter(bad))} {ENDED} (SIGILL), and is rejected" in caplog.text
    assert rows(out)[1] == dict.fromkeys(bad, f"{ENDED} (SIGILL)")
    with crashing.crashing():
        (source / next(iter(bad))).write_bytes(b"another image")
        with pytest.raises(features.UsageError, match="has changed"):
            stub.extract(source, out)


CRASHING_ENGINE = """
import os
from features.extraction import stream
from pipeline.commands.main import run_and_end
from tests.features.faults import stub

stream.forward = lambda network, batch: os.abort()
with stub.stubbed():
    run_and_end()
"""


@LINUX
def test_a_crash_that_no_image_explains_ends_the_command_in_one_line(images, tmp_path):
    words = ["extract", images[0], "--out", tmp_path / "out.h5", "--quiet", *stub.ARGUMENTS]
    ended = subprocess.run(
        [sys.executable, "-c", CRASHING_ENGINE, *map(str, words)], capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert ended.stderr.count("(SIGABRT) and is begun again") == 2
    assert ended.stderr.splitlines()[-1].startswith("error: the process that does the work has en")
    assert ENDED not in ended.stderr


SLEEPING = """
import os
import time
from features.extraction import loading
from pipeline.commands.main import run_and_end

def sleep(*arguments):
    os.write(1, b"decoding\\n")
    time.sleep(1000)

loading.decode = sleep
run_and_end()
"""


@LINUX
@pytest.mark.parametrize("by", ["SIGKILL", "SIGHUP"])
def test_the_child_ends_with_its_parent(images, tmp_path, by):
    number, out = getattr(signal, by), tmp_path / "out.h5"
    words = ["extract", images[0], "--out", out, "--quiet", *stub.ARGUMENTS]
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPING, *map(str, words)], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL) if by == "SIGHUP" else None,
    )  # fmt: skip
    assert process.stdout.readline() == b"decoding\n"
    process.send_signal(number)
    assert process.wait() == -number
    deadline = time.monotonic() + 10
    while process.stdout.readline():  # ends when no process holds the pipe
        assert time.monotonic() < deadline
    assert len(list(partial_folder(out).glob(f"*{NOTE}"))) == 1
    stub.extract(images[0], out)
    assert rows(out)[1] == {}


@LINUX
def test_a_signal_to_all_processes_of_a_command_counts_once(images, tmp_path):
    words = ["extract", images[0], "--out", tmp_path / "out.h5", "--quiet", *stub.ARGUMENTS]
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPING, *map(str, words)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout.readline() == "decoding\n"
    os.killpg(process.pid, signal.SIGINT)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert told.splitlines()[-1].startswith("warning: stopped: 0 of 20 images are kept in")
    assert not list(tmp_path.rglob(f"*{NOTE}"))


def test_the_note_names_what_threads_decode(tmp_path):
    watch = Watch(tmp_path, LOOK)
    note = tmp_path / f"images{NOTE}"
    long = "folder/" * 100 + "a.png"
    with watch.noting():
        with watch.decoding("a.png"):
            assert note.read_bytes().strip(b"\0") == b"a.png"
        assert note.read_bytes().strip(b"\0") == b""
        with watch.decoding(long):
            assert long.endswith(note.read_bytes().decode())
    assert list(tmp_path.iterdir()) == []
    with Watch(tmp_path / "nowhere", LOOK).noting(), watch.decoding("a.png"):
        assert list(tmp_path.iterdir()) == []


def test_names_in_a_note_that_crash_nothing_are_no_rejection(images, tmp_path):
    source, bad = images
    note = tmp_path / f"images{NOTE}"
    note.write_bytes(b"".join(name.encode().ljust(256, b"\0") for name in (*bad, "gone.png")))
    watch = Watch(tmp_path, LOOK)
    with open_source(source) as opened:
        watch.take_up(opened)
    assert watch.reasons == {} and not note.exists()


@POSIX
def test_only_the_images_that_end_processes_are_told(monkeypatch):
    serve = (
        "import os, signal; from features.decoding import trial\n"
        "def decode(content, *rest):\n"
        "    if content.startswith(b'SIG'): os.kill(os.getpid(), getattr(signal, content.decode()))\n"
        "    if content == b'exit': os._exit(3)\n"
        "    raise (MemoryError if content == b'much' else trial.RejectedImage('broken'))\n"
        "trial.decode = decode; trial.serve()"
    )
    monkeypatch.setattr(trial, "_START", serve)
    contents = [b"", b"SIGSEGV", b"much", b"", b"exit", b"", b"SIGKILL"]
    found = [(1, "SIGSEGV"), (4, "status 0x3"), (6, "SIGKILL")]
    assert list(trial.ended_by(contents, LOOK)) == found
    assert list(trial.ended_by([], LOOK)) == []
    monkeypatch.setattr(trial, "_START", "raise ImportError")
    assert list(trial.ended_by(contents, LOOK)) == []


@POSIX
def test_an_image_whose_trial_is_killed_once_is_tried_again(monkeypatch):
    ends = iter(["SIGKILL", None, "SIGSEGV"])
    monkeypatch.setattr(trial, "_end", lambda contents, look: next(ends))
    assert list(trial.ended_by([b""], LOOK)) == []
    assert list(trial.ended_by([b""], LOOK)) == [(0, "SIGSEGV")]


def test_a_run_that_fails_leaves_no_note(images, tmp_path, monkeypatch):
    def fail(*arguments):
        raise DataError("no more")

    monkeypatch.setattr("features.extraction.stream.forward", fail)
    with pytest.raises(DataError, match="no more"):
        stub.extract(images[0], tmp_path / "out.h5")
    assert not list(tmp_path.rglob(f"*{NOTE}"))

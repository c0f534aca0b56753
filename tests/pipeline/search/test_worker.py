"""The process that fits: it answers, it dies, it is ended, and never outlives who asked."""

import os
import signal
import subprocess
import sys
import time

import pytest

from features.errors import DataError
from pipeline.search.worker import JobFailedError, OutOfTimeError, Worker


def double(job, report):
    report("doubling")
    print("what libraries print does no harm")
    return 2 * job


def identity(job, report):
    return os.getpid()


def wait(job, report):
    time.sleep(job)


def refuse(job, report):
    raise DataError("refused")


def fill_the_disk(job, report):
    raise OSError(28, "No space left on device", "model.skops")


def break_down(job, report):
    raise ZeroDivisionError("by nothing")


def vanish(job, report):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def worker(tmp_path):
    with Worker(tmp_path / "log") as worker:
        yield worker


def test_jobs_are_done_in_one_process_that_is_another(worker):
    said = []
    assert worker.run(double, 21, report=said.append) == 42
    assert "doubling" in said
    first = worker.run(identity, None)
    assert first == worker.run(identity, None) != os.getpid()
    worker.close()
    assert worker.run(identity, None) != first


def test_what_takes_too_long_is_ended_and_the_next_job_is_done(worker):
    with pytest.raises(OutOfTimeError, match="longer than its 0 s"):
        worker.run(wait, 60, 0.1)
    assert worker.run(double, 1) == 2


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (refuse, DataError, "refused"),
        (fill_the_disk, DataError, "model.skops: No space left"),
        (break_down, JobFailedError, "ZeroDivisionError: by nothing"),
        (vanish, JobFailedError, "killed by signal 9"),
    ],
)
def test_errors_come_back_and_the_next_job_is_done(worker, function, error, message):
    with pytest.raises(error, match=message):
        worker.run(function, None)
    assert worker.run(double, 1) == 2


def test_it_ends_when_the_process_that_started_it_is_killed(tmp_path):
    script = f"""
from pathlib import Path
from pipeline.search.worker import Worker
from tests.pipeline.search.test_worker import identity, wait
worker = Worker(Path({str(tmp_path)!r}) / "log")
print(worker.run(identity, None), flush=True)
worker.run(wait, 60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("it is still there after ten seconds")
